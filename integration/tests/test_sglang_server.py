"""latticework in a real SGLang server: two starts, one without speculation as the reference and one with it.

In float32, so that greedy outputs are compared token by token.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from integration.server import ENGINES, Server
from integration.tests.distributions import compare

pytestmark = pytest.mark.engine

HERE = Path(__file__).parent
PLUGINS = os.pathsep.join((str(HERE / "sglang_plugins"), str(HERE / "worker_plugins")))
SPECULATIVE = replace(ENGINES["sglang"].lattice, dtype="float32", environment=(("PYTHONPATH", PLUGINS),))
#: Overlap scheduling is on here: it is SGLang's default.
PLAIN = replace(SPECULATIVE, flags=("--grammar-backend", "latticework"))

PROMPTS = (
    "The capital of France is",
    "1 2 3 4 5 1 2 3 4 5 1 2 3 4 5 1 2",
    "Repeat: the cat sat on the mat. the cat sat on the mat. the cat",
    "Write a haiku about the sea:",
    "def fibonacci(n):",
    "List three colours: red,",
    "Once upon a time",
    "The quick brown fox",
    "Q: What is 2+2?\nA:",
    "import numpy as",
    "SELECT name FROM users WHERE",
    "Dear Sir or Madam,",
    "The opposite of hot is",
    "Water boils at",
    "a b c d e f g a b c d e f g a b c",
    "In 1969, the first",
    "To make bread you need",
    "<html><body><h1>",
    "The largest planet is",
    "My favourite book is",
)
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
TAG = {
    "type": "structural_tag",
    "format": {
        "type": "tag",
        "begin": "<person>",
        "content": {"type": "json_schema", "json_schema": SCHEMA},
        "end": "</person>",
    },
}
CITIES = 'root ::= city " is in " country\ncity ::= "Paris" | "Berlin"\ncountry ::= "France" | "Germany"'
CONSTRAINTS: dict[str, dict[str, Any]] = {
    "json": {"json_schema": json.dumps(SCHEMA)},
    "regex": {"regex": "[0-9]{3}-[0-9]{4}"},
    "ebnf": {"ebnf": CITIES},
    "structural_tag": {"structural_tag": json.dumps(TAG)},
    "choice": {"custom_params": {"lw_choice": ["yes, it is", "no, it is not"]}},
    "json by llguidance": {"json_schema": json.dumps(SCHEMA), "custom_params": {"lw_engine": "llguidance"}},
}
DRAFTERS = ("auto", "branching", "prompt_lookup", "explode", "off")
#: Few outcomes, so that distributions can be compared; nothing about it is likely to be guessed right.
DICE = {"regex": "[ab]{3}", "max_new_tokens": 8, "temperature": 1.0, "top_p": 0.95}
THROWS = 160


def post(server: Server, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, timeout=httpx.Timeout(300.0))


def generate(server: Server, texts: Any, params: Any, **body: Any) -> Any:
    """Greedy and short unless ``params`` say otherwise."""
    defaults = {"temperature": 0, "max_new_tokens": 32}
    each = [{**defaults, **one} for one in params] if isinstance(params, list) else {**defaults, **params}
    response = post(server, "/generate", text=texts, sampling_params=each, **body)
    assert response.status_code == 200, response.text
    return response.json()


def chat(server: Server, **fields: Any) -> httpx.Response:
    messages = [{"role": "user", "content": "Is the sky blue?"}]
    body = {"model": server.model, "messages": messages, "temperature": 0, "max_tokens": 16, **fields}
    return post(server, "/v1/chat/completions", **body)


def with_options(params: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {**params, "custom_params": {**params.get("custom_params", {}), **options}}


def texts_of(answers: list[Any]) -> list[str]:
    return [answer["text"] for answer in answers]


def constrained(server: Server, **options: Any) -> list[str]:
    params = [with_options(each, **options) if options else each for each in CONSTRAINTS.values()]
    return texts_of(generate(server, ["Tell me about Berlin, where Bob, 5, lives: "] * len(params), params))


def processed(server: Server, **options: Any) -> list[str]:
    asked = with_options({}, lw_processor="no_repeat", **options)
    return texts_of(generate(server, list(PROMPTS[:6]), asked))


def throw(server: Server, **options: Any) -> list[list[int]]:
    params = with_options({**DICE, "n": THROWS}, **options) if options else {**DICE, "n": THROWS}
    return [answer["output_ids"] for answer in generate(server, "Some letters: ", params)]


def logprobs(server: Server) -> list[list[float]]:
    answers = generate(server, list(PROMPTS[:3]), {"max_new_tokens": 20}, return_logprob=True)
    return [[entry[0] for entry in answer["meta_info"]["output_token_logprobs"]] for answer in answers]


@pytest.fixture(scope="module")
def reference(server_pool) -> dict[str, Any]:
    """What the server without speculation answers."""
    server = server_pool.get(PLAIN)
    return {
        "plain": texts_of(generate(server, list(PROMPTS), {})),
        "constrained": constrained(server),
        "processed": processed(server),
        "throws": throw(server),
        "logprobs": logprobs(server),
        "drafter": post(
            server, "/generate", text="Hi", sampling_params=with_options({"max_new_tokens": 2}, lw_drafter="auto")
        ),
        "fsd": texts_of(generate(server, list(PROMPTS[:6]), with_options({}, lw_processor="fsd"))),
    }


@pytest.fixture
def server(reference, start_server: Callable[..., Server]) -> Server:
    return start_server(SPECULATIVE)


def test_constraints_are_kept(reference):
    answers = dict(zip(CONSTRAINTS, reference["constrained"], strict=True))
    assert set(json.loads(answers["json"])) == {"name", "age"}
    assert answers["json by llguidance"] == answers["json"]
    assert set(json.loads(answers["structural_tag"].removeprefix("<person>").removesuffix("</person>"))) == set(
        SCHEMA["properties"]
    )
    assert answers["regex"].replace("-", "").isdigit()
    assert answers["ebnf"].split(" is in ")[1] in {"France", "Germany"}
    assert answers["choice"] in CONSTRAINTS["choice"]["custom_params"]["lw_choice"]


def test_processors_change_what_is_written_under_overlap_scheduling(reference):
    assert all(a != b for a, b in zip(reference["processed"], reference["plain"], strict=False))


def test_a_drafter_needs_the_algorithm(reference):
    assert reference["drafter"].status_code == 400
    assert "--speculative-algorithm LATTICEWORK" in reference["drafter"].text


@pytest.mark.parametrize("drafter", DRAFTERS)
def test_speculation_changes_no_greedy_token(server, reference, drafter):
    answers = generate(server, list(PROMPTS), with_options({}, lw_drafter=drafter))
    assert texts_of(answers) == reference["plain"]


@pytest.mark.parametrize("drafter", ["auto", "branching", "grammar"])
def test_speculation_changes_no_constrained_token(server, reference, drafter):
    assert constrained(server, lw_drafter=drafter) == reference["constrained"]


def test_forced_text_is_drafted_and_accepted(server):
    before = server.metric("latticework_forced_tokens_total")
    answer = generate(server, "A person: ", CONSTRAINTS["structural_tag"])
    assert answer["meta_info"]["spec_accept_length"] > 1.5
    assert server.metric("latticework_forced_tokens_total") > before


def test_trees_are_accepted_along_any_branch(server):
    """And drafters see what the target thought of rejected nodes: this one has nothing else to go by."""
    generate(server, list(PROMPTS), with_options({"max_new_tokens": 60}, lw_drafter="branching"))
    assert server.metric("latticework_test_rows_total") > 0
    assert server.metric("latticework_test_branches_total") > 0
    assert server.metric("latticework_draft_accepted_tokens_total", drafter="branching") > 0


@pytest.mark.parametrize("drafter", ["auto", "branching"])
def test_speculation_keeps_the_distribution(server, reference, drafter):
    throws = throw(server, lw_drafter=drafter)
    assert len(throws) == len(reference["throws"]) == THROWS
    assert compare(throws, reference["throws"], 3).p_value > 0.001


def test_logprobs_are_those_without_speculation(server, reference):
    for mine, theirs in zip(logprobs(server), reference["logprobs"], strict=True):
        assert mine == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize("drafter", ["auto", "branching", "off"])
def test_processors_see_drafted_history(server, reference, drafter):
    assert processed(server, lw_drafter=drafter) == reference["processed"]


def test_fsd_is_the_same_with_drafts(server, reference):
    assert texts_of(generate(server, list(PROMPTS[:6]), with_options({}, lw_processor="fsd"))) == reference["fsd"]


def test_penalties_are_computed_token_by_token(server):
    """SGLang's penalties know committed tokens only, so such requests are not drafted for."""
    answer = generate(server, PROMPTS[1], {"frequency_penalty": 0.2})
    assert answer["meta_info"]["spec_num_correct_drafts"] == 0


