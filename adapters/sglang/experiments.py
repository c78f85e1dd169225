"""Experiments, switches and the request log in SGLang's server: what it knows of a request, and what it sees of it.

The arms' options become part of ``custom_params`` before anything looks at them. Nothing here is hooked unless the
deployment is configured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latticework.adapters import http_facts
from latticework.adapters.hooks import on_import
from latticework.adapters.sglang.options import custom_of
from latticework.plugins.requests import is_configured, without_forgery

if TYPE_CHECKING:
    from latticework.plugins.ab.front import FrontEnd, Seen, Ticket
    from latticework.plugins.ab.outcome import Result

#: Where ``/generate`` tells the arm in ``meta_info``: its streams have sent their headers before anybody looks at them.
META = "lw_arm"


def install() -> None:
    """Arrange for the middleware; it is added when the server's module is first imported."""
    if is_configured():
        on_import("sglang.srt.entrypoints.http_server", _hook_server)


def clean(obj: Any) -> None:
    """Take out of a request what only this server may write."""
    for params in parts_of(obj):
        custom = params.get("custom_params")
        if isinstance(custom, Mapping) and (kept := without_forgery(custom)) is not custom:
            params["custom_params"] = kept


def parts_of(obj: Any) -> list[dict[str, Any]]:
    """The sampling parameters of every prompt in a request."""
    found = obj.sampling_params if isinstance(obj.sampling_params, list) else [obj.sampling_params]
    return [params for params in found if isinstance(params, dict)]


async def admitted(
    front: FrontEnd,
    obj: Any,
    request: Any,
    manager: Any,
    serve: Callable[[], AsyncIterator[Any]],
    check: Callable[[Mapping[str, Any], dict[str, Any]], None],
    constrained: Callable[[dict[str, Any]], bool],
) -> AsyncGenerator[Any, None]:
    """The outputs of a request, served by its arms.

    Args:
        front: This process.
        obj: SGLang's ``GenerateReqInput``; its ``custom_params`` are changed.
        request: The client's connection, ``None`` offline.
        manager: SGLang's tokenizer manager.
        serve: Begins to serve ``obj`` as it is then.
        check: Raises ``LatticeworkError`` where options cannot be served with these sampling parameters.
        constrained: Whether these sampling parameters constrain the answer.
    """
    ticket = await _admit(front, obj, request, manager, check, constrained)
    if ticket is None:
        async for output in serve():
            yield output
        return
    async for output in ticket.watch(serve(), OutputReader(request)):
        yield _telling(output, ticket.route.header)


async def _admit(
    front: FrontEnd,
    obj: Any,
    request: Any,
    manager: Any,
    check: Callable[[Mapping[str, Any], dict[str, Any]], None],
    constrained: Callable[[dict[str, Any]], bool],
) -> Ticket | None:
    from latticework.plugins.ab.facts import RequestFacts

    if obj.sampling_params is None:
        obj.sampling_params = {}
    parts = parts_of(obj) or [{}]
    customs = [custom_of(params) for params in parts]
    http, body = http_facts.current(), await _body(request)
    headers = http.headers() if http else {}
    session = obj.session_params.get("id") if isinstance(obj.session_params, dict) else obj.session_id
    facts = RequestFacts(
        _request_id(obj, headers),
        endpoint=http.path if http else "",
        model=str(body.get("model") or ""),
        user=_text(body.get("user")),
        session=_text(session) or headers.get("x-session-id"),
        headers=headers,
        constrained=constrained(parts[0]),
        extra=customs[0],
        others=tuple(customs[1:]),
        traced=bool(manager.enable_trace),
    )
    ticket = front.admit(facts, lambda asked: check(asked, parts[0]))
    if ticket is None:
        return None
    if http is not None:
        http.tell(ticket.route.header)
    if ticket.wants_text:
        ticket.prompt_is(_prompt(obj, manager.tokenizer))
    for params, custom in zip(parts, customs, strict=True):
        params["custom_params"] = ticket.extra_for(custom) or None
    return ticket


class OutputReader:
    """Reads the outputs of one request. See :class:`latticework.plugins.ab.front.Reader`."""

    def __init__(self, request: Any) -> None:
        self.tokens = 0
        self._request = request
        self._latest: dict[int, Mapping[str, Any]] = {}

    def note(self, output: Any) -> bool:
        """Of several answers, all are counted together."""
        if isinstance(output, list):
            self._latest = dict(enumerate(output))
            finished = all(one["meta_info"].get("finish_reason") for one in output)
        else:
            self._latest[output.get("index", 0)] = output
            # Streams of several answers do not say how many there are: they are over when the generator is.
            finished = len(self._latest) == 1 and bool(output["meta_info"].get("finish_reason"))
        self.tokens = sum(meta.get("completion_tokens") or 0 for meta in self._metas())
        return finished

    def seen(self) -> Seen:
        """What is known by now."""
        from latticework.plugins.ab.front import Seen
        from latticework.plugins.ab.outcome import Result

        reasons = [meta.get("finish_reason") or {} for meta in self._metas()]
        kinds = [str(reason.get("type") or "") for reason in reasons]
        return Seen(
            tokens=self.tokens,
            prompt_tokens=max((meta.get("prompt_tokens") or 0 for meta in self._metas()), default=0),
            finish=kinds[0] if kinds else "",
            result=Result.ERROR if "abort" in kinds else Result.OK,
            complete=all(map(_is_complete, reasons)),
            answer="\n".join(str(one.get("text") or "") for one in self._latest.values()),
        )

    def _metas(self) -> list[Mapping[str, Any]]:
        return [one["meta_info"] for one in self._latest.values()]

    def result_of(self, error: BaseException) -> Result:
        """How a request ended that raised ``error``: SGLang raises ``ValueError`` for nearly everything."""
        from latticework.plugins.ab.outcome import Result

        if isinstance(error, asyncio.CancelledError) or getattr(self._request, "_is_disconnected", False):
            return Result.CANCELLED
        return Result.REFUSED if isinstance(error, ValueError) and not self.tokens else Result.ERROR


def _is_complete(reason: Mapping[str, Any]) -> bool:
    """Ended by an end token. A stop text may come in the middle of what the constraint asks for."""
    return reason.get("type") == "stop" and not isinstance(reason.get("matched"), str)


def _telling(output: Any, arms: str) -> Any:
    if arms:
        for one in output if isinstance(output, list) else [output]:
            one["meta_info"][META] = arms
    return output


def _prompt(obj: Any, tokenizer: Any) -> str:
    """The prompt's text: chat endpoints hand over token ids."""
    if isinstance(obj.text, str):
        return obj.text
    ids = obj.input_ids
    if tokenizer is None or not isinstance(ids, list) or not all(isinstance(one, int) for one in ids):
        return ""
    text: str = tokenizer.decode(ids)
    return text


def _request_id(obj: Any, headers: Mapping[str, str]) -> str:
    """SGLang gives a request its id later; one is needed now."""
    if isinstance(obj.rid, str) and obj.rid:
        return obj.rid
    if header := headers.get("x-request-id"):
        return header
    import uuid

    return uuid.uuid4().hex


async def _body(request: Any) -> Mapping[str, Any]:
    """The request's body, which the web framework has read and keeps."""
    if request is None:
        return {}
    try:
        body = await request.json()
    except (ValueError, RuntimeError):  # not JSON, or a connection that is read elsewhere
        return {}
    return body if isinstance(body, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _hook_server(module: ModuleType) -> None:
    module.app.add_middleware(http_facts.FactsMiddleware)
