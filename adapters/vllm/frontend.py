"""The one hook around ``AsyncLLM.generate``, which every endpoint of vLLM's servers calls.

    experiments ──▶ the request's arms, whose options are its own from here on; what becomes of it is watched
    options ──▶ (400 at once, for streams too)
    input-dependent grammar ──▶ made of the prompt, and a constraint from here on
    cache salt ──▶ its digest travels to the worker: who the request's text may teach
    constraint ──▶ compiled in a thread, then found in the cache when vLLM verifies the parameters
    search ──▶ many requests instead of one
    failure ──▶ an error that says why a constraint could not be kept

A request with none of these goes straight to vLLM's own generator.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import aclosing, suppress
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latticework.adapters.vllm import experiments, grammar, options, tenants
from latticework.adapters.vllm.errors import refusing
from latticework.adapters.vllm.seams import on_import, wrap
from latticework.plugins.requests import compile_threads, default_search, names_any

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams

    from latticework.plugins.options import Selection
    from latticework.structured import CompiledGrammar

#: A stream's status line is sent before vLLM looks at the request, so a constraint is given this long to turn out bad
#: (or good) while a 400 is still possible. The event loop waits meanwhile; a slower one fails inside the stream.
STREAM_GRACE_SECONDS = 0.05


def install() -> None:
    """Arrange for the hooks; applied when the engine client's module is first imported."""
    on_import("vllm.v1.engine.async_llm", _hook_client)


def _hook_client(module: ModuleType) -> None:
    wrap(module.AsyncLLM, "__init__", _starting)
    wrap(module.AsyncLLM, "generate", _generating)


def _starting(original: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: Any, vllm_config: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        # Not before vLLM's own: it forks the engine process, and a thread of ours could hold a lock at that moment.
        original(self, vllm_config, *args, **kwargs)
        default_search()
        if grammar.is_ours(vllm_config.structured_outputs_config) and self.input_processor.tokenizer is not None:
            from latticework.plugins.vocabularies import warm_up

            compile_threads().submit(warm_up, self.input_processor.tokenizer, self.model_config.get_vocab_size())

    return __init__


def _generating(original: Callable[..., Any]) -> Callable[..., Any]:
    def generate(
        self: Any, prompt: Any, sampling_params: SamplingParams, request_id: str, **kwargs: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        params, ticket = experiments.admit(
            self, sampling_params, prompt, request_id, kwargs, lambda params: _search(self, params, prompt, named=True)
        )
        serve = partial(_served, original, self, prompt, params, request_id, kwargs)
        return serve() if ticket is None else experiments.watched(ticket, params, serve)

    return generate


def _served(
    original: Callable[..., Any],
    client: Any,
    prompt: Any,
    sampling_params: SamplingParams,
    request_id: str,
    kwargs: dict[str, Any],
) -> AsyncGenerator[RequestOutput, None]:
    """The outputs of a request whose options are settled."""
    if "lw_grammar" in (sampling_params.extra_args or ()):
        from latticework.adapters.vllm.input_grammars import with_grammar

        with refusing():
            sampling_params = with_grammar(client, sampling_params, prompt, kwargs.get("prompt_text"))
    if options.has_proposer(client.vllm_config.speculative_config):
        sampling_params = tenants.with_tenant(sampling_params, prompt)
    constrained = sampling_params.structured_outputs is not None and grammar.is_ours(
        client.vllm_config.structured_outputs_config
    )
    named = names_any(sampling_params.extra_args)
    if not (constrained or named or default_search()):
        unchanged: AsyncGenerator[RequestOutput, None] = original(client, prompt, sampling_params, request_id, **kwargs)
        return unchanged
    engine = partial(original, client, prompt, **kwargs)
    with refusing():
        selection = _search(client, sampling_params, prompt, named)
        compiling = _start_compiling(client, sampling_params) if constrained else None
    return _serve(engine, sampling_params, request_id, selection, compiling)


def _search(client: Any, params: SamplingParams, prompt: Any, named: bool) -> Selection | None:
    """Check all options; the search that this request is served by."""
    from latticework.adapters.vllm.search import check
    from latticework.plugins.searching import can_be_searched

    if not named:
        chosen = default_search()
    else:
        config = client.vllm_config
        asked = options.check(params, config.speculative_config, config.structured_outputs_config)
        if asked.processor is not None and "lw_processor" in (params.extra_args or {}):
            _check_runner(config)
        chosen = asked.search
    if chosen is None or not can_be_searched(partial(check, params, prompt), params.extra_args):
        return None
    return chosen


def _check_runner(config: Any) -> None:
    """Refuse processors where the drafted tokens of a step are not on the host when its logits are."""
    from latticework.structured.errors import LatticeworkError

    if config.speculative_config and config.scheduler_config.async_scheduling and not config.use_v2_model_runner:
        reason = "not possible with speculation under asynchronous scheduling; start with --no-async-scheduling"
        raise LatticeworkError("lw_processor", reason)


def _start_compiling(client: Any, params: SamplingParams) -> Future[CompiledGrammar]:
    """Compile in a thread. Raises ``LatticeworkError`` if a stream's constraint is known to be bad in time."""
    from vllm.sampling_params import RequestOutputKind

    from latticework.adapters.vllm.compiling import admit_and_try

    compiling = compile_threads().submit(admit_and_try, params, client.model_config, client.input_processor.tokenizer)
    if params.output_kind is RequestOutputKind.DELTA:
        with suppress(TimeoutError):
            compiling.result(STREAM_GRACE_SECONDS)
    return compiling


async def _serve(
    engine: Callable[..., AsyncGenerator[RequestOutput, None]],
    params: SamplingParams,
    request_id: str,
    selection: Selection | None,
    compiling: Future[CompiledGrammar] | None,
) -> AsyncGenerator[RequestOutput, None]:
    compiled: CompiledGrammar | None = None
    if compiling is not None:
        with refusing():
            compiled = await asyncio.wrap_future(compiling)
    if selection is None:
        async with aclosing(engine(sampling_params=params, request_id=request_id)) as outputs:
            async for output in outputs:
                grammar.raise_failure(output)
                yield output
        return
    from latticework.adapters.vllm.search import RequestHost
    from latticework.plugins.searching import Search
    from latticework.structured.search.protocol import SearchTask

    def generate(child: SamplingParams, child_id: str) -> AsyncGenerator[RequestOutput, None]:
        return engine(sampling_params=child, request_id=child_id)

    host = RequestHost(params, request_id, generate)
    answer = host.as_answer(await Search(selection, host, request_id, compile_threads()).answer(SearchTask(compiled)))
    grammar.raise_failure(answer)
    yield answer
