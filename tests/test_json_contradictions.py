"""A schema that nothing satisfies is refused with the place and the keywords that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from latticework.structured.errors import GrammarError
from latticework.structured.json_machine import json_source

STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (False, "#: the schema 'false' allows nothing"),
        ({"enum": []}, "#: 'enum' lists nothing"),
        ({"const": 1, "enum": [2]}, "#: 'enum' lists nothing, or nothing that 'const' allows too"),
        (STRING | {"minLength": 2, "maxLength": 1}, "#: 'type', 'minLength' and 'maxLength' contradict each other"),
        (STRING | {"minLength": 2, "maxLength": 1, "pattern": "a"}, "'type', 'minLength' and 'maxLength' contradict"),
        ({"allOf": [{"const": 1}, {"const": 2}]}, "#: nothing satisfies 'allOf'"),
        ({"allOf": [STRING, {"allOf": [{"enum": []}]}]}, "#/allOf/1/allOf/0: 'enum' lists nothing"),
        ({"not": {}}, "#: nothing satisfies 'not'"),
        ({"type": "integer", "oneOf": [{"minimum": 1}, {"minimum": 1}]}, "#: nothing satisfies 'oneOf'"),
        ({"type": "array", "minItems": 1, "items": False}, "#/items: the schema 'false' allows nothing"),
        ({"type": "object", "required": ["a"], "additionalProperties": False},
         "#: 'type', 'additionalProperties' and 'required' contradict each other"),
        ({"type": "object", "required": ["a", "b"], "properties": {"a": STRING, "b": {"$ref": "#/$defs/b"}},
          "$defs": {"b": {"type": "integer", "minimum": 3, "maximum": 2}}},
         "#/$defs/b: 'type', 'minimum' and 'maximum' contradict each other"),
        ({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}},
         "#: needs itself inside, without end"),
        ({"anyOf": [{"enum": []}, False], "type": "string"}, "#: nothing satisfies 'anyOf'"),
    ],
)  # fmt: skip
def test_the_reason_is_named(schema: Any, reason: str) -> None:
    with pytest.raises(GrammarError) as caught:
        json_source(schema)
    head, _, found = caught.value.reason.partition("; ")
    assert head == "#: no JSON value of at most 64 levels of brackets is valid"
    assert found.startswith(reason) or reason in found


def test_what_is_said_is_true() -> None:
    """Without any one of the keywords that are named, something satisfies the schema."""
    schema = {"type": "array", "contains": {"const": 1}, "items": STRING, "maxItems": 5, "uniqueItems": True}
    with pytest.raises(GrammarError, match="'type', 'items' and 'contains' contradict each other"):
        json_source(schema)
    for name in ("type", "items", "contains"):
        json_source({keyword: value for keyword, value in schema.items() if keyword != name})
    for name in ("maxItems", "uniqueItems"):
        with pytest.raises(GrammarError):
            json_source({keyword: value for keyword, value in schema.items() if keyword != name})
