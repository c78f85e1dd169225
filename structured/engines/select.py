"""Which engine serves a constraint: one by name, or ``auto``, the first that can enforce all of it.

Nothing is ever weakened: an engine enforces the whole constraint or refuses it with
:class:`~latticework.structured.errors.UnsupportedGrammarError`. A fallback is visible: one log line, and a call to
every listener, which is how the metrics count them.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from latticework.structured.engines.base import CompiledGrammar, GrammarEngine
from latticework.structured.engines.cache import CacheInfo, GrammarCache
from latticework.structured.engines.schema_check import check_schema
from latticework.structured.engines.source_limits import check_limits
from latticework.structured.errors import LatticeworkError, UnsupportedGrammarError, one_line
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarKind, GrammarSpec
from latticework.structured.vocabulary import Vocabulary

logger = logging.getLogger("latticework.structured")

#: The order in which ``auto`` asks.
AUTO_ORDER = ("lattice", "llguidance", "xgrammar")
_PLACES = {
    "lattice": ("latticework.structured.engines.lattice", "LatticeEngine"),
    "llguidance": ("latticework.structured.engines.llguidance", "LLGuidanceEngine"),
    "xgrammar": ("latticework.structured.engines.xgrammar", "XGrammarEngine"),
}
_CACHED_GRAMMARS = 256


class _BuiltinEngines(Mapping[str, GrammarEngine]):
    """The engines by name, each imported and made when it is first asked for: numba, torch and friends load slowly."""

    def __init__(self) -> None:
        self._made: dict[str, GrammarEngine] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> GrammarEngine:
        module, attribute = _PLACES[name]
        with self._lock:
            if name not in self._made:
                engine: GrammarEngine = getattr(importlib.import_module(module), attribute)()
                self._made[name] = engine
            return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


BUILTIN_ENGINES: Mapping[str, GrammarEngine] = _BuiltinEngines()
_cache = GrammarCache(_CACHED_GRAMMARS)


@dataclass(frozen=True)
class Fallback:
    """``auto`` went on to another engine because ``from_engine`` refused a constraint of this ``kind``."""

    kind: GrammarKind
    from_engine: str
    to_engine: str
    reason: str


_listeners: list[Callable[[Fallback], None]] = []


def add_fallback_listener(listener: Callable[[Fallback], None]) -> None:
    """Call ``listener`` at every fallback from now on, in the compiling thread. Adding it twice has no effect."""
    if listener not in _listeners:
        _listeners.append(listener)


def remove_fallback_listener(listener: Callable[[Fallback], None]) -> None:
    """Undo :func:`add_fallback_listener`. Raises ``ValueError`` if it was not added."""
    _listeners.remove(listener)


def compile_grammar(
    spec: GrammarSpec,
    vocabulary: Vocabulary,
    engine: str | GrammarEngine = "auto",
    limits: GrammarLimits = GrammarLimits(),  # noqa: B008 - frozen, so sharing the default is safe
) -> CompiledGrammar:
    """Compile a constraint, or take it from the process-wide cache.

    Args:
        spec: The constraint.
        vocabulary: The tokens that will spell it, and the ids that end it.
        engine: ``auto``, the name of a built-in engine, or an engine object.
        limits: What the grammar may cost. Part of the cache's key.

    Raises:
        UnsupportedGrammarError: No engine asked can enforce all of it; the reason quotes each of them.
        GrammarError: The constraint is malformed.
        BudgetExceededError: It is larger than the limits allow.
        LatticeworkError: ``engine`` names nothing (field ``engine``).
    """
    name = engine if isinstance(engine, str) else engine.name
    if isinstance(engine, str) and engine != "auto" and engine not in BUILTIN_ENGINES:
        known = ", ".join(["auto", *BUILTIN_ENGINES])
        raise LatticeworkError("engine", f"unknown grammar engine {engine!r}; available: {known}")
    check_limits(spec, limits)

    def build() -> CompiledGrammar:
        if spec.kind is GrammarKind.JSON_SCHEMA:
            check_schema(spec.payload, spec.kind)
        if not isinstance(engine, str):
            return engine.compile(spec, vocabulary, limits)
        if name == "auto":
            return _compile_auto(spec, vocabulary, limits)
        return BUILTIN_ENGINES[name].compile(spec, vocabulary, limits)

    # An engine object is held by its key, so that another one can never inherit its address and with it its grammars.
    identity = name if isinstance(engine, str) else _ByIdentity(engine)
    key = (spec.key, vocabulary.fingerprint, vocabulary.eos_ids, identity, limits)
    return _cache.get(key, build)


class _ByIdentity:
    """Hashes and compares as the object itself, whatever the object's own idea of equality."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def _compile_auto(spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> CompiledGrammar:
    refusals: list[tuple[str, str]] = []
    for name in AUTO_ORDER:
        try:
            grammar = compile_grammar(spec, vocabulary, name, limits)
        except UnsupportedGrammarError as error:
            refusals.append((name, error.reason))
            continue
        if refusals:
            _report(spec, refusals, name)
        return grammar
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refusals)
    raise UnsupportedGrammarError(spec.kind, f"no grammar engine can enforce all of it ({reasons})")


def _report(spec: GrammarSpec, refusals: list[tuple[str, str]], served_by: str) -> None:
    """One log line for the whole chain, and one event for each hop in it."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refusals)
    logger.info("%s served by grammar engine %s (%s)", spec.kind, served_by, one_line(reasons))
    hops = [name for name, _ in refusals] + [served_by]
    for (name, reason), following in zip(refusals, hops[1:], strict=True):
        event = Fallback(spec.kind, name, following, reason)
        for listener in tuple(_listeners):
            listener(event)


def cache_info() -> CacheInfo:
    """How the process-wide cache of compiled grammars is doing."""
    return _cache.info()


def clear_cache() -> None:
    """Forget all compiled grammars; grammars in use live on with whoever holds them."""
    _cache.clear()
