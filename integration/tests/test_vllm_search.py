"""``lw_search``: many answers are written, one comes back, and nothing else shows."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from integration.conftest import StartServer
from integration.server import Server
from integration.tests.client import SERVER, answer, chat, chat_body, is_idle, post, stream, wait_until
from integration.tests.test_vllm_structured import CALL, IPV4, TAG, is_call, matches

pytestmark = pytest.mark.engine

PROMPT = "Tell me one thing about the moon."


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server(SERVER)


def searching(n: int = 4, **more: Any) -> dict[str, Any]:
    return {"vllm_xargs": {"lw_search": "best_of_n", "lw_search_n": n, **more}}


class Searches:
    """What the search counters say has happened since this object was made."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        metric = self._server.metric
        found = {
            outcome: metric("latticework_searches_total", outcome=outcome)
            for outcome in ("ok", "cancelled", "fallback")
        }
        return found | {"candidates": metric("latticework_search_candidates_total")}

    def since(self) -> dict[str, float]:
        return {name: value - self._before[name] for name, value in self._read().items() if value != self._before[name]}


def test_one_answer_comes_back(server):
    searches = Searches(server)
    response = chat(server, PROMPT, max_tokens=24, return_token_ids=True, **searching(4))
    assert response.status_code == 200, response.text
    body = response.json()
    (choice,) = body["choices"]
    assert choice["index"] == 0
    assert choice["logprobs"] is None
    assert body["usage"]["completion_tokens"] == len(choice["token_ids"]) <= 24
    assert searches.since() == {"ok": 1, "candidates": 4}
    assert wait_until(lambda: is_idle(server))


def test_the_likeliest_candidate_is_the_answer(server):
    """Against the same candidates, asked for one by one with their seeds."""
    seed, n = 100, 4
    candidate = {"max_tokens": 24, "temperature": 0.8, "logprobs": True, "vllm_xargs": {"lw_drafter": "off"}}
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


def test_client_gets_the_logprobs_it_asked_for(server):
    response = chat(server, PROMPT, max_tokens=8, logprobs=True, top_logprobs=2, return_token_ids=True, **searching(2))
    (choice,) = response.json()["choices"]
    assert len(choice["logprobs"]["content"]) == len(choice["token_ids"])
    assert all(len(entry["top_logprobs"]) == 2 for entry in choice["logprobs"]["content"])


def test_seeded_search_repeats(server):
    options = searching(3, lw_search_seed=5, lw_drafter="off")
    assert answer(server, PROMPT, max_tokens=16, **options) == answer(server, PROMPT, max_tokens=16, **options)


def test_stream_brings_the_answer_in_valid_chunks(server):
    chunks = stream(server, max_tokens=16, **searching(3, lw_search_seed=5, lw_drafter="off"))
    assert len({chunk["id"] for chunk in chunks}) == 1
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert choices[0]["delta"]["role"] == "assistant"
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == [choices[-1]["finish_reason"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    whole = chat(server, max_tokens=16, **searching(3, lw_search_seed=5, lw_drafter="off")).json()
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"] == {k: v for k, v in whole["usage"].items() if k in chunks[-1]["usage"]}


@pytest.mark.parametrize("drafter", ["auto", "grammar", "off"])
def test_with_grammar_and_speculation(server, drafter):
    searches = Searches(server)
    options = searching(4, lw_drafter=drafter)
    matches(IPV4)(answer(server, "Give me an IP address.", structured_outputs={"regex": IPV4}, **options))
    is_call(answer(server, "What is the weather in Rome?", response_format=TAG, **options))
    assert answer(server, structured_outputs={"json": CALL}, **options).replace(" ", "")[:8] == '{"city":'
    assert searches.since() == {"ok": 3, "candidates": 12}


def test_completions_with_several_prompts(server):
    searches = Searches(server)
    body = {"model": server.model, "prompt": ["The sky is", "The sea is"], "max_tokens": 8, **searching(2)}
    response = post(server, "/v1/completions", body)
    assert [choice["index"] for choice in response.json()["choices"]] == [0, 1]
    assert searches.since() == {"ok": 2, "candidates": 4}


def test_responses(server):
    body = {"model": server.model, "input": PROMPT, "max_output_tokens": 8, **searching(2)}
    response = post(server, "/v1/responses", body)
    assert response.status_code == 200, response.text
    assert response.json()["output"][-1]["content"][0]["text"]


@pytest.mark.parametrize("streaming", [False, True])
def test_client_that_leaves_takes_all_candidates_along(server, streaming):
    searches = Searches(server)
    body = chat_body(server, "Write a long story.", max_tokens=1500, ignore_eos=True, stream=streaming, **searching(4))
    with pytest.raises(httpx.ReadTimeout), httpx.Client(timeout=2.0) as client:
        client.post(f"{server.url}/v1/chat/completions", json=body)
    assert wait_until(lambda: is_idle(server), 20), "candidates go on without their client"
    assert wait_until(lambda: searches.since() == {"cancelled": 1}), searches.since()


def test_off_is_a_plain_request(server):
    searches = Searches(server)
    plain = answer(server, PROMPT, max_tokens=16)
    assert answer(server, PROMPT, max_tokens=16, vllm_xargs={"lw_search": "off"}) == plain
    assert searches.since() == {}
