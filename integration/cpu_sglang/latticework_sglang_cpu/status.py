"""What of the CPU platform is in place: what ``latticework doctor`` reports."""

from __future__ import annotations

import os
from importlib import import_module, metadata
from typing import NamedTuple

from latticework_sglang_cpu import startup, torchvision_import
from latticework_sglang_cpu.plugin import NAME as ENTRY_POINT


class Finding(NamedTuple):
    """What was looked at, whether it will work, what was found and, if it will not, what to do."""

    name: str
    ok: bool
    detail: str


def status() -> list[Finding]:
    """Look at everything. Empty where SGLang is not installed, or torch is not a CPU build: nothing is needed then.

    Imports SGLang (seconds) to compare its functions with the ones to be replaced.
    """
    try:
        metadata.version("sglang")
        if "+cpu" not in metadata.version("torch"):
            return []
    except metadata.PackageNotFoundError:
        return []
    return [_platform(), _torchvision(), _speculation()]


def _platform() -> Finding:
    name = "platform"
    if not metadata.entry_points(group="sglang.srt.platforms", name=ENTRY_POINT):
        return Finding(name, False, "not registered: install latticework-sglang-cpu with pip")
    if os.environ.get("SGLANG_USE_CPU_ENGINE", "0") == "1":
        return Finding(name, False, "SGLANG_USE_CPU_ENGINE=1 makes SGLang look for sgl_kernel: unset it")
    selected = os.environ.get("SGLANG_PLATFORM", "")
    others = {point.name for point in metadata.entry_points(group="sglang.srt.platforms")} - {ENTRY_POINT}
    if selected not in ("", ENTRY_POINT) or (others and not selected):
        return Finding(name, False, f"not the selected one: set SGLANG_PLATFORM={ENTRY_POINT}")
    return Finding(name, True, f"{ENTRY_POINT}, torch-native attention")


def _torchvision() -> Finding:
    name = "torchvision"
    try:
        version = metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        return Finding(name, False, "SGLang imports it: pip install --no-deps torchvision")
    if not torchvision_import.is_needed():
        return Finding(name, True, f"{version}, works as it is")
    if not startup.is_installed():
        return Finding(name, False, f"{version} cannot be imported: python -m latticework_sglang_cpu install")
    return Finding(name, True, f"{version}, a CUDA build that can be imported")


def _speculation() -> Finding:
    name = "speculation on CPU"
    hooks = import_module("latticework_sglang_cpu.hooks")
    found = hooks.problems()
    if found:
        return Finding(name, False, f"made for SGLang {hooks.SGLANG}: " + "; ".join(found))
    return Finding(name, True, f"{len(hooks.REPLACED)} functions replaced when a server starts")
