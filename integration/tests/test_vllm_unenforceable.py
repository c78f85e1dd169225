"""A constraint that stops being enforceable in the middle of an answer ends that answer, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from integration.conftest import StartServer
from integration.server import STRUCTURED_OUTPUTS, Server, ServerConfig
from integration.tests.client import answer, chat, is_idle, stream, wait_until

pytestmark = pytest.mark.engine

#: So few states that a constraint may be used up in the middle of a text; no speculation.
CONFIG = replace(
    ServerConfig(dtype="float32", environment=(("LATTICEWORK_GRAMMAR__LIMITS__MAX_STATES", "150"),)),
    flags=STRUCTURED_OUTPUTS,
)
#: Cheap for as long as the text is given, too expensive after that.
EXPENSIVE = "[A-Za-z .,]*e[A-Za-z .,]{12}"
LATER = {"structured_outputs": {"regex": f"It was a dark and stormy night, and {EXPENSIVE}"}, "max_tokens": 400}


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server(CONFIG)


def test_only_that_request_fails_and_says_why(server):
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(answer, server, structured_outputs={"choice": ["yes", "no"]}) for _ in range(2)]
        others.append(pool.submit(answer, server, max_tokens=100))
        response = chat(server, **LATER)
        assert all(other.result() for other in others)
    assert response.status_code == 500, response.text
    message = response.json()["error"]["message"]
    assert "constraint" in message
    assert "150" in message
    assert answer(server, structured_outputs={"choice": ["fine"]}) == "fine"
    assert wait_until(lambda: is_idle(server))
    assert server.metric("latticework_errors_total", role="engine", plugin="lattice") >= 1


def test_stream_ends_with_the_reason(server):
    chunks = stream(server, **LATER)
    assert "constraint" in chunks[-1]["error"]["message"]


def test_drafter_needs_its_flag(server):
    response = chat(server, vllm_xargs={"lw_drafter": "prompt_lookup"})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "lw_drafter"
    assert "--speculative-config" in response.json()["error"]["message"]
    assert answer(server, vllm_xargs={"lw_drafter": "off"}, max_tokens=4), "switching off what is off is no error"


def test_what_is_too_expensive_from_the_start_is_refused(server):
    response = chat(server, structured_outputs={"regex": EXPENSIVE})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == "regex"
    assert "150" in response.json()["error"]["message"]
