"""The one hook around ``TokenizerManager.generate_request``, which every endpoint and the offline engine call.

    options ──▶ (400 on a bad one: SGLang's servers answer a ``ValueError`` with its text)
    constraint ──▶ compiled in a thread, so that a bad one is refused before anything is scheduled
    search ──▶ many requests instead of one

A request with none of these goes straight to SGLang's own generator.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import lru_cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latticework.adapters.hooks import on_import, wrap
from latticework.adapters.sglang import options

if TYPE_CHECKING:
    from latticework.plugins.options import Selection
    from latticework.structured import CompiledGrammar

logger = logging.getLogger("latticework.sglang")

_CONSTRAINTS = ("json_schema", "regex", "ebnf", "structural_tag")


def install() -> None:
    """Arrange for the hook; applied when the tokenizer manager's module is first imported."""
    on_import("sglang.srt.managers.tokenizer_manager", _hook_manager)


def _hook_manager(module: ModuleType) -> None:
    wrap(module.TokenizerManager, "generate_request", _generating)


def _generating(original: Callable[..., Any]) -> Callable[..., Any]:
    def generate_request(self: Any, obj: Any, request: Any = None) -> AsyncIterator[Any]:
        serve = partial(_serve, original=original) if _concerns(obj) else original
        outputs: AsyncIterator[Any] = serve(self, obj=obj, request=request)
        return outputs

    return generate_request


def _concerns(obj: Any) -> bool:
    """Whether a request uses anything of ours."""
    if not hasattr(obj, "custom_logit_processor"):  # not a request for text
        return False
    each = _each(obj.sampling_params)
    if any(options.names_any(params) for params in each) or _default_search():
        return True
    return any(params.get(field) for params in each for field in _CONSTRAINTS) and options.serves_grammars()


async def _serve(manager: Any, *, original: Callable[..., Any], obj: Any, request: Any) -> AsyncIterator[Any]:
    selection: Selection | None = None
    grammar: CompiledGrammar | None = None
    if isinstance(obj.sampling_params, list):
        obj.sampling_params = [options.with_choice(params or {}) for params in obj.sampling_params]
    else:
        obj.sampling_params = options.with_choice(obj.sampling_params or {})
    each = _each(obj.sampling_params)
    for params in each:
        selection = options.check(params).search if options.names_any(params) else _default_search()
        grammar = await _compile(manager, params) if options.serves_grammars() else None
    if selection is not None and _searchable(obj, named="lw_search" in (each[0].get("custom_params") or {})):
        from latticework.adapters.sglang.search import answer

        yield await answer(manager, original, obj, request, selection, grammar, _threads())
        return
    async with aclosing(original(manager, obj, request)) as outputs:
        async for output in outputs:
            yield output


def _each(sampling_params: Any) -> list[dict[str, Any]]:
    """The sampling parameters of every prompt in a request."""
    found = sampling_params if isinstance(sampling_params, list) else [sampling_params]
    return [params for params in found if isinstance(params, dict)] or [{}]


def _searchable(obj: Any, named: bool) -> bool:
    """Whether the request can be searched. Raises ``LatticeworkError`` if the client asked for a search by name."""
    from latticework.adapters.sglang.search import check
    from latticework.structured.errors import LatticeworkError

    try:
        check(obj)
    except LatticeworkError:
        if named:
            raise
        return False  # the deployment's default is for requests that can be searched
    return True


async def _compile(manager: Any, params: dict[str, Any]) -> CompiledGrammar | None:
    """Compile the request's constraint off the event loop. Raises ``LatticeworkError`` if it is refused."""
    if manager.tokenizer is None or not any(params.get(field) for field in _CONSTRAINTS):
        return None
    return await asyncio.get_running_loop().run_in_executor(_threads(), _compiled, manager, params)


def _compiled(manager: Any, params: dict[str, Any]) -> CompiledGrammar | None:
    from latticework.adapters.sglang.compiling import end_ids, spec_of_params
    from latticework.plugins.options import RequestOptions
    from latticework.plugins.vocabularies import compile_constraint

    spec = spec_of_params(params)
    if spec is None:
        return None
    model = manager.model_config
    ends = end_ids(manager.tokenizer, model.hf_eos_token_id, params.get("stop_token_ids"))
    engine = RequestOptions.parse(params.get("custom_params")).engine
    return compile_constraint(spec, manager.tokenizer, model.vocab_size, end_ids=ends, engine=engine)


@lru_cache(maxsize=1)
def _default_search() -> Selection | None:
    """The search of requests that name none. Wrong settings are logged once; requests that need them say so again."""
    from latticework.plugins.options import RequestOptions
    from latticework.structured.errors import LatticeworkError

    try:
        return RequestOptions.parse(None).search
    except LatticeworkError as error:
        logger.error("latticework's settings are wrong: %s", error)
        return None


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    from latticework.plugins.settings import load_settings

    return ThreadPoolExecutor(load_settings().limits.compile_threads, thread_name_prefix="latticework")
