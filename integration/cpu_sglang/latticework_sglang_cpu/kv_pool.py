"""The KV cache, whose rows move with torch indexing after a verification."""

from __future__ import annotations

from sglang.srt.mem_cache.memory_pool import MHATokenToKVPool


class CPUMHATokenToKVPool(MHATokenToKVPool):
    """SGLang's pool, with its own indexing fallback for moving rows instead of the Triton copy."""

    def _init_kv_copy_and_warmup(self) -> None:
        self._kv_copy_config = None
        self.use_native_move_kv_cache = True
