"""What is SGLang's own: its native endpoint, the radix cache, overlap scheduling, log-probabilities, penalties.

What both engines do is in the files without an engine's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from integration.server import ENGINES, Server
from integration.tests.client import chat, for_tests, post

pytestmark = pytest.mark.engine

SPECULATIVE = for_tests(ENGINES["sglang"].lattice)
#: Overlap scheduling is on here: it is SGLang's default.
PLAIN = for_tests(ENGINES["sglang"].constraining)

PROMPTS = ("The capital of France is", "1 2 3 4 5 1 2 3 4 5 1 2 3 4 5 1 2", "def fibonacci(n):")


def generate(server: Server, texts: Any, params: dict[str, Any], **body: Any) -> Any:
    """Greedy and short unless ``params`` say otherwise."""
    sampling = {"temperature": 0, "max_new_tokens": 32, **params}
    response = post(server, "/generate", {"text": texts, "sampling_params": sampling, **body})
    assert response.status_code == 200, response.text
    return response.json()


def logprobs(server: Server) -> list[list[float]]:
    answers = generate(server, list(PROMPTS), {"max_new_tokens": 20}, return_logprob=True)
    return [[entry[0] for entry in answer["meta_info"]["output_token_logprobs"]] for answer in answers]


@pytest.fixture(scope="session")
def reference(server_pool) -> dict[str, Any]:
    """What the server without speculation answers."""
    server = server_pool.get(PLAIN)
    processed = generate(server, list(PROMPTS), {"custom_params": {"lw_processor": "no_repeat"}})
    return {
        "logprobs": logprobs(server),
        "plain": [answer["text"] for answer in generate(server, list(PROMPTS), {})],
        "processed": [answer["text"] for answer in processed],
    }


@pytest.fixture
def server(reference, start_server: Callable[..., Server]) -> Server:
    return start_server(SPECULATIVE)


def test_custom_params_that_are_no_object_are_refused_and_harm_nobody(server, reference):
    sampling = {"temperature": 0, "max_new_tokens": 4, "custom_params": [1]}
    refused = post(server, "/generate", {"text": "x", "sampling_params": sampling})
    assert refused.status_code == 400
    assert "custom_params: must be an object" in refused.text
    answers = generate(server, list(PROMPTS), {"custom_params": {"lw_processor": "no_repeat"}})
    assert [answer["text"] for answer in answers] == reference["processed"]


def test_processors_see_the_last_token_under_overlap_scheduling(server, reference):
    """There the host knows a token one step late: a processor that worked from that would write something else."""
    answers = generate(server, list(PROMPTS), {"custom_params": {"lw_processor": "no_repeat"}})
    assert [answer["text"] for answer in answers] == reference["processed"]


def test_the_processor_has_something_to_do(reference):
    assert reference["processed"] != reference["plain"]


def test_logprobs_are_those_without_speculation(server, reference):
    for mine, theirs in zip(logprobs(server), reference["logprobs"], strict=True):
        assert mine == pytest.approx(theirs, abs=2e-3)


def test_forced_text_is_accepted_in_long_steps(server):
    answer = generate(server, "A number: ", {"regex": "one and two and three and [0-9]"})
    assert answer["meta_info"]["spec_accept_length"] > 1.5


def test_penalties_are_computed_token_by_token(server):
    """SGLang's penalties know committed tokens only, so such requests are not drafted for."""
    answer = generate(server, PROMPTS[1], {"frequency_penalty": 0.2})
    assert answer["meta_info"]["spec_num_correct_drafts"] == 0


@pytest.mark.parametrize("options", [{"lw_engine": "nope"}, {"lw_choice": []}, {"lw_engine": {"a": 1}}])
def test_the_native_endpoint_refuses_bad_options(server, options):
    response = post(server, "/generate", {"text": "Hi", "sampling_params": {"custom_params": options}})
    assert response.status_code == 400
    assert next(iter(options)) in response.text


def test_a_list_of_answers_is_an_option(server):
    options = {"lw_choice": ["yes, it is", "no, it is not"]}
    assert generate(server, "Is it? ", {"custom_params": options})["text"] in options["lw_choice"]
    both = chat(server, custom_params=options, regex="a")
    assert both.status_code == 400
    assert "lw_choice" in both.text


def test_candidates_share_the_prompt_in_the_radix_cache(server):
    options = {"lw_search": "best_of_n", "lw_search_n": 3, "lw_search_temperature": 0.9}
    answer = generate(server, PROMPTS[1], {"regex": " [0-9 ]{8}", "custom_params": options})
    meta = answer["meta_info"]
    assert len(answer["text"]) == 9
    assert meta["cached_tokens"] == meta["prompt_tokens"] - 1
    assert not any("logprobs" in key for key in meta), "the client did not ask for them"


def test_what_cannot_be_searched_is_refused_by_name(server):
    options = {"custom_params": {"lw_search": "best_of_n"}}
    several = {"text": "a", "sampling_params": {**options, "n": 2}}
    for body in ({"text": ["a", "b"], "sampling_params": options}, several):
        response = post(server, "/generate", body)
        assert response.status_code == 400
        assert "lw_search" in response.text


def test_a_bad_constraint_of_a_stream_is_an_error_in_it(server):
    body = {"text": "Hi", "stream": True, "sampling_params": {"regex": "(["}}
    with httpx.stream("POST", f"{server.url}/generate", json=body, timeout=60.0) as response:
        assert "regex" in response.read().decode()
