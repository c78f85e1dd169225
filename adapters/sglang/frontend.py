"""The one hook around ``TokenizerManager.generate_request``, which every endpoint and the offline engine call.

    experiments ──▶ the request's arms, whose options are its own from here on; what becomes of it is watched
    options ──▶ (400 on a bad one: SGLang's servers answer a ``ValueError`` with its text)
    input-dependent grammar ──▶ made of the prompt, and a constraint from here on
    constraint ──▶ compiled in a thread, so that a bad one is refused before anything is scheduled
    search ──▶ many requests instead of one

A request with none of these goes straight to SGLang's own generator.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latticework.adapters.hooks import on_import, wrap
from latticework.adapters.sglang import experiments, options
from latticework.plugins.requests import compile_threads, default_search, front_end, names_any

if TYPE_CHECKING:
    from latticework.plugins.options import Selection
    from latticework.structured import CompiledGrammar

_CONSTRAINTS = ("json_schema", "regex", "ebnf", "structural_tag")


def install() -> None:
    """Arrange for the hook; applied when the tokenizer manager's module is first imported."""
    on_import("sglang.srt.managers.tokenizer_manager", _hook_manager)


def _hook_manager(module: ModuleType) -> None:
    wrap(module.TokenizerManager, "generate_request", _generating)


def _generating(original: Callable[..., Any]) -> Callable[..., Any]:
    def generate_request(self: Any, obj: Any, request: Any = None) -> AsyncIterator[Any]:
        def serve() -> AsyncIterator[Any]:
            begin = partial(_serve, original=original) if _concerns(obj) else original
            outputs: AsyncIterator[Any] = begin(self, obj=obj, request=request)
            return outputs

        if not _writes_text(obj):
            return serve()
        experiments.clean(obj)
        front = front_end()
        if front is None:
            return serve()
        return experiments.admitted(front, obj, request, self, serve, _check, _constrained)

    return generate_request


def _writes_text(obj: Any) -> bool:
    """Not, for instance, a request for an embedding."""
    return hasattr(obj, "custom_logit_processor")


def _check(extra: Mapping[str, Any], params: dict[str, Any]) -> None:
    """Raise ``LatticeworkError`` if these options cannot be served with these sampling parameters."""
    options.check(options.with_choice({**params, "custom_params": extra}))


def _constrained(params: dict[str, Any]) -> bool:
    custom = options.custom_of(params)
    return any(params.get(field) for field in _CONSTRAINTS) or "lw_choice" in custom or "lw_grammar" in custom


def _concerns(obj: Any) -> bool:
    """Whether a request uses anything of ours."""
    if not _writes_text(obj):
        return False
    each = _each(obj.sampling_params)
    customs = [params.get("custom_params") for params in each]
    if any(names_any(custom) or not isinstance(custom, Mapping | None) for custom in customs) or default_search():
        return True
    return any(params.get(field) for params in each for field in _CONSTRAINTS) and options.serves_grammars()


async def _serve(manager: Any, *, original: Callable[..., Any], obj: Any, request: Any) -> AsyncIterator[Any]:
    selection: Selection | None = None
    grammar: CompiledGrammar | None = None
    if isinstance(obj.sampling_params, list):
        obj.sampling_params = [options.with_choice(params or {}) for params in obj.sampling_params]
    else:
        obj.sampling_params = options.with_choice(obj.sampling_params or {})
    customs = [params.get("custom_params") for params in _each(obj.sampling_params)]
    if any(names_any(custom) and "lw_grammar" in custom for custom in customs):
        from latticework.adapters.sglang.input_grammars import apply

        apply(manager, obj)
    each = _each(obj.sampling_params)
    for params in each:
        selection = options.check(params).search if names_any(params.get("custom_params")) else default_search()
        grammar = await _compile(manager, params) if options.serves_grammars() else None
    if selection is not None and _searchable(obj, each[0].get("custom_params")):
        from latticework.adapters.sglang.search import answer

        yield await answer(manager, original, obj, request, selection, grammar, compile_threads())
        return
    async with aclosing(original(manager, obj, request)) as outputs:
        async for output in outputs:
            yield output


def _each(sampling_params: Any) -> list[dict[str, Any]]:
    """The sampling parameters of every prompt in a request."""
    found = sampling_params if isinstance(sampling_params, list) else [sampling_params]
    return [params for params in found if isinstance(params, dict)] or [{}]


def _searchable(obj: Any, custom: dict[str, Any] | None) -> bool:
    """Whether the request can be searched. Raises ``LatticeworkError`` if the client asked for a search by name."""
    from latticework.adapters.sglang.search import check
    from latticework.plugins.searching import can_be_searched

    return can_be_searched(partial(check, obj), custom)


async def _compile(manager: Any, params: dict[str, Any]) -> CompiledGrammar | None:
    """Compile the request's constraint off the event loop. Raises ``LatticeworkError`` if it is refused."""
    if manager.tokenizer is None or not any(params.get(field) for field in _CONSTRAINTS):
        return None
    return await asyncio.get_running_loop().run_in_executor(compile_threads(), _compiled, manager, params)


def _compiled(manager: Any, params: dict[str, Any]) -> CompiledGrammar | None:
    from latticework.adapters.sglang.compiling import end_ids, spec_of_params
    from latticework.plugins.options import RequestOptions
    from latticework.plugins.vocabularies import compile_constraint, try_first_mask

    spec = spec_of_params(params)
    if spec is None:
        return None
    model = manager.model_config
    ends = end_ids(manager.tokenizer, model.hf_eos_token_id, params.get("stop_token_ids"))
    chosen = RequestOptions.parse(params.get("custom_params"))
    grammar = compile_constraint(spec, manager.tokenizer, model.vocab_size, chosen, end_ids=ends)
    try_first_mask(grammar)
    return grammar
