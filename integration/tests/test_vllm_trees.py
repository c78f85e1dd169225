"""Trees on vLLM's CPU attention (``drafter.trees``): the same answers as without speculation, along any branch.

In float32. The blocks of the key-value cache are as small as vLLM allows, so that branches lie across their bounds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from integration.server import LATTICE, Server
from integration.tests.client import answer, complete, for_tests, texts
from integration.tests.distributions import compare
from integration.tests.test_speculation import CONSTRAINTS, FALSE_ALARM, LETTERS, PROMPTS, QUESTIONS, TOKENS

pytestmark = [pytest.mark.engine, pytest.mark.long]

BLOCKS = ("--block-size", "32")
PLAIN = for_tests(replace(LATTICE, flags=())).with_flags(*BLOCKS)
THROWS = 160


def with_trees() -> Any:
    config = for_tests(LATTICE).with_flags(*BLOCKS)
    return replace(config, environment=(*config.environment, ("LATTICEWORK_DRAFTER__TREES", "true")))


def throw(server: Server, seed: int, **options: Any) -> list[list[int]]:
    """The first letters of many continuations, as numbers."""
    wanted = {"n": THROWS, "temperature": 1.0, "top_p": 0.95, "max_tokens": 4, "seed": seed * THROWS}
    choices = complete(server, [LETTERS], options=options, **wanted)
    return [[ord(letter) for letter in text[:4]] for text in texts(choices)]


@pytest.fixture(scope="module")
def reference(server_pool) -> dict[str, Any]:
    server = server_pool.get(PLAIN)
    return {
        "greedy": texts(complete(server, PROMPTS, max_tokens=TOKENS)),
        "throws": [throw(server, seed) for seed in (1, 2)],
        "penalty": texts(complete(server, PROMPTS[:4], max_tokens=TOKENS, frequency_penalty=0.5)),
    }


@pytest.fixture
def server(reference, server_pool) -> Server:
    return server_pool.get(with_trees())


@pytest.mark.parametrize("drafter", ["branching", "fusion"])
def test_trees_change_no_greedy_token(server, reference, drafter):
    options = {"lw_drafter": drafter, "lw_drafter_budget": 8}
    assert texts(complete(server, PROMPTS, options=options, max_tokens=TOKENS)) == reference["greedy"]


@pytest.mark.parametrize("drafter", ["branching", "fusion"])
def test_trees_of_one_request_change_no_greedy_token(server, reference, drafter):
    """Alone in its batch, a request's rows are laid out otherwise."""
    options = {"lw_drafter": drafter, "lw_drafter_budget": 8}
    for prompt, expected in list(zip(PROMPTS, reference["greedy"], strict=True))[:5]:
        assert texts(complete(server, [prompt], options=options, max_tokens=TOKENS)) == [expected]


def test_branches_were_taken(server, reference):
    """Otherwise the equalities above would be empty."""
    before = server.metric("latticework_test_branches_total")
    complete(server, PROMPTS, options={"lw_drafter": "branching", "lw_drafter_budget": 8}, max_tokens=TOKENS)
    assert server.metric("latticework_test_branches_total") > before


def test_trees_keep_the_distribution(server, reference):
    first, second = reference["throws"]
    throws = throw(server, 3, lw_drafter="branching", lw_drafter_budget=8)
    noise, observed = compare(first, second, 3), compare([*first, *second], throws, 3)
    assert noise.p_value > FALSE_ALARM, "two runs without speculation already differ: the comparison means nothing"
    assert observed.p_value > FALSE_ALARM, f"distance {observed.distance:.3f}, noise floor {noise.distance:.3f}"


def test_what_trees_cannot_serve_is_served_by_chains(server, reference):
    options = {"lw_drafter": "branching"}
    penalty = texts(complete(server, PROMPTS[:4], options=options, max_tokens=TOKENS, frequency_penalty=0.5))
    assert penalty == reference["penalty"]
    assert answer(server, QUESTIONS[0], constraint=CONSTRAINTS["choice"], options=options) in CONSTRAINTS["choice"][1]
