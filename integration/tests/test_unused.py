"""Installed but not switched on: outputs are those of the stock engine, to the last log-probability."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from integration.conftest import ServerPool
from integration.launch import Engine
from integration.server import Server, ServerConfig
from integration.tests.client import chat, error_of, stream, streamed_text, wait_until

pytestmark = pytest.mark.engine

REQUESTS: dict[str, dict[str, Any]] = {
    "greedy": {"max_tokens": 48, "logprobs": True, "top_logprobs": 3},
    "constrained": {"constraint": ("regex", r"\d{3}-\d{4}"), "logprobs": True},
    "foreign options": {"max_tokens": 8, "options": {"somebody": "else"}},
    "invalid": {"constraint": ("regex", "(abc")},
}
#: Engines whose seeds fix what is written, whatever else runs.
SEEDED: dict[str, dict[str, Any]] = {
    "seeded": {"max_tokens": 48, "temperature": 0.9, "top_p": 0.9, "seed": 3, "logprobs": True},
    "several": {"max_tokens": 16, "temperature": 0.9, "seed": 4, "n": 3},
    "beam search": {"max_tokens": 8, "use_beam_search": True, "n": 2},
}


def ask(server: Server) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    requests = REQUESTS | (SEEDED if server.engine.name == "vllm" else {})
    for name, fields in requests.items():
        response = chat(server, **fields)
        body = response.json()
        answers[name] = (response.status_code, body.get("choices"), body.get("usage"), body.get("error"))
    # Which tokens share a chunk is a matter of timing, in the stock engine too.
    chunks = stream(server, max_tokens=16)
    ends = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    answers["stream"] = streamed_text(chunks), ends, chunks[-1]["usage"]
    return answers


def count(server: Server) -> tuple[str, bool, bool]:
    """An answer, whether the server counted its tokens, and whether it is idle then. Engines count late."""
    generated = server.engine.metrics.generated
    before = server.metric(generated)
    response = chat(server, "What is the capital of France?", max_tokens=16).json()
    expected = before + response["usage"]["completion_tokens"]
    counted = wait_until(lambda: server.metric(generated) == expected, 10)
    return response["choices"][0]["message"]["content"], counted, wait_until(server.is_idle, 10)


def float32(config: ServerConfig) -> ServerConfig:
    return replace(config, dtype="float32")


@pytest.fixture(scope="module")
def arms(engine: Engine, server_pool: ServerPool) -> dict[str, Any]:
    def run(config: ServerConfig) -> dict[str, Any]:
        return ask(server_pool.get(float32(config)))

    stock, counted = run(engine.stock), count(server_pool.get(float32(engine.stock)))
    installed, server = run(engine.installed), server_pool.get(float32(engine.installed))
    refused = chat(server, constraint=("choice", ["a"]), options={"lw_engine": "lattice"})
    return {"stock": stock, "counted": counted, "installed": installed, "lw_engine": refused}


def test_the_stock_engine_answers_and_counts(arms):
    """Otherwise there is nothing to compare with, here and in the benchmarks."""
    assert arms["counted"] == ("The capital of France is Paris.", True, True)


@pytest.mark.capability("unused")
def test_outputs_are_those_of_the_stock_engine(arms):
    for name, theirs in arms["stock"].items():
        assert arms["installed"][name] == theirs, name


@pytest.mark.capability("flags")
def test_engine_option_needs_its_flag(engine, arms):
    assert arms["lw_engine"].status_code == 400
    message = error_of(arms["lw_engine"])["message"]
    assert "lw_engine" in message
    assert engine.constraining.flags[0] in message
