"""Installed but not switched on: outputs are those of vLLM without latticework, to the last log-probability."""

from __future__ import annotations

from typing import Any

import pytest

from integration.conftest import ServerPool
from integration.server import INSTALLED, STOCK, Server, ServerConfig
from integration.tests.client import chat, stream

pytestmark = pytest.mark.engine

REQUESTS: dict[str, dict[str, Any]] = {
    "greedy": {"max_tokens": 48, "logprobs": True, "top_logprobs": 3},
    "seeded": {"max_tokens": 48, "temperature": 0.9, "top_p": 0.9, "seed": 3, "logprobs": True},
    "several": {"max_tokens": 16, "temperature": 0.9, "seed": 4, "n": 3},
    "constrained": {"structured_outputs": {"regex": r"\d{3}-\d{4}"}, "logprobs": True},
    "beam search": {"max_tokens": 8, "use_beam_search": True, "n": 2},
    "foreign options": {"max_tokens": 8, "vllm_xargs": {"somebody": "else"}},
    "invalid": {"structured_outputs": {"regex": "(abc"}},
}


def ask(server: Server) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for name, fields in REQUESTS.items():
        response = chat(server, **fields)
        body = response.json()
        answers[name] = (response.status_code, body.get("choices"), body.get("usage"), body.get("error"))
    answers["stream"] = [chunk["choices"] for chunk in stream(server, max_tokens=16)]
    return answers


@pytest.fixture(scope="module")
def arms(server_pool: ServerPool) -> dict[str, Any]:
    def run(config: ServerConfig) -> dict[str, Any]:
        return ask(server_pool.get(config))

    float32 = {"dtype": "float32"}
    stock = run(ServerConfig(**float32, latticework=STOCK.latticework))
    installed = run(ServerConfig(**float32, latticework=INSTALLED.latticework))
    server = server_pool.get(ServerConfig(**float32, latticework=INSTALLED.latticework))
    refused = chat(server, structured_outputs={"choice": ["a"]}, vllm_xargs={"lw_engine": "lattice"})
    return {"stock": stock, "installed": installed, "lw_engine": refused}


@pytest.mark.parametrize("name", [*REQUESTS, "stream"])
def test_outputs_are_those_of_stock_vllm(arms, name):
    assert arms["installed"][name] == arms["stock"][name]


def test_engine_option_needs_its_flag(arms):
    response = arms["lw_engine"]
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "lw_engine"
    assert "--structured-outputs-config" in response.json()["error"]["message"]
