"""The worker of ``LATTICEWORK``: draft trees on the host, one verifying forward pass, and what it gained.

One decoding step of a batch, ``width`` rows a request (the pending token, the drafted nodes, padding):

    sessions ──▶ drafts                                 (host; each request's own drafter)
    drafts ──▶ TreeVerifyInput ──▶ target forward pass   (logits ``float[requests * width, V]``)
    logits ──▶ top-k for drafters that learn, masks at every node, processors at every node
           ──▶ SGLang's sampler at every node ──▶ :func:`match` ──▶ accepted path, moved together in the cache

The step is as wide as its largest draft: a step for which nobody drafts costs a plain decoding step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sglang.kernels.ops.speculative.cache_locs import assign_extend_cache_locs_func
from sglang.srt.layers.logprob_processor import compute_spec_logprobs
from sglang.srt.managers.utils import GenerationBatchResult
from sglang.srt.model_executor.forward_batch_info import ForwardMode
from sglang.srt.runtime_context import get_parallel, get_spec
from sglang.srt.speculative.base_spec_worker import BaseSpecWorker
from sglang.srt.speculative.spec_utils import (
    commit_mamba_states_after_verify,
    move_accept_tokens_to_target_kvcache,
    prepare_mamba_track_for_verify,
)

from latticework.adapters.sglang.processors import ADAPTER
from latticework.adapters.sglang.sessions import SchedulerSessions, sessions_of
from latticework.adapters.sglang.verification import choose, expanded, follows_drafts, grammar_mask
from latticework.adapters.sglang.verify_input import TreeVerifyInput
from latticework.plugins.base import Role
from latticework.plugins.guard import Guard
from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import VerifiedRows
from latticework.speculative.tree_layout import lay_out
from latticework.speculative.verify import Verified, match

if TYPE_CHECKING:
    from sglang.srt.managers.schedule_batch import ScheduleBatch
    from sglang.srt.managers.tp_worker import TpModelWorker


class TreeWorker(BaseSpecWorker):  # type: ignore[misc]
    """Drives the target worker; there is no draft worker."""

    draft_worker = None

    def __init__(self, server_args: Any, gpu_id: int, nccl_port: int, target_worker: TpModelWorker) -> None:
        super().__init__()
        self.server_args = server_args
        self._target_worker = target_worker
        self._width: int = get_spec().speculative_num_draft_tokens
        self._seen: dict[str, VerifiedRows] = {}  # what drafters that learn have not been shown yet

    def forward_batch_generation(
        self, batch: ScheduleBatch, on_publish: Any = None, pp_proxy_tensors: Any = None
    ) -> GenerationBatchResult:
        """One step of a batch. See ``BaseSpecWorker``."""
        if not batch.forward_mode.is_decode():
            return self._prefill(batch, on_publish)
        drafts = self._draft(batch)
        width = 1 + max(len(draft) for draft in drafts)
        self._sessions.table.budgets.verifying(len(drafts), (width - 1) * len(drafts))
        output = self._forward(batch, drafts, width)
        chosen = self._choose(batch, drafts, width, output.logits_output)
        verified = [
            match(draft, tokens[: len(draft) + 1])
            for draft, tokens in zip(drafts, chosen.cpu().numpy().astype(np.int32).reshape(-1, width), strict=True)
        ]
        return self._commit(batch, verified, chosen, output, on_publish)

    def note_request_finished(self, *, rid: str, natural_stop: bool) -> None:
        """See ``BaseSpecWorker``. The session itself ends with the request object."""
        self._seen.pop(rid, None)

    @property
    def _sessions(self) -> SchedulerSessions:
        return sessions_of(self._target_worker)

    def _prefill(self, batch: ScheduleBatch, on_publish: Any) -> GenerationBatchResult:
        """The target reads prompts as it does without speculation."""
        self._sessions.table.budgets.interrupted()
        output = self._target_worker.forward_batch_generation(batch)
        seq_lens = batch.seq_lens.clone()
        if on_publish is not None:
            on_publish(seq_lens)
        return GenerationBatchResult(
            logits_output=output.logits_output,
            next_token_ids=output.next_token_ids,
            can_run_cuda_graph=output.can_run_cuda_graph,
            accept_lens=torch.ones(len(batch.reqs), dtype=torch.int32, device=batch.seq_lens.device),
            new_seq_lens=seq_lens,
            next_draft_input=TreeVerifyInput.between_steps(self._width, seq_lens),
            speculative_num_draft_tokens=self._width,
        )

    def _draft(self, batch: ScheduleBatch) -> list[Draft]:
        """A draft for every request, possibly empty, at most ``width - 1`` nodes."""
        table, rooms = self._sessions.table, {}
        for req in batch.reqs:
            with Guard(Role.DRAFTER, ADAPTER, f"request {req.rid} is not drafted for in this step"):
                tokens = self._sessions.tokens(req)
                if tokens is not None:
                    table.sync(req.rid, tokens, self._seen.pop(req.rid, None))
                    rooms[req.rid] = self._room(req, len(tokens))
        drafts: dict[str, Draft] = {}
        with Guard(Role.DRAFTER, ADAPTER, "nothing is drafted for this batch in this step"):
            drafts = table.draft_all(rooms, len(batch.reqs))
        return [drafts.get(req.rid, EMPTY_DRAFT) for req in batch.reqs]

    def _room(self, req: Any, length: int) -> int:
        """How many drafted nodes the request could use: a step writes one token more than is accepted."""
        if not follows_drafts(req):
            return 0
        left = min(
            req.sampling_params.max_new_tokens - len(req.output_ids),
            self._target_worker.model_runner.model_config.context_len - length,
        )
        room: int = min(self._width, left) - 1
        return room

    def _forward(self, batch: ScheduleBatch, drafts: list[Draft], width: int) -> GenerationBatchResult:
        layouts = [
            lay_out(draft, int(req.output_ids[-1]), width) for draft, req in zip(drafts, batch.reqs, strict=True)
        ]
        verify_input = TreeVerifyInput.of(layouts, batch.seq_lens, batch.seq_lens_cpu)
        batch.forward_mode = ForwardMode.TARGET_VERIFY
        batch.input_ids = verify_input.draft_token
        batch.out_cache_loc = assign_extend_cache_locs_func(
            req_pool_indices=batch.req_pool_indices,
            req_to_token=batch.req_to_token_pool.req_to_token,
            start_offset=batch.seq_lens,
            end_offset=batch.seq_lens + width,
            batch_size=len(batch.reqs),
            draft_token_num=width,
            device=batch.device,
        )
        prepare_mamba_track_for_verify(batch)
        batch.spec_info = verify_input
        return self._target_worker.forward_batch_generation(batch, is_verify=True)

    def _choose(self, batch: ScheduleBatch, drafts: list[Draft], width: int, output: Any) -> torch.Tensor:
        """The target's token at every row, ``int[requests * width]``. Leaves the transformed logits in ``output``."""
        logits = output.next_token_logits
        self._show(batch, drafts, width, logits)
        mask = grammar_mask(batch.reqs, drafts, width, batch.sampling_info.vocab_size)
        if mask is not None:
            mask = mask._replace(vocab_mask=mask.vocab_mask.to(logits.device, non_blocking=True))
        info = expanded(batch.sampling_info, width, mask)
        info.apply_logits_bias(logits)
        for index, (req, draft) in enumerate(zip(batch.reqs, drafts, strict=True)):
            if (processor := self._sessions.table.processor_for(req.rid)) is not None:
                processor.apply_over(draft, logits[index * width : (index + 1) * width])
        scratch = logits.clone() if batch.return_logprob else logits
        sampler = self._target_worker.model_runner.sampler
        chosen = choose(sampler, scratch, info, batch.spec_info.positions).to(torch.int32)
        group = get_parallel().tp_group
        if group.world_size > 1:  # ranks may round differently, and must not part ways
            group.broadcast(chosen, src=0)
        return chosen

    def _show(self, batch: ScheduleBatch, drafts: list[Draft], width: int, logits: torch.Tensor) -> None:
        """Keep what the target showed at all verified positions for the drafters that want to see it."""
        for index, (req, draft) in enumerate(zip(batch.reqs, drafts, strict=True)):
            if not (count := self._sessions.table.verified_top_k(req.rid)):
                continue
            rows = logits[index * width : index * width + len(draft) + 1]
            top = torch.log_softmax(rows.float(), dim=-1).topk(count, dim=-1)
            self._seen[req.rid] = VerifiedRows(
                token=np.concatenate(([req.output_ids[-1]], draft.token)).astype(np.int32),
                top_ids=top.indices.cpu().numpy().astype(np.int32),
                top_logprobs=top.values.cpu().numpy(),
                parent=np.concatenate(([-1], draft.parent + 1)).astype(np.int32),
            )

    def _commit(
        self, batch: ScheduleBatch, verified: list[Verified], chosen: torch.Tensor, output: Any, on_publish: Any
    ) -> GenerationBatchResult:
        """Move the accepted paths together in the cache and report them as SGLang reads them."""
        device, width = batch.seq_lens.device, batch.spec_info.draft_token_num
        # Rows of the accepted tokens, the root's first; -1 behind them.
        accepted = np.full((len(verified), width), -1, np.int32)
        for index, result in enumerate(verified):
            accepted[index, : len(result.tokens)] = index * width + np.array([0, *(node + 1 for node in result.path)])
        accept_index = torch.from_numpy(accepted).to(device)
        accept_lens = torch.tensor([len(result.tokens) for result in verified], dtype=torch.int32, device=device)
        commit_mamba_states_after_verify(self._target_worker, batch, accept_lens, accept_index, width)
        if any(result.path != tuple(range(len(result.path))) for result in verified):
            _, allocator = self._target_worker.get_memory_pool()
            move_accept_tokens_to_target_kvcache(batch, accept_index, accept_lens - 1, allocator)
        if batch.return_logprob:
            compute_spec_logprobs(batch, output.logits_output, chosen, accept_index=accept_index)
        seq_lens = batch.seq_lens + accept_lens
        if on_publish is not None:
            on_publish(seq_lens)
        batch.forward_mode = ForwardMode.DECODE
        return GenerationBatchResult(
            logits_output=output.logits_output,
            next_token_ids=chosen[accept_index.flatten().long()],
            can_run_cuda_graph=output.can_run_cuda_graph,
            accept_lens=accept_lens,
            new_seq_lens=seq_lens,
            next_draft_input=TreeVerifyInput.between_steps(self._width, seq_lens),
            speculative_num_draft_tokens=self._width,
            speculative_output_stride=width,
        )