def test_a_failing_processor_costs_only_itself(server, reference):
    before = server.metric("latticework_errors_total", role="processor", plugin="explode")
    answers = generate(server, list(PROMPTS[:6]), with_options({}, lw_processor="explode"))
    assert texts_of(answers) == reference["plain"][:6]
    assert server.metric("latticework_errors_total", role="processor", plugin="explode") > before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lw_engine": "nope"}, "lw_engine"),
        ({"lw_drafter_max_match": 1000}, "lw_drafter_max_match"),
        ({"lw_processor": "dill"}, "lw_processor"),
        ({"lw_search": "best_of_n", "lw_search_n": 0}, "lw_search_n"),
        ({"lw_choice": []}, "lw_choice"),
        ({"lw_engin": "auto"}, "lw_engin"),
        ({"lw_engine": {"a": 1}}, "lw_engine"),
    ],
)
def test_bad_options_are_a_400_that_names_them(server, options, said):
    for body in ({}, {"stream": True}):
        response = chat(server, custom_params=options, **body)
        assert response.status_code == 400
        assert said in response.text
    response = post(server, "/generate", text="Hi", sampling_params={"custom_params": options})
    assert response.status_code == 400
    assert said in response.text


def test_a_greedy_processor_is_refused_for_sampling(server):
    response = chat(server, temperature=0.7, custom_params={"lw_processor": "fsd"})
    assert response.status_code == 400
    assert "greedy" in response.text


