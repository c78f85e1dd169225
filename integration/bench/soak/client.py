"""Sending one request of the traffic, and what came of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from integration.bench.soak import judging
from integration.bench.soak.switches import HEADER, Deployment
from integration.bench.soak.traffic import KINDS, REFUSED, Planned, Traffic
from integration.bench.soak.wrong_bodies import FAULTS_OF_ENGINES
from integration.launch import ServerError
from integration.server import Server
from integration.tests.client import chat, chat_body
from latticework.plugins.ab.routing import role_of

PATH = "/v1/chat/completions"
#: Seconds that an answer may be silent. A machine with two cores computes eight requests slowly.
PATIENCE = 600.0


@dataclass(frozen=True)
class Fault:
    """Something wrong: what kind, the number of the request that can be sent again, and the details."""

    kind: str
    number: int
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What came of one request.

    Attributes:
        number, kind: Of the request.
        result: ``ok``; ``cut`` (by its limit of tokens); ``refused``; ``left`` (the client did); ``failed``.
        at: When it was over, in monotonic seconds.
        seconds: From sending it to its end.
        first: To the first piece of a stream; ``None`` if it was none.
        arm: What the header says.
        faults: What is wrong with it.
    """

    number: int
    kind: str
    result: str
    at: float
    seconds: float
    first: float | None = None
    arm: str = ""
    faults: tuple[Fault, ...] = ()


@dataclass
class _Answer:
    """What has come so far."""

    status: int = 0
    arm: str = ""
    text: str = ""
    finish: str | None = None
    tool: str = ""
    error: str = ""
    first: float | None = None
    left: bool = False


@dataclass
class Client:
    """Sends requests, one at a time.

    Args:
        server: Where.
        deployment: Which arms there are.
    """

    server: Server
    deployment: Deployment
    http: httpx.Client = field(default_factory=httpx.Client)

    def send(self, planned: Planned) -> Outcome:
        """Send a request and judge what comes back. Never raises because of the server."""
        began = time.monotonic()
        answer = _Answer()
        try:
            self._send(planned, answer, began)
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            answer.left = planned.leaves_after is not None and isinstance(error, httpx.TimeoutException)
            answer.error, answer.status = f"{type(error).__name__}: {error}", 0
        ended = time.monotonic()
        result, faults = self._judged(planned, answer, began, ended)
        made = tuple(Fault(kind, planned.number, detail[:500]) for kind, detail in faults)
        return Outcome(planned.number, planned.kind, result, ended, ended - began, answer.first, answer.arm, made)

    def _send(self, planned: Planned, answer: _Answer, began: float) -> None:
        read = PATIENCE if planned.leaves_after is None else planned.leaves_after
        timeout = httpx.Timeout(PATIENCE, read=read)
        headers = {"content-type": "application/json"}
        url, body = f"{self.server.url}{PATH}", self._body(planned)
        with self.http.stream("POST", url, content=body, headers=headers, timeout=timeout) as response:
            answer.status, answer.arm = response.status_code, response.headers.get(HEADER, "")
            if response.status_code != 200:
                answer.error = response.read().decode(errors="replace")
                return
            if not planned.streams:
                response.read()
                _take_whole(answer, response.json())
                return
            for chunk in _chunks(response):
                answer.first = answer.first or time.monotonic() - began
                _take_piece(answer, chunk)
                if planned.leaves_after is not None and time.monotonic() - began > planned.leaves_after:
                    answer.left = True
                    return

    def _body(self, planned: Planned) -> str:
        if planned.body is not None:
            return planned.body.replace("{model}", self.server.model)
        fields = {"temperature": 0, "user": planned.user, **planned.fields}
        return json.dumps(chat_body(self.server, planned.prompt, planned.constraint, planned.options, **fields))

    def _judged(
        self, planned: Planned, answer: _Answer, began: float, ended: float
    ) -> tuple[str, list[tuple[str, str]]]:
        """The result, and what is wrong: kinds and details."""
        if answer.left:
            return "left", []
        if answer.status == 0:
            return "failed", [("no answer", answer.error)]
        if answer.status != 200:
            return self._judged_refusal(planned, answer)
        if planned.refused is not None and not self._switched_off(planned, began, ended):
            return "failed", [("bad request accepted", planned.prompt)]
        if answer.error:
            return "failed", [("error in an answer", answer.error)]
        faults = []
        if answer.arm not in (possible := self.deployment.arms(planned.user, began, ended)) and planned.body is None:
            faults.append(("arm not as assigned", f"{answer.arm!r} is none of {sorted(possible)}"))
        finished = answer.finish != "length"
        if answer.finish is None:
            faults.append(("answer without an end", answer.text[:200]))
        elif planned.judged_by and (wrong := judging.fault(planned.judged_by, answer.text, finished=finished)):
            faults.append(("invalid structured answer", wrong))
        if finished and "tool_choice" in planned.fields:  # of one that is cut off nobody reads the name
            wanted = planned.fields["tool_choice"]["function"]["name"]
            faults += [("wrong tool", f"{answer.tool!r} instead of {wanted!r}")] if answer.tool != wanted else []
        return "ok" if finished else "cut", faults

    def _judged_refusal(self, planned: Planned, answer: _Answer) -> tuple[str, list[tuple[str, str]]]:
        status, detail = answer.status, f"{answer.status} {planned.prompt}: {answer.error}"
        if status == 500 and planned.prompt.strip("()") in FAULTS_OF_ENGINES.get(self.server.engine.name, ()):
            return "refused", []
        expected = planned.refused is not None or (planned.may_be_refused and status == 400)
        if not expected or not 400 <= status < 500:
            return "failed", [("unexpected status", detail)]
        if planned.refused and planned.refused not in answer.error:
            return "refused", [("refusal that does not say why", detail)]
        return "refused", []

    def _switched_off(self, planned: Planned, began: float, ended: float) -> bool:
        """Whether the options of a bad request may count for nothing: the operator has switched off their role."""
        return role_of(planned.refused or "") in self.deployment.switched_off(began, ended)


