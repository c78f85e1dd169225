"""``on_unsupported="warn"`` only ever allows more: nothing that the schema allows as it was written is blocked.

What is left out here is a reference out of the document. Whatever it might have led to, every document that would then
be valid must be accepted.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from random_schemas import schemas, values
from test_json_machine import accepts

from latticework.bench.walks.judge import Judge
from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError
from latticework.structured.json_machine import json_source
from latticework.structured.json_machine.source import JsonMachine
from latticework.structured.json_options import JsonOptions, OnUnsupported, Order, Whitespace
from latticework.structured.pushdown.automaton import PushdownAutomaton

REMOTE = "https://elsewhere.example/schema"
MEANINGS = (True, False, {"type": "integer"}, {"properties": {"a": True}}, {"items": {"const": 1}}, {"minItems": 2})
DOCUMENTS = (
    *(1, 2, "a", "ab", True, None, [], [1], [1, 2], [2, 2], ["a", 1, 1], {}, {"a": 1}, {"a": "a"}, {"b": 1}),
    *({"a": 1, "b": 2}, {"c": [1]}, {"ab": {"a": 1}}, [{"a": 1}], {"a": 1, "b": 1, "c": 1}),
)
OPTIONS = JsonOptions(order=Order.ANY, whitespace=Whitespace.LINE, on_unsupported=OnUnsupported.WARN)


def meaning(schema: Any, remote: Any) -> Any:
    """The schema, had the reference led to ``remote``."""
    text = json.dumps(schema).replace(json.dumps(REMOTE), '"#/$defs/remote"')
    return json.loads(text) | {"$defs": {"remote": remote}}


def lost(schema: Any, documents: tuple[Any, ...] = DOCUMENTS) -> list[tuple[Any, Any]]:
    """The documents that are blocked, each with a meaning of the reference under which it is valid."""
    automaton = PushdownAutomaton(relaxed(schema))
    blocked = []
    for document in documents:
        text = json.dumps(document).encode()
        if not accepts(automaton, text):
            blocked += [(document, each) for each in MEANINGS if Judge(meaning(schema, each)).fault(text) is None]
    return blocked


def relaxed(schema: Any) -> JsonMachine:
    return json_source(schema, OPTIONS)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas(2, (REMOTE,)), values(2))
def test_nothing_is_blocked_that_might_be_valid(schema: Any, document: Any) -> None:
    assume(REMOTE in json.dumps(schema))
    try:
        relaxed(schema)
    except (UnsupportedGrammarError, BudgetExceededError):
        assume(False)
    except GrammarError:
        checked = [Judge(meaning(schema, each)) for each in MEANINGS]
        texts = [json.dumps(each).encode() for each in DOCUMENTS]
        assert all(judge.fault(text) is not None for judge in checked for text in texts)
        return
    assert lost(schema, (*DOCUMENTS, document)) == []


R = {"$ref": REMOTE}


@pytest.mark.parametrize(
    ("schema", "also", "still_refused"),
    [
        ({"not": R}, {("#", "not")}, []),
        ({"not": {"required": ["a"], **R}, "type": "object"}, {("#", "not")}, [1]),
        ({"not": {"not": R}}, {("#/not", "not"), ("#", "not")}, []),
        ({"oneOf": [R, {"type": "integer"}], "maximum": 1}, {("#", "oneOf")}, [2]),
        ({"if": R, "then": {"const": 1}, "else": {"const": 2}}, {("#", "if")}, ["a"]),
        ({"if": R, "then": {"const": 1}}, {("#", "if")}, []),
        ({"if": {"type": "integer"}, "then": R, "else": {"const": "a"}}, set(), ["ab"]),
        ({"contains": R, "maxContains": 1, "maxItems": 2}, {("#", "maxContains")}, [["a", 1, 1]]),
        ({"anyOf": [R], "unevaluatedProperties": False, "unevaluatedItems": False},
         {("#", "unevaluatedProperties"), ("#", "unevaluatedItems")}, []),
        ({"properties": {"a": R}, "unevaluatedProperties": False}, set(), [{"b": 1}]),
        ({"items": {"not": {"pattern": r"(a)\1"}}, "type": "array"}, {("#/items", "not")}, [1]),
    ],
)  # fmt: skip
def test_what_must_go_as_well_is_recorded_and_the_rest_is_kept(
    schema: Any, also: set[tuple[str, str]], still_refused: list[Any]
) -> None:
    source = relaxed(schema)
    assert {entry[:2] for entry in source.dropped[1:]} == also
    automaton = PushdownAutomaton(source)
    assert not any(accepts(automaton, json.dumps(document)) for document in still_refused)
    if REMOTE in json.dumps(schema):
        assert lost(schema) == []