@pytest.mark.parametrize(
    ("constraint", "said"), [({"regex": "(["}, "regex"), ({"ebnf": "root ::= nothing"}, "grammar")]
)
def test_bad_constraints_are_a_400(server, constraint, said):
    for body in ({}, {"stream": True}):
        response = chat(server, **constraint, **body)
        assert response.status_code == 400
        assert said in response.text


def test_openai_requests_are_constrained(server):
    schema = {"name": "person", "schema": SCHEMA}
    response = chat(server, max_tokens=40, response_format={"type": "json_schema", "json_schema": schema})
    assert set(json.loads(response.json()["choices"][0]["message"]["content"])) == {"name", "age"}
    tagged = chat(server, max_tokens=64, response_format=TAG).json()["choices"][0]["message"]["content"]
    assert tagged.startswith("<person>{")
    assert tagged.endswith("}</person>")


def test_a_search_is_one_answer_from_a_shared_prompt(server):
    before = server.metric("latticework_search_candidates_total")
    options = {"lw_search": "best_of_n", "lw_search_n": 3, "lw_search_temperature": 0.9}
    answer = generate(server, PROMPTS[1], with_options({"regex": " [0-9 ]{8}"}, **options))
    assert server.metric("latticework_search_candidates_total") == before + 3
    assert server.metric("latticework_searches_total", outcome="ok") > 0
    assert len(answer["text"]) == 9
    meta = answer["meta_info"]
    assert meta["cached_tokens"] == meta["prompt_tokens"] - 1, "candidates share the prompt in the radix cache"
    assert not any("logprobs" in key for key in meta), "the client did not ask for them"


def test_a_search_streams_its_answer(server):
    options = {"lw_search": "best_of_n", "lw_search_n": 2}
    plain = chat(server, custom_params={**options, "lw_search_temperature": 0.0}).json()
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": "Is the sky blue?"}],
        "temperature": 0,
        "max_tokens": 16,
        "stream": True,
        "custom_params": {**options, "lw_search_temperature": 0.0},
    }
    text = ""
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=180.0) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line.removeprefix("data: "))["choices"]:
                    text += choice["delta"].get("content") or ""
    assert text == plain["choices"][0]["message"]["content"]
    assert len(plain["choices"]) == 1


def test_what_cannot_be_searched_is_refused_by_name(server):
    options = {"lw_search": "best_of_n"}
    for body in ({"text": ["a", "b"], "sampling_params": {}}, {"text": "a", "sampling_params": {"n": 2}}):
        params = with_options(body.pop("sampling_params"), **options)
        response = post(server, "/generate", sampling_params=params, **body)
        assert response.status_code == 400
        assert "lw_search" in response.text


def test_sessions_end_with_their_requests(server):
    generate(server, "Hi", {"max_new_tokens": 2})
    end = time.monotonic() + 30
    while server.metric("latticework_sessions", process="scheduler") > 1 and time.monotonic() < end:
        time.sleep(0.5)
    # SGLang holds on to its last batch until the next one.
    assert server.metric("latticework_sessions", process="scheduler") <= 1
    assert server.healthy()
