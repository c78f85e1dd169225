"""A constraint that stops being enforceable in the middle of an answer ends that answer, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from integration.server import Server
from integration.tests.client import answer, chat, error_of, stream, streamed_text, wait_until
from integration.tests.test_errors import assert_refused

pytestmark = [pytest.mark.engine, pytest.mark.capability("unenforceable")]

#: The tests' grammar engine ``tiring`` gives up after eight tokens.
TIRING = {"lw_engine": "tiring"}
LATER = {"constraint": ("regex", "It was a dark and stormy night, and [a-z ]*"), "options": TIRING, "max_tokens": 400}


def assert_only_that_request_fails(server: Server) -> None:
    """Beside others, with the reason; the server goes on."""
    failures = server.metric("latticework_errors_total", role="engine", plugin="tiring")
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(answer, server, constraint=("choice", ["yes", "no"])) for _ in range(2)]
        others.append(pool.submit(answer, server, max_tokens=100))
        response = chat(server, **LATER)
        assert all(other.result() for other in others)
    assert response.status_code == 500, response.text
    message = error_of(response)["message"]
    assert "constraint" in message
    assert "the engine is tired" in message
    assert answer(server, constraint=("choice", ["fine"])) == "fine"
    assert wait_until(server.is_idle)
    assert server.metric("latticework_errors_total", role="engine", plugin="tiring") > failures


def test_only_that_request_fails_and_says_why(constraining_server):
    assert_only_that_request_fails(constraining_server)


def test_only_that_request_fails_under_speculation(server):
    assert_only_that_request_fails(server)


def test_stream_ends_with_the_reason(constraining_server):
    chunks = stream(constraining_server, **LATER)
    (message,) = [chunk["error"]["message"] for chunk in chunks if "error" in chunk]  # SGLang sends the usage after it
    assert "constraint" in message
    assert "the engine is tired" in message
    text = streamed_text([chunk for chunk in chunks if "error" not in chunk])
    assert "It was a dark and stormy night, and ".startswith(text), "nothing comes that the constraint forbids"


def test_what_cannot_be_enforced_from_the_start_is_refused(constraining_server):
    response = chat(constraining_server, constraint=("regex", "tired [a-z]+"), options=TIRING)
    assert_refused(response, "regex", "the engine is tired")
