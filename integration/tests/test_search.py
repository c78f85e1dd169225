"""``lw_search``: many answers are written, one comes back, and nothing else shows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from integration.server import Server
from integration.tests.client import answer, chat, chat_body, post, stream, streamed_text, wait_until
from integration.tests.test_structured import CALL, IPV4, TAG, is_call, matches

pytestmark = pytest.mark.engine

PROMPT = "Tell me one thing about the moon."


def searching(n: int = 4, **more: Any) -> dict[str, Any]:
    return {"options": {"lw_search": "best_of_n", "lw_search_n": n, **more}}


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


@pytest.mark.capability("one answer")
def test_one_answer_comes_back(server):
    searches = Searches(server)
    response = chat(server, PROMPT, max_tokens=24, **searching(4))
    assert response.status_code == 200, response.text
    body = response.json()
    (choice,) = body["choices"]
    assert choice["index"] == 0
    assert not choice.get("logprobs")
    assert 0 < body["usage"]["completion_tokens"] <= 24
    assert searches.since() == {"ok": 1, "candidates": 4}
    assert wait_until(server.is_idle)


@pytest.mark.capability("one answer")
def test_the_likeliest_candidate_is_the_answer(server):
    """All candidates of a search without chance are the plain answer."""
    plain = answer(server, PROMPT, max_tokens=16)
    assert answer(server, PROMPT, max_tokens=16, **searching(3, lw_search_temperature=0.0)) == plain


@pytest.mark.capability("one answer")
def test_client_gets_the_logprobs_it_asked_for(server):
    response = chat(server, PROMPT, max_tokens=8, logprobs=True, top_logprobs=2, **searching(2))
    (choice,) = response.json()["choices"]
    assert len(choice["logprobs"]["content"]) == response.json()["usage"]["completion_tokens"]
    assert all(len(entry["top_logprobs"]) == 2 for entry in choice["logprobs"]["content"])


@pytest.mark.capability("search in streams")
def test_stream_brings_the_answer_in_valid_chunks(server):
    options = searching(3, lw_search_temperature=0.0, lw_drafter="off")
    chunks = stream(server, max_tokens=16, **options)
    assert len({chunk["id"] for chunk in chunks}) == 1
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert choices[0]["delta"]["role"] == "assistant"
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == [choices[-1]["finish_reason"]]
    whole = chat(server, max_tokens=16, **options).json()
    assert streamed_text(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]


@pytest.mark.capability("search with constraints")
@pytest.mark.parametrize("drafter", ["auto", "grammar", "off"])
def test_with_grammar_and_speculation(server, drafter):
    searches = Searches(server)
    options = searching(4, lw_drafter=drafter)
    matches(IPV4)(answer(server, "Give me an IP address.", constraint=("regex", IPV4), **options))
    is_call(answer(server, "What is the weather in Rome?", response_format=TAG, **options))
    assert answer(server, constraint=("json", CALL), **options).replace(" ", "")[:8] == '{"city":'
    assert searches.since() == {"ok": 3, "candidates": 12}


@pytest.mark.capability("search of several prompts")
def test_completions_with_several_prompts(server):
    searches = Searches(server)
    options = server.engine.options(searching(2)["options"])
    body = {"model": server.model, "prompt": ["The sky is", "The sea is"], "max_tokens": 8, **options}
    response = post(server, "/v1/completions", body)
    assert [choice["index"] for choice in response.json()["choices"]] == [0, 1]
    assert searches.since() == {"ok": 2, "candidates": 4}


@pytest.mark.capability("abandoned searches")
@pytest.mark.parametrize("streaming", [False, True])
def test_client_that_leaves_takes_all_candidates_along(server, streaming):
    searches = Searches(server)
    body = chat_body(server, "Write a long story.", max_tokens=1500, ignore_eos=True, stream=streaming, **searching(4))
    with pytest.raises(httpx.ReadTimeout), httpx.Client(timeout=2.0) as client:
        client.post(f"{server.url}/v1/chat/completions", json=body)
    assert wait_until(server.is_idle, 20), "candidates go on without their client"
    assert wait_until(lambda: searches.since() == {"cancelled": 1}), searches.since()


@pytest.mark.capability("one answer")
def test_off_is_a_plain_request(server):
    searches = Searches(server)
    plain = answer(server, PROMPT, max_tokens=16)
    assert answer(server, PROMPT, max_tokens=16, options={"lw_search": "off"}) == plain
    assert searches.since() == {}
