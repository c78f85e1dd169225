"""Drafters and processors in real servers: the same requests without speculation and with it, answer by answer.

In float32, so that greedy answers are compared token by token. Sampled claims are statistical: each comparison raises a
false alarm with a probability of at most :data:`FALSE_ALARM`. Seeds are fixed, so vLLM repeats a result; SGLang reads
them with ``--enable-deterministic-inference`` only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema
import pytest

from integration.conftest import ServerPool, StartServer
from integration.launch import Engine
from integration.server import Server
from integration.tests.client import (
    Constraint,
    answer,
    chat,
    complete,
    error_of,
    for_tests,
    open_sessions,
    texts,
    wait_until,
)
from integration.tests.distributions import Draws, compare

pytestmark = pytest.mark.engine

FALSE_ALARM = 0.001
PROMPTS = [
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
]
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
#: Twenty constrained requests: every kind of constraint, each with several prompts.
CONSTRAINTS: dict[str, Constraint] = {
    "json": ("json", SCHEMA),
    "regex": ("regex", "[0-9]{3}-[0-9]{4}"),
    "grammar": ("grammar", CITIES),
    "structural_tag": ("structural_tag", TAG),
    "choice": ("choice", ["yes, it is", "no, it is not"]),
}
QUESTIONS = [
    "Tell me about Berlin, where Bob, 5, lives.",
    "Is it true that 555-1234 is a number?",
    "Where is Paris? In France?",
    "Who is the oldest person?",
]
TOKENS = 32
DRAFTERS = ("auto", "branching", "prompt_lookup", "grammar", "explode", "off")
#: Few outcomes, so that distributions can be compared; the prompt makes some guesses right and some wrong.
LETTERS = "abab abba aabb baba abab abba aabb baba: "
THROWS = 160

Reference = dict[str, Any]


def constrained(server: Server, **options: Any) -> list[str]:
    return [
        text
        for constraint in CONSTRAINTS.values()
        for text in texts(complete(server, QUESTIONS, constraint=constraint, options=options, max_tokens=48))
    ]


def processed(server: Server, processor: str, **options: Any) -> list[str]:
    return texts(complete(server, PROMPTS[:6], options={"lw_processor": processor, **options}))


def throw(server: Server, seed: int, **options: Any) -> Draws:
    """What is written under a small constraint, many times, as numbers; other seeds give other draws."""
    wanted = {"n": THROWS, "temperature": 1.0, "top_p": 0.95, "max_tokens": 8, "seed": seed * THROWS}
    choices = complete(server, [LETTERS], constraint=("regex", "[ab]{3}"), options=options, **wanted)
    return [[ord(letter) for letter in text] for text in texts(choices)]


@pytest.fixture(scope="session")
def reference(engine: Engine, server_pool: ServerPool) -> Reference:
    """What the server without speculation answers."""
    server = server_pool.get(for_tests(engine.constraining))
    return {
        "plain": texts(complete(server, PROMPTS, max_tokens=TOKENS)),
        "constrained": constrained(server),
        "no_repeat": processed(server, "no_repeat"),
        "fsd": processed(server, "fsd"),
        "throws": [throw(server, seed) for seed in (1, 2)],
        "drafter": chat(server, options={"lw_drafter": "auto"}, max_tokens=2),
    }


@pytest.fixture
def server(engine: Engine, reference: Reference, start_server: StartServer) -> Server:
    return start_server(for_tests(engine.lattice))


@dataclass(frozen=True)
class Greedy:
    """What one drafter made of all prompts, drafting as much as it can: the answers, and by how much counters rose."""

    texts: list[str]
    accepted: float
    branches: float
    rows: float


@pytest.fixture(scope="session")
def greedily(engine: Engine, server_pool: ServerPool, reference: Reference) -> Callable[[str], Greedy]:
    """Answers all prompts with a drafter, once."""

    @cache
    def run(drafter: str) -> Greedy:
        server = server_pool.get(for_tests(engine.lattice))
        names = (engine.metrics.accepted, "latticework_test_branches_total", "latticework_test_rows_total")
        before = [server.metric(name) for name in names]
        budget = {} if drafter == "off" else {"lw_drafter_budget": 8}
        answers = texts(complete(server, PROMPTS, options={"lw_drafter": drafter, **budget}, max_tokens=TOKENS))
        return Greedy(answers, *(server.metric(name) - old for name, old in zip(names, before, strict=True)))

    return run


def test_there_are_enough_requests():
    assert len(set(PROMPTS)) >= 20
    assert len(CONSTRAINTS) * len(QUESTIONS) >= 20


@pytest.mark.capability("flags")
def test_a_drafter_needs_its_flag(engine, reference):
    assert reference["drafter"].status_code == 400
    flag = engine.lattice.flags[len(engine.constraining.flags)]
    assert flag in error_of(reference["drafter"])["message"]


@pytest.mark.capability("constraints")
def test_constraints_are_kept_without_speculation(reference):
    answers = iter(reference["constrained"])
    for name in CONSTRAINTS:
        for _ in QUESTIONS:
            text = next(answers)
            if name in ("json", "structural_tag"):
                jsonschema.validate(json.loads(text.removeprefix("<person>").removesuffix("</person>")), SCHEMA)


@pytest.mark.capability("greedy equality")
@pytest.mark.parametrize("drafter", DRAFTERS)
def test_speculation_changes_no_greedy_token(server, greedily, reference, drafter):
    assert greedily(drafter).texts == reference["plain"]


@pytest.mark.capability("greedy equality")
@pytest.mark.parametrize("drafter", ["auto", "branching", "grammar"])
def test_speculation_changes_no_constrained_token(server, reference, drafter):
    assert constrained(server, lw_drafter=drafter) == reference["constrained"]


@pytest.mark.capability("greedy equality")
def test_drafts_were_accepted(server, greedily):
    """Otherwise every equality above would be empty."""
    assert greedily("auto").accepted > 20


@pytest.mark.capability("trees")
def test_trees_are_accepted_along_any_branch(server, greedily):
    assert greedily("branching").branches > 0


@pytest.mark.capability("rejected nodes")
def test_drafters_are_shown_what_the_model_thought_of_rejected_nodes(server, greedily):
    """This drafter has nothing else to go by."""
    # More rows than tokens: some of them were of rejected nodes.
    assert greedily("branching").rows > TOKENS * len(PROMPTS)


@pytest.mark.capability("forced drafts")
def test_forced_text_is_drafted_and_accepted(server):
    names = ("latticework_forced_tokens_total", server.engine.metrics.accepted)
    before = [server.metric(name) for name in names]
    answer(server, QUESTIONS[0], constraint=CONSTRAINTS["structural_tag"])
    assert all(server.metric(name) > old for name, old in zip(names, before, strict=True))


@pytest.mark.capability("budgets")
def test_budgets_change_no_greedy_token(server, reference):
    names = ("latticework_draft_held_back_tokens_total", "latticework_draft_steps_total")
    before = [server.metric(name) for name in names]
    assert texts(complete(server, PROMPTS, options={"lw_drafter": "fusion"}, max_tokens=TOKENS)) == reference["plain"]
    assert all(server.metric(name) > old for name, old in zip(names, before, strict=True)), "everything was verified"


@pytest.mark.capability("budgets")
def test_a_fixed_budget_is_kept_to(server, reference):
    names = ("latticework_draft_tokens_total", "latticework_draft_steps_total")
    before = [server.metric(name, drafter="prompt_lookup") for name in names]
    options = {"lw_drafter": "prompt_lookup", "lw_drafter_budget": 1}
    assert texts(complete(server, PROMPTS, options=options, max_tokens=TOKENS)) == reference["plain"]
    after = [server.metric(name, drafter="prompt_lookup") for name in names]
    drafted, steps = (new - old for new, old in zip(after, before, strict=True))
    assert 0 < drafted <= steps


@pytest.mark.capability("bad input")
@pytest.mark.parametrize("budget", [0, 1025, "many"])
def test_a_wrong_budget_is_refused_by_name(server, budget):
    response = chat(server, options={"lw_drafter_budget": budget}, max_tokens=2)
    assert response.status_code == 400
    assert "lw_drafter_budget" in error_of(response)["message"]


@pytest.mark.capability("same distribution")
@pytest.mark.parametrize(("drafter", "seed"), [("auto", 3), ("branching", 4), ("prompt_lookup", 5)])
def test_speculation_keeps_the_distribution(server, reference, drafter, seed):
    first, second = reference["throws"]
    throws = throw(server, seed, lw_drafter=drafter)
    assert len(throws) == len(first) == THROWS
    noise, observed = compare(first, second, 3), compare([*first, *second], throws, 3)
    assert noise.p_value > FALSE_ALARM, "two runs without speculation already differ: the comparison means nothing"
    assert observed.p_value > FALSE_ALARM, f"distance {observed.distance:.3f}, noise floor {noise.distance:.3f}"


@pytest.mark.capability("processors under speculation")
@pytest.mark.parametrize("drafter", ["auto", "branching", "off"])
def test_processors_see_drafted_history(server, reference, drafter):
    assert processed(server, "no_repeat", lw_drafter=drafter) == reference["no_repeat"]
    assert reference["no_repeat"] != reference["plain"][:6], "a processor that does nothing proves nothing"


@pytest.mark.capability("processors under speculation")
def test_fsd_is_the_same_with_drafts(server, reference):
    assert processed(server, "fsd") == reference["fsd"]


@pytest.mark.capability("drafter failures")
def test_a_failing_drafter_costs_only_its_drafts(server, reference):
    before = server.metric("latticework_errors_total", role="drafter", plugin="explode")
    assert texts(complete(server, PROMPTS[:6], options={"lw_drafter": "explode"})) == reference["plain"][:6]
    assert server.metric("latticework_errors_total", role="drafter", plugin="explode") > before


@pytest.mark.capability("processor failures")
def test_a_failing_processor_costs_only_itself(server, reference):
    before = server.metric("latticework_errors_total", role="processor", plugin="explode")
    assert processed(server, "explode") == reference["plain"][:6]
    assert server.metric("latticework_errors_total", role="processor", plugin="explode") > before


@pytest.mark.capability("metrics")
def test_metrics_are_on_the_servers_own_page(server):
    names = {
        "latticework_grammar_compiles_total": {"outcome": "ok"},
        "latticework_draft_tokens_total": {},
        "latticework_forced_tokens_total": {},
    }
    before = {name: server.metric(name, **labels) for name, labels in names.items()}
    answer(server, constraint=("regex", "one and two and three (and|or) never seen before"))
    assert wait_until(lambda: all(server.metric(name, **names[name]) > old for name, old in before.items()), 20)


@pytest.mark.capability("metrics")
def test_sessions_end_with_their_requests(server):
    complete(server, PROMPTS[:4], max_tokens=2)
    answer(server, max_tokens=2)
    assert wait_until(lambda: open_sessions(server) <= server.engine.sessions_kept, 30), "sessions leak"
    assert server.healthy()
