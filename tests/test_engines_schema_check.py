"""Malformed JSON Schemas are found, with the place and the reason, and well-formed ones are let through."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from latticework.structured import GrammarError
from latticework.structured.engines.schema_check import check_schema, resolve, walk

MALFORMED: list[tuple[Any, str]] = [
    (5, "#"),
    ([], "#"),
    ({"type": 5}, "#/type"),
    ({"type": "strin"}, "#/type"),
    ({"type": []}, "#/type"),
    ({"type": ["string", 3]}, "#/type"),
    ({"properties": []}, "#/properties"),
    ({"properties": {"a": 3}}, "#/properties/a"),
    ({"properties": {"a/b~": {"type": "x"}}}, "#/properties/a~1b~0/type"),
    ({"items": "x"}, "#/items"),
    ({"items": [{"type": "x"}]}, "#/items/0/type"),
    ({"anyOf": {}}, "#/anyOf"),
    ({"anyOf": []}, "#/anyOf"),
    ({"anyOf": [True, {"minLength": "3"}]}, "#/anyOf/1/minLength"),
    ({"minItems": -1}, "#/minItems"),
    ({"maxLength": 1.5}, "#/maxLength"),
    ({"minimum": "3"}, "#/minimum"),
    ({"maximum": True}, "#/maximum"),
    ({"multipleOf": 0}, "#/multipleOf"),
    ({"required": "a"}, "#/required"),
    ({"required": ["a", 1]}, "#/required"),
    ({"enum": {}}, "#/enum"),
    ({"enum": []}, "#/enum"),
    ({"uniqueItems": 1}, "#/uniqueItems"),
    ({"pattern": "("}, "#/pattern"),
    ({"pattern": 3}, "#/pattern"),
    ({"patternProperties": {"[": {}}}, "#/patternProperties"),
    ({"$ref": 3}, "#/$ref"),
    ({"$ref": "#/$defs/none"}, "#/$ref"),
    ({"not": {"dependentSchemas": {"a": {"type": "x"}}}}, "#/not/dependentSchemas/a/type"),
    ({"dependencies": {"a": ["b"], "c": {"type": "x"}}}, "#/dependencies/c/type"),
    ({"$defs": {"unused": {"type": "x"}}}, "#/$defs/unused/type"),
]
WELL_FORMED: list[Any] = [
    True,
    {},
    {"type": ["string", "null"], "minLength": 2.0},
    {"const": {"type": 5}, "enum": [{"type": 5}], "default": {"type": 5}, "examples": [{"properties": 3}]},
    {"properties": {"type": {"type": "string"}, "required": {}, "$ref": {"type": "string"}}},
    {"$ref": "#"},
    {"$ref": "#/$defs/a~1b%25/items/0", "$defs": {"a/b%": {"items": [{}]}}},
    {"$ref": "#anchor"},
    {"$ref": "https://example.com/elsewhere#/x"},
    {"$id": "https://example.com/r", "$defs": {"s": {"$id": "s", "$ref": "#/definitions/t"}}},
    {"pattern": "^\\p{Letter}\\u{1F600}(?<year>\\d)\\/[\\w-.]\\-$"},
    {"pattern": "^[a-z\\s-,]+\\_\\@$"},
    {"exclusiveMinimum": True, "minimum": 3},
    {"type": "string", "required": True},
    {"unknown": {"type": 5}},
]


@pytest.mark.parametrize(("schema", "pointer"), MALFORMED, ids=lambda value: json.dumps(value))
def test_malformed(schema: Any, pointer: str) -> None:
    with pytest.raises(GrammarError) as caught:
        check_schema(schema, "json_schema")
    assert caught.value.field == "json_schema"
    assert caught.value.reason.startswith(f"at {pointer}: ")


@pytest.mark.parametrize("schema", WELL_FORMED, ids=lambda value: json.dumps(value)[:60])
def test_well_formed(schema: Any) -> None:
    check_schema(schema, "json_schema")


def test_deep_schemas_do_not_exhaust_the_stack() -> None:
    schema: Any = {"type": "x"}
    for _ in range(20_000):
        schema = {"not": schema}
    with pytest.raises(GrammarError, match="/type"):
        check_schema(schema, "json_schema")


def test_walk_visits_parents_first_and_in_order() -> None:
    schema = {"properties": {"a": {"items": True}, "b": False}, "anyOf": [{}, {"not": {}}]}
    pointers = [pointer for pointer, _ in walk(schema)]
    assert pointers == [
        "#",
        "#/properties/a",
        "#/properties/a/items",
        "#/properties/b",
        "#/anyOf/0",
        "#/anyOf/1",
        "#/anyOf/1/not",
    ]
    for pointer, subschema in walk(schema):
        assert resolve(schema, pointer) == subschema


def test_real_schemas_are_well_formed(data_directory: Path) -> None:
    packed = data_directory / "jsonschema" / "dev.jsonl.gz"
    if not packed.exists():
        pytest.skip("needs the schema sample in the data")
    faults = []
    with gzip.open(packed, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    for record in records:
        try:
            check_schema(record["schema"], "json_schema")
        except GrammarError as error:
            faults.append((record["id"], error.reason))
    # A handful are broken indeed: a pattern or a reference that cannot be read.
    assert len(faults) <= 0.03 * len(records), faults
    print(f"\n{len(records)} schemas, malformed: {faults}")
