"""Schemas with valid and invalid instances: what engines are measured on.

Two formats are read, plain or gzipped, one case a line:

* JSONSchemaBench (MaskBench): ``{"id", "family", "schema", "tests": [{"valid", "data"}]}``;
* the official test suite, a group a line: ``{"file", "description", "schema", "tests": [{"data", "valid", ...}]}``.

An instance is written as ``json.dumps(data, ensure_ascii=False)`` writes it, on one line and with its keys in the order
of the file, as MaskBench does it: its instances were put in the order of their schemas' properties when it was made.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Instance:
    """A document as text, and whether its schema takes it."""

    text: str
    valid: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One schema. ``family`` groups cases in reports: a source of schemas, or a keyword of the official suite."""

    name: str
    family: str
    schema: Any
    instances: tuple[Instance, ...]


def read_cases(path: Path, count: int | None = None) -> list[Case]:
    """The first ``count`` cases of a file, all of them by default."""
    cases: list[Case] = []
    with _open(path) as lines:
        for line in lines:
            if count is not None and len(cases) >= count:
                break
            cases.append(case_of(json.loads(line)))
    return cases


def case_of(record: Mapping[str, Any]) -> Case:
    """A case from either format."""
    family = str(record.get("family") or str(record.get("file", "")).removesuffix(".json"))
    name = str(record.get("id") or f"{family}: {record.get('description', '')}")
    return Case(name, family, record["schema"], tuple(_instances(record["tests"])))


def _instances(tests: list[Mapping[str, Any]]) -> Iterator[Instance]:
    for test in tests:
        yield Instance(json.dumps(test["data"], ensure_ascii=False), bool(test["valid"]))


def _open(path: Path) -> Any:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _case(name: str, schema: Any, valid: list[Any], invalid: list[Any]) -> Case:
    tests = [{"data": data, "valid": True} for data in valid] + [{"data": data, "valid": False} for data in invalid]
    return case_of({"id": name, "family": "builtin", "schema": schema, "tests": tests})


#: A handful of plain schemas: every engine is warmed up with them, and they are measured where no data is given.
BUILTIN = (
    _case(
        "person",
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "age": {"type": "integer", "minimum": 0, "maximum": 130},
                "email": {"type": ["string", "null"]},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["name", "age"],
            "additionalProperties": False,
        },
        [{"name": "Ada", "age": 36, "email": None, "tags": ["née Byron", "x"]}, {"name": "B", "age": 0}],
        [{"name": "Ada"}, {"name": "", "age": 3}, {"name": "Ada", "age": 131}, {"name": "Ada", "age": 3, "x": 1}],
    ),
    _case(
        "choice",
        {"enum": ["red", "green", "blue", 1, None]},
        ["red", "blue", 1, None],
        ["yellow", 2, True, "re"],
    ),
    _case(
        "tree",
        {
            "$ref": "#/$defs/node",
            "$defs": {
                "node": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "number"},
                        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 3},
                    },
                    "required": ["value"],
                    "additionalProperties": False,
                }
            },
        },
        [{"value": 1.5, "children": [{"value": -2, "children": []}, {"value": 3e10}]}],
        [{"children": []}, {"value": 1, "children": [{"value": "x"}]}],
    ),
    _case(
        "either",
        {
            "anyOf": [
                {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$"},
                {"type": "array", "items": {"type": "boolean"}, "minItems": 1},
            ]
        },
        ["DE123", [True, False]],
        ["de123", "DE", [], [1]],
    ),
    _case("anything", {"type": "object"}, [{"a": {"b": [1, "zwei", None, {"c": '\u2603 \\ "'}]}}, {}], [[], "x"]),
)
