"""What of a search is vLLM's own: seeds, and the endpoint that other engines do not have."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from integration.server import Server
from integration.tests.client import answer, chat, post
from integration.tests.test_search import PROMPT, searching

pytestmark = pytest.mark.engine


def test_the_answer_is_the_likeliest_of_its_candidates(engine, server):
    """Against the same candidates, asked for one by one with their seeds."""
    seed, n = 100, 4
    candidate = {"max_tokens": 24, "temperature": 0.8, "logprobs": True, "options": {"lw_drafter": "off"}}
    with ThreadPoolExecutor(n) as pool:
        responses = pool.map(lambda i: chat(server, PROMPT, seed=seed + i, **candidate).json(), range(n))
    choices = [response["choices"][0] for response in responses]

    def score(choice: dict[str, Any]) -> tuple[bool, float]:
        values = [entry["logprob"] for entry in choice["logprobs"]["content"]]
        return choice["finish_reason"] == "stop", math.fsum(values) / len(values)

    best = max(choices, key=score)
    assert len({choice["message"]["content"] for choice in choices}) > 1, "nothing to choose from"
    options = searching(n, lw_search_seed=seed, lw_search_temperature=0.8, lw_drafter="off")
    assert answer(server, PROMPT, max_tokens=24, **options) == best["message"]["content"]


def test_seeded_search_repeats(engine, server):
    options = searching(3, lw_search_seed=5, lw_drafter="off")
    assert answer(server, PROMPT, max_tokens=16, **options) == answer(server, PROMPT, max_tokens=16, **options)


def test_responses(engine, server: Server):
    options = server.engine.options(searching(2)["options"])
    body = {"model": server.model, "input": PROMPT, "max_output_tokens": 8, **options}
    response = post(server, "/v1/responses", body)
    assert response.status_code == 200, response.text
    assert response.json()["output"][-1]["content"][0]["text"]
