"""What every engine adapter does with a request: compile its constraint, check what it asked for.

Everything here raises :class:`~latticework.structured.errors.LatticeworkError` and nothing else, so an adapter turns
any of it into a 400 that names the field and the reason.
"""

from __future__ import annotations

import time

from latticework.plugins import metrics
from latticework.plugins.base import Role
from latticework.plugins.guard import Guard, isolatable, report
from latticework.plugins.options import AUTO_ENGINE, RequestOptions
from latticework.plugins.registry import Registry, registry
from latticework.plugins.settings import Settings, load_settings
from latticework.structured.engines.base import CompiledGrammar, GrammarEngine
from latticework.structured.engines.select import (
    BUILTIN_ENGINES,
    Fallback,
    add_fallback_listener,
    compile_grammar,
)
from latticework.structured.errors import (
    BudgetExceededError,
    LatticeworkError,
    UnsupportedGrammarError,
)
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary


def compile_for_request(
    spec: GrammarSpec,
    vocabulary: Vocabulary,
    options: RequestOptions,
    settings: Settings | None = None,
    plugins: Registry | None = None,
) -> CompiledGrammar:
    """Compile a request's constraint with the engine it asked for, within the deployment's limits, and count it.

    Blocking: run it off the engine's hot path. Compiled grammars are cached process-wide.

    Raises:
        LatticeworkError: The constraint is wrong, unsupported or too expensive, or the engine crashed on it.
    """
    settings = settings or load_settings()
    add_fallback_listener(_count_fallback)
    started, label, outcome = time.perf_counter(), options.engine, "crashed"
    try:
        engine = _engine(options.engine, plugins or registry())
        grammar = compile_grammar(spec, vocabulary, engine, settings.grammar.limits)
        outcome = "ok"
    except LatticeworkError as error:
        outcome = _outcome(error)
        raise
    except BaseException as error:
        if not isolatable(error):
            raise
        report(Role.ENGINE, options.engine, error, "its request is refused")
        reason = f"grammar engine {options.engine!r} failed to compile it ({type(error).__name__})"
        raise LatticeworkError(spec.kind, reason) from error
    else:
        label = grammar.engine if options.engine == AUTO_ENGINE else options.engine
        metrics.GRAMMAR_COMPILE_SECONDS.labels(engine=label, kind=spec.kind).observe(time.perf_counter() - started)
        return grammar
    finally:
        metrics.GRAMMAR_COMPILES.labels(engine=label, kind=spec.kind, outcome=outcome).inc()


def check_sampling(options: RequestOptions, temperature: float | None, plugins: Registry | None = None) -> None:
    """Refuse a processor that only makes sense for greedy decoding on a request that samples.

    Args:
        options: The request's.
        temperature: The request's, ``None`` if it names none (engines then sample).
        plugins: Default: the installed ones.
    """
    selection = options.processor
    if selection is None or temperature == 0:
        return
    greedy_only = True
    with Guard(Role.PROCESSOR, selection.name, "its request is refused unless greedy"):
        processor = (plugins or registry()).factory(Role.PROCESSOR, selection.name).create(selection.options)
        greedy_only = processor.greedy_only
    if greedy_only:
        raise LatticeworkError("lw_processor", f"{selection.name!r} needs greedy decoding: set temperature to 0")


def _engine(name: str, plugins: Registry) -> str | GrammarEngine:
    return name if name == AUTO_ENGINE or name in BUILTIN_ENGINES else plugins.engine(name)


def _outcome(error: LatticeworkError) -> str:
    match error:
        case UnsupportedGrammarError():
            return "unsupported"
        case BudgetExceededError():
            return "budget"
        case _:
            return "invalid"


def _count_fallback(fallback: Fallback) -> None:
    metrics.GRAMMAR_FALLBACKS.labels(
        from_engine=fallback.from_engine, to_engine=fallback.to_engine, kind=fallback.kind
    ).inc()
