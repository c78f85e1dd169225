"""The soak's client and its run, against a small web server that answers as it is told."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from integration.bench.soak.client import Client, Outcome
from integration.bench.soak.run import Plan, Seen, Soak
from integration.bench.soak.switches import HEADER, Deployment
from integration.bench.soak.traffic import Planned, Traffic
from integration.server import ENGINES, Server


@dataclass
class StandIn:
    """What it answers: a status, an arm, and a body, or pieces of a stream."""

    status: int = 200
    arm: str = ""
    body: Any = None
    pieces: list[Any] = field(default_factory=list)
    ends: bool = True
    silent: threading.Event | None = None
    metrics: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def told() -> StandIn:
    return StandIn()


@pytest.fixture
def server(told: StandIn, tmp_path: Path) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, told.metrics.encode())

        def do_POST(self) -> None:
            told.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            if told.silent is not None:
                told.silent.wait(20)
            lines = [f"data: {json.dumps(piece)}\n\n" for piece in told.pieces] + ["data: [DONE]\n\n"] * told.ends
            self._answer(told.status, ("".join(lines) if told.pieces else json.dumps(told.body)).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header(HEADER, told.arm)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield Server(f"http://127.0.0.1:{web.server_address[1]}", "m", tmp_path / "log", os.getpid(), ENGINES["vllm"])
    if told.silent is not None:
        told.silent.set()
    web.shutdown()


@pytest.fixture
def deployment(tmp_path: Path, told: StandIn) -> Deployment:
    made = Deployment(tmp_path, 0)
    (told.arm,) = made.arms("anna", 1e9, 1e9)
    return made


@pytest.fixture
def client(server: Server, deployment: Deployment) -> Client:
    return Client(server, deployment)


def whole(text: str, finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": finish, "message": {"content": text, **message}}]}


def piece(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"finish_reason": finish, "delta": {"content": text}}]}


def planned(**fields: Any) -> Planned:
    return Planned(7, "plain", "anna", "Hello?", **fields)


def kinds(outcome: Outcome) -> list[str]:
    assert all(fault.number == 7 for fault in outcome.faults)
    return [fault.kind for fault in outcome.faults]


YES = ("choice", ["yes"])
STREAMED = {"stream": True}
TOOL = {"tool_choice": {"type": "function", "function": {"name": "look"}}}


def test_an_answer(client: Client, told: StandIn) -> None:
    told.body = whole("yes")
    found = client.send(planned(constraint=YES, judged_by=YES, options={"lw_drafter": "off"}))
    assert (found.result, found.arm, found.first, kinds(found)) == ("ok", told.arm, None, [])
    (body,) = told.asked
    assert (body["user"], body["vllm_xargs"]) == ("anna", {"lw_drafter": "off"})
    assert body["structured_outputs"] == {"choice": ["yes"]}


def test_a_streamed_answer(client: Client, told: StandIn) -> None:
    told.pieces = [piece("y"), piece("es", "stop")]
    found = client.send(planned(judged_by=YES, fields=STREAMED))
    assert (found.result, kinds(found)) == ("ok", [])
    assert found.first is not None


@pytest.mark.parametrize(
    ("answer", "request_fields", "result", "faults"),
    [
        ({"body": whole("no")}, {"judged_by": YES}, "ok", ["invalid structured answer"]),
        ({"body": whole("y", "length")}, {"judged_by": YES}, "cut", []),
        ({"body": whole("n", "length")}, {"judged_by": YES}, "cut", ["invalid structured answer"]),
        ({"body": whole("yes"), "arm": "drafting=none"}, {}, "ok", ["arm not as assigned"]),
        ({"status": 500, "body": "oh"}, {}, "failed", ["unexpected status"]),
        ({"status": 400, "body": "oh"}, {}, "failed", ["unexpected status"]),
        ({"status": 400, "body": "too much"}, {"may_be_refused": True}, "refused", []),
        ({"status": 500, "body": "oh"}, {"may_be_refused": True}, "failed", ["unexpected status"]),
        ({"status": 400, "body": "lw_drafter: no"}, {"refused": "lw_drafter"}, "refused", []),
        ({"status": 400, "body": "no"}, {"refused": "lw_drafter"}, "refused", ["refusal that does not say why"]),
        ({"status": 500, "body": "lw_drafter"}, {"refused": "lw_drafter"}, "failed", ["unexpected status"]),
        ({"body": whole("yes")}, {"refused": "lw_drafter"}, "failed", ["bad request accepted"]),
        ({"body": {"choices": []}}, {}, "failed", ["no answer"]),
        ({"body": whole("yes")}, {"fields": TOOL}, "ok", ["wrong tool"]),
        ({"pieces": [piece("yes", "stop")], "ends": False}, {"fields": STREAMED}, "failed", ["no answer"]),
        ({"pieces": [piece("yes"), {"error": "oh"}]}, {"fields": STREAMED}, "failed", ["error in an answer"]),
        ({"pieces": [piece("yes")]}, {"fields": STREAMED}, "ok", ["answer without an end"]),
    ],
)
def test_what_is_wrong_is_seen(
    client: Client,
    told: StandIn,
    answer: dict[str, Any],
    request_fields: dict[str, Any],
    result: str,
    faults: list[str],
) -> None:
    for name, value in answer.items():
        setattr(told, name, value)
    found = client.send(planned(**request_fields))
    assert (found.result, kinds(found)) == (result, faults)


def test_a_tool_that_is_called(client: Client, told: StandIn) -> None:
    told.body = whole("", tool_calls=[{"function": {"name": "look", "arguments": "12"}}])
    found = client.send(planned(fields=TOOL, judged_by=("json", {"type": "integer"})))
    assert (found.result, kinds(found)) == ("ok", [])


def test_a_client_that_leaves_is_no_fault(client: Client, told: StandIn) -> None:
    told.silent = threading.Event()
    found = client.send(planned(leaves_after=0.1))
    assert (found.result, kinds(found)) == ("left", [])


def test_a_bad_option_may_be_served_while_its_role_is_off(
    client: Client, told: StandIn, deployment: Deployment
) -> None:
    told.body = whole("yes")
    deployment.write("processors switched off")
    found = client.send(planned(refused="lw_processor"))
    assert (found.result, kinds(found)) == ("ok", [])


def test_ctrl_c_ends_the_traffic_and_keeps_what_was_seen(server: Server, told: StandIn, deployment: Deployment) -> None:
    told.body = whole("yes")
    soak = Soak(server, deployment, Traffic(0, ()), Plan(60.0, 3, 0.1, 0.2, 0))

    def show(minutes: float, seen: Seen) -> None:
        if len(seen.outcomes) > 3 and len(seen.samples) > 3:
            raise KeyboardInterrupt

    seen = soak.run(show)
    assert seen.interrupted
    assert not seen.gone
    assert len(seen.outcomes) > 3
    assert seen.samples[-1].mebibytes > 1
    assert seen.failures == []
    assert not [thread for thread in threading.enumerate() if "_guarded" in thread.name], "its threads have ended"


def test_a_second_ctrl_c_does_not_wait_for_answers(
    server: Server, told: StandIn, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.silent = threading.Event()
    soak = Soak(server, deployment, Traffic(0, ()), Plan(60.0, 2, 0.1, 0.2, 0))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def show(minutes: float, seen: Seen) -> None:
        monkeypatch.setattr(threading.Thread, "join", interrupted)
        interrupted()

    seen = soak.run(show)
    monkeypatch.undo()
    before = len(seen.outcomes)
    told.silent.set()
    for thread in threading.enumerate():
        if "_guarded" in thread.name:
            thread.join()
    assert seen.given_up
    assert len(seen.outcomes) == before, "what was given up is not judged"


def test_an_engine_that_has_ended_ends_the_soak(server: Server, deployment: Deployment) -> None:
    gone = Server(server.url, server.model, server.log, 2**22 + 1, server.engine)
    seen = Soak(gone, deployment, Traffic(0, ()), Plan(60.0, 1, 0.1, 60.0, 0)).run(lambda minutes, seen: None)
    assert seen.gone
    assert seen.minutes < 60
