"""The platform: which parts of SGLang run on a CPU as they are, and which of ours stand in for the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sglang.srt.platforms.cpu import CpuDeviceMixin
from sglang.srt.platforms.device_mixin import PlatformEnum
from sglang.srt.platforms.interface import PlatformCapabilities, SRTPlatform


class CPUPlatform(CpuDeviceMixin, SRTPlatform):
    """A CPU without ``sgl_kernel``, Triton or graphs.

    SGLang's own CPU platform (``SGLANG_USE_CPU_ENGINE=1``) needs ``sgl_kernel``, which must not be selected here.
    ``supports_speculative_algorithm`` stays false: it is asked for algorithms with a draft model, whose draft step has
    no CPU path. NGRAM and registered algorithms do not ask.
    """

    _enum = PlatformEnum.OOT
    device_name = "cpu"
    device_type = "cpu"
    capabilities = PlatformCapabilities()

    def get_device(self, device_id: int = 0) -> str:
        """The device as text: ``ServerArgs.device`` takes nothing else."""
        return "cpu"

    def get_default_attention_backend(self) -> str:
        """The backend that :func:`latticework_sglang_cpu.plugin.register` extends."""
        return "torch_native"

    def get_compile_backend(self, mode: str | None = None) -> str:
        """No compilation: it would need a C++ compiler at run time."""
        return "eager"

    def get_torch_profiler_activity_str(self) -> str:
        """What SGLang's profiler records."""
        return "CPU"

    def get_torch_profiler_activity(self) -> torch.profiler.ProfilerActivity:
        """The same as torch names it."""
        return torch.profiler.ProfilerActivity.CPU

    def get_speculative_cache_locs_fn(self) -> Callable[..., torch.Tensor]:
        """Finds the KV slots of the tokens to be verified."""
        from latticework_sglang_cpu.slots import assign_extend_cache_locs

        return assign_extend_cache_locs

    def get_kv_pool_cls(self, *, kind: str) -> type[Any] | None:
        """Our pool for ordinary attention, SGLang's for the rest."""
        if kind != "mha":
            return None
        from latticework_sglang_cpu.kv_pool import CPUMHATokenToKVPool

        return CPUMHATokenToKVPool
