"""Experiments, switches and the request log in vLLM's front end: what it knows of a request, and what it sees of it.

The arms' options become part of ``SamplingParams.extra_args`` before anything looks at them, so that the engine and its
workers serve them as if the client had asked. Nothing here is hooked unless the deployment is configured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latticework.adapters import http_facts
from latticework.adapters.vllm.errors import refusing
from latticework.adapters.vllm.seams import on_import, wrap
from latticework.plugins.requests import front_end, is_configured, without_forgery

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams

    from latticework.plugins.ab.front import Seen, Ticket
    from latticework.plugins.ab.outcome import Result

_PROTOCOLS = {
    "vllm.entrypoints.openai.chat_completion.protocol": "ChatCompletionRequest",
    "vllm.entrypoints.openai.completion.protocol": "CompletionRequest",
    "vllm.entrypoints.openai.responses.protocol": "ResponsesRequest",
}


def install() -> None:
    """Arrange for the hooks; each is applied when its module is first imported."""
    if not is_configured():
        return
    on_import("vllm.entrypoints.launchers.app", _hook_app)
    for module in _PROTOCOLS:
        on_import(module, _hook_protocol)


def admit(
    client: Any,
    params: SamplingParams,
    prompt: Any,
    request_id: str,
    arguments: Mapping[str, Any],
    check: Callable[[SamplingParams], object],
) -> tuple[SamplingParams, Ticket | None]:
    """What a request is served with.

    Args:
        client: vLLM's ``AsyncLLM``.
        params, prompt, request_id: As ``AsyncLLM.generate`` gets them.
        arguments: Its other arguments.
        check: Raises ``LatticeworkError`` where the options in these parameters cannot be served.
    """
    clean = without_forgery(params.extra_args)
    if clean is not params.extra_args:
        params = _with_extra(params, clean)
    front = front_end()
    if front is None:
        return params, None
    from latticework.plugins.ab.facts import RequestFacts

    http, extra = http_facts.current(), params.extra_args or {}
    facts = RequestFacts(
        request_id,
        endpoint=http.path if http else "",
        model=http.model if http else "",
        user=http.user if http else None,
        session=arguments.get("session_id") or (http.headers().get("x-session-id") if http else None),
        headers=http.headers() if http else {},
        constrained=params.structured_outputs is not None or "lw_grammar" in extra,
        extra=extra,
        traced=bool(client.observability_config.otlp_traces_endpoint),
    )
    with refusing():
        ticket = front.admit(facts, lambda asked: check(_with_extra(params, asked)))
    if ticket is None:
        return params, None
    if http is not None:
        http.tell(ticket.route.header)
    if ticket.wants_text:
        text = prompt.get("prompt") if isinstance(prompt, Mapping) else None
        ticket.prompt_is(arguments.get("prompt_text") or text or "")
    return _with_extra(params, ticket.extra), ticket


def watched(
    ticket: Ticket, params: SamplingParams, start: Callable[[], AsyncGenerator[RequestOutput, None]]
) -> AsyncGenerator[RequestOutput, None]:
    """The outputs of a request that was admitted, begun by ``start``."""
    try:
        outputs = start()
    except BaseException as error:
        ticket.refused(error)
        raise
    return ticket.watch(outputs, OutputReader(params, ticket.wants_text))


class OutputReader:
    """Reads the outputs of one request. See :class:`latticework.plugins.ab.front.Reader`."""

    def __init__(self, params: SamplingParams, wants_text: bool) -> None:
        from vllm.sampling_params import RequestOutputKind

        self.tokens = 0
        self._adds_up = params.output_kind is RequestOutputKind.DELTA
        self._wants_text = wants_text
        self._counts: dict[int, int] = {}
        self._texts: dict[int, str] = {}
        self._reasons: list[str] = []
        self._complete = True
        self._last: RequestOutput | None = None

    def note(self, output: RequestOutput) -> bool:
        """Of several answers, all are counted together."""
        self._last = output
        for written in output.outputs:
            index, count = written.index, len(written.token_ids)
            before = self._counts.get(index, 0)
            self._counts[index] = before + count if self._adds_up else count
            self.tokens += self._counts[index] - before
            if self._wants_text:
                self._texts[index] = self._texts.get(index, "") * self._adds_up + written.text
            if written.finish_reason is not None:
                self._reasons.append(written.finish_reason)
                # A stop text, unlike an end token, may come in the middle of what the constraint asks for.
                self._complete &= written.finish_reason == "stop" and not isinstance(written.stop_reason, str)
        return bool(output.finished)

    def seen(self) -> Seen:
        """What is known by now."""
        from latticework.plugins.ab.front import Seen
        from latticework.plugins.ab.outcome import Result

        last, results = self._last, {"error": Result.ERROR, "abort": Result.CANCELLED}
        if last is None:
            return Seen()
        latency = last.metrics.first_token_latency if last.metrics is not None else 0.0
        return Seen(
            tokens=self.tokens,
            prompt_tokens=len(last.prompt_token_ids or ()),
            finish=self._reasons[0] if self._reasons else "",
            result=next((results[reason] for reason in self._reasons if reason in results), Result.OK),
            complete=self._complete,
            first_token=latency or None,
            answer="\n".join(self._texts.values()),
        )

    def result_of(self, error: BaseException) -> Result:
        """How a request ended that raised ``error``."""
        from vllm.exceptions import VLLMClientError

        from latticework.plugins.ab.outcome import Result

        if isinstance(error, asyncio.CancelledError):
            return Result.CANCELLED
        return Result.REFUSED if isinstance(error, VLLMClientError) else Result.ERROR


def _with_extra(params: SamplingParams, extra: Mapping[str, Any] | None) -> SamplingParams:
    changed = params.clone()  # callers reuse theirs
    changed.extra_args = dict(extra) if extra else None
    return changed


def _hook_app(module: ModuleType) -> None:
    wrap(module, "init_exception_handler", _adding_facts)


def _adding_facts(original: Callable[[Any], None]) -> Callable[[Any], None]:
    def init_exception_handler(app: Any) -> None:
        original(app)
        app.add_middleware(http_facts.FactsMiddleware)

    return init_exception_handler


def _hook_protocol(module: ModuleType) -> None:
    wrap(getattr(module, _PROTOCOLS[module.__name__]), "to_sampling_params", _noting)


def _noting(original: Callable[..., Any]) -> Callable[..., Any]:
    """The last place where the body's own fields are at hand."""

    def to_sampling_params(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (http := http_facts.current()) is not None:
            http.user, http.model = self.user, self.model or ""
        return original(self, *args, **kwargs)

    return to_sampling_params
