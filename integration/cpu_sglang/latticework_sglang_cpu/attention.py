"""Attention: SGLang's torch-native backend, and the forward pass that verifies drafted tokens, which it lacks."""

from __future__ import annotations

from typing import Any

import torch
from sglang.srt.layers.attention.torch_native_backend import TorchNativeAttnBackend
from sglang.srt.mem_cache.memory_pool import KVWriteLoc

from latticework_sglang_cpu.tree_attention import attend, verification_masks


class CPUAttentionBackend(TorchNativeAttnBackend):
    """Adds ``TARGET_VERIFY``: every request brings ``n`` drafted tokens, a chain or a tree."""

    def forward_extend(
        self,
        q: torch.Tensor,
        k: torch.Tensor | None,
        v: torch.Tensor | None,
        layer: Any,
        forward_batch: Any,
        save_kv_cache: bool = True,
    ) -> torch.Tensor:
        """Attend for several tokens a request.

        Args:
            q: ``[tokens, heads * head size]``.
            k: ``[tokens, KV heads, head size]`` to be stored, or ``None``.
            v: Likewise.
            layer: SGLang's ``RadixAttention``.
            forward_batch: SGLang's ``ForwardBatch``.
            save_kv_cache: Whether to store ``k`` and ``v``.

        Returns:
            ``[tokens, heads * value size]``.

        Raises:
            NotImplementedError: Drafted tokens are to be verified in a layer with a sliding window or with
                cross-attention.
        """
        if not forward_batch.forward_mode.is_target_verify():
            return super().forward_extend(q, k, v, layer, forward_batch, save_kv_cache)
        windowed = layer.sliding_window_size is not None and layer.sliding_window_size > -1
        if windowed or layer.is_cross_attention:
            raise NotImplementedError("speculation on CPU: no sliding windows, no cross-attention")
        if save_kv_cache and k is not None and v is not None:
            locations = KVWriteLoc(forward_batch.out_cache_loc, self.swa_out_cache_loc)
            self.token_to_kv_pool.set_kv_buffer(layer, locations, k, v)
        return self._verify(q, layer, forward_batch)

    def _verify(self, q: torch.Tensor, layer: Any, forward_batch: Any) -> torch.Tensor:
        spec = forward_batch.spec_info
        keys = self.token_to_kv_pool.get_key_buffer(layer.layer_id)
        values = self.token_to_kv_pool.get_value_buffer(layer.layer_id)
        slots = self.req_to_token_pool.req_to_token
        queries = q.view(len(forward_batch.seq_lens), spec.draft_token_num, layer.tp_q_head_num, layer.qk_head_dim)
        masks = verification_masks(spec.custom_mask, forward_batch.seq_lens.tolist(), spec.draft_token_num)
        rows = forward_batch.req_pool_indices.tolist()
        answers = []
        for query, row, mask in zip(queries, rows, masks, strict=True):
            used = slots[row, : mask.shape[1]]
            answers.append(attend(query, keys[used], values[used], mask, layer.scaling))
        return torch.cat(answers).flatten(1)