def first_answers(server: Server, traffic: Traffic, patience: float = 900.0) -> float:
    """Wait until the engine has answered a good request of each kind; the seconds that took.

    On a machine where no loop has been compiled yet the first constraints take minutes, and clients would give up.

    Raises:
        ServerError: It has not after ``patience`` seconds.
    """
    began = time.monotonic()
    good = itertools.takewhile(lambda _: time.monotonic() - began < patience, map(traffic.request, itertools.count()))
    left = set(KINDS) - REFUSED
    for planned in good:
        if planned.kind in left:
            with contextlib.suppress(httpx.TimeoutException):
                chat(server, planned.prompt, constraint=planned.constraint, options=planned.options, max_tokens=8)
                left.remove(planned.kind)
        if not left:
            return time.monotonic() - began
    raise ServerError(f"the engine did not answer in {patience:.0f} s: {', '.join(sorted(left))}")


def _chunks(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            if line == "data: [DONE]":
                return
            yield json.loads(line.removeprefix("data: "))
    raise ValueError("the stream broke off")


def _take_whole(answer: _Answer, body: dict[str, Any]) -> None:
    choice = body["choices"][0]
    answer.finish = choice["finish_reason"]
    _take_message(answer, choice["message"])


def _take_piece(answer: _Answer, chunk: dict[str, Any]) -> None:
    if "error" in chunk:
        answer.error = json.dumps(chunk["error"])
    for choice in chunk.get("choices") or ():
        answer.finish = choice.get("finish_reason") or answer.finish
        _take_message(answer, choice["delta"])


def _take_message(answer: _Answer, message: dict[str, Any]) -> None:
    answer.text += message.get("content") or ""
    for call in message.get("tool_calls") or ():
        answer.tool += call["function"].get("name") or ""
        answer.text += call["function"].get("arguments") or ""
