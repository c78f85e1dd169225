"""What every engine adapter does with a request: compile its constraint, check what it asked for.

Everything here raises :class:`~latticework.structured.errors.LatticeworkError` and nothing else, so an adapter turns
any of it into a 400 that names the field and the reason.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from latticework.plugins import metrics
from latticework.plugins.base import Role
from latticework.plugins.guard import Guard, isolatable, report
from latticework.plugins.mask_counts import look
from latticework.plugins.options import AUTO_ENGINE, RequestOptions
from latticework.plugins.registry import Registry, registry
from latticework.plugins.requests import PREFIX
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
from latticework.structured.presets.catalogues import register_catalogues
from latticework.structured.spec import GrammarKind, GrammarSpec
from latticework.structured.vocabulary import Vocabulary

_JSON_KINDS = (GrammarKind.JSON_SCHEMA, GrammarKind.JSON_OBJECT)
#: What a server is told of that was not started for a role.
_LACKS = {
    Role.ENGINE: "this server uses another grammar backend",
    Role.DRAFTER: "this server does not draft with latticework",
    Role.PROCESSOR: "this server drafts without latticework, and would not process drafted positions",
}


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
    if spec.kind in _JSON_KINDS:
        spec = replace(spec, options=options.json)
    register_catalogues(settings.grammar.catalogues)
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
        look()


def check_options(extra: Mapping[str, Any], temperature: float | None, missing: Mapping[Role, str]) -> RequestOptions:
    """The options of a request, all of which this server can serve.

    Args:
        extra: Whatever the request carries beside the engine's own fields.
        temperature: See :func:`check_sampling`.
        missing: The roles that this server was not started for, each with the flag that would do so.

    Raises:
        LatticeworkError: An option is wrong, does not fit the request, or names a role that is missing.
    """
    options = RequestOptions.parse(extra)
    chosen = {Role.ENGINE: options.engine, Role.DRAFTER: options.drafter, Role.PROCESSOR: options.processor}
    if options.grammar is not None and (flag := missing.get(Role.ENGINE)):
        raise LatticeworkError(PREFIX + Role.GRAMMAR, f"{_LACKS[Role.ENGINE]}; start it with {flag}")
    for role, flag in missing.items():
        if extra.get(PREFIX + role) is not None and chosen[role] is not None:
            raise LatticeworkError(PREFIX + role, f"{_LACKS[role]}; start it with {flag}")
    if extra.get(PREFIX + Role.PROCESSOR) is not None:
        check_sampling(options, temperature)
    return options


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
