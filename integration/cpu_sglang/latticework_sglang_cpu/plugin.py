"""SGLang's entry points: the platform, and the plugin that gives its speculative path functions that run on a CPU.

SGLang calls both in every one of its processes.
"""

from __future__ import annotations

import os

NAME = "latticework_cpu"
PLATFORM = "latticework_sglang_cpu.platform:CPUPlatform"


def activate() -> str | None:
    """Entry point of ``sglang.srt.platforms``: the platform's class, as SGLang wants it named.

    ``None`` leaves SGLang to its other platforms: torch can use a GPU and nobody selected this one by name.
    """
    import torch

    for_gpus = torch.version.cuda is not None or torch.version.hip is not None
    return None if for_gpus and os.environ.get("SGLANG_PLATFORM") != NAME else PLATFORM


def register() -> None:
    """Entry point of ``sglang.srt.plugins``. Does nothing while another platform is in use.

    Raises:
        latticework_sglang_cpu.hooks.HookError: This SGLang has other functions than the ones to be replaced.
    """
    from sglang.srt.platforms import current_platform

    from latticework_sglang_cpu.platform import CPUPlatform

    if not isinstance(current_platform, CPUPlatform):
        return

    from sglang.srt.layers.attention.attention_registry import register_attention_backend

    from latticework_sglang_cpu import hooks

    hooks.install()

    @register_attention_backend("torch_native")
    def create(runner: object) -> object:
        from latticework_sglang_cpu.attention import CPUAttentionBackend

        return CPUAttentionBackend(runner)
