"""Requests that must be refused: what an engine's tests and its soak send. Each must be a 400 that says why."""

from __future__ import annotations

from typing import Any

from integration.tests.client import Constraint


def nested(depth: int) -> dict[str, Any]:
    """A schema of objects inside objects."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def constrained(kind: str, payload: Any) -> dict[str, Constraint]:
    """The fields of a request with this constraint."""
    return {"constraint": (kind, payload)}


def options(**chosen: Any) -> dict[str, Any]:
    """The fields of a request with these options."""
    return {"options": chosen}


BIG = {"enum": [f"{number:04d}" + "x" * 1000 for number in range(1000)]}
SEARCH = {"lw_search": "best_of_n"}
RECURSIVE = {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}

#: name: (fields of the request, the field that the error names, part of the reason)
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "schema of unknown type": (constrained("json", {"type": "objekt"}), "json_schema", "objekt"),
    "schema with a malformed keyword": (
        constrained("json", {"type": "string", "maxLength": "x"}),
        "json_schema",
        "maxLength",
    ),
    "schema that nothing satisfies": (
        constrained("json", {"type": "integer", "minimum": 3, "maximum": 2}),
        "json_schema",
        "",
    ),
    "schema that refers to itself": (constrained("json", RECURSIVE), "json_schema", ""),
    "schema of 1 MB": (constrained("json", BIG), "json_schema", "524288"),
    "schema 400 levels deep": (constrained("json", nested(200)), "json_schema", "levels deep"),
    "regex that does not parse": (constrained("regex", "(abc"), "regex", ""),
    "regex with a backreference": (constrained("regex", r"(a)\1"), "regex", ""),
    "regex with a huge repetition": (constrained("regex", "((a{1000}){1000}){1000}"), "regex", ""),
    "grammar that does not parse": (constrained("grammar", "root ::= (("), "grammar", ""),
    "grammar without a rule that it uses": (constrained("grammar", "root ::= nothing"), "grammar", "nothing"),
    "empty grammar": (constrained("grammar", " "), "grammar", ""),
    "tag around a regex that does not parse": (
        {"response_format": {"type": "structural_tag", "format": {"type": "regex", "pattern": "(abc"}}},
        "structural_tag",
        "",
    ),
    "unknown engine": (constrained("choice", ["a"]) | options(lw_engine="quick"), "lw_engine", "quick"),
    "unknown drafter": (options(lw_drafter="quick"), "lw_drafter", "prompt_lookup"),
    "unknown processor": (options(lw_processor="quick"), "lw_processor", "fsd"),
    "unknown search": (options(lw_search="quick"), "lw_search", "best_of_n"),
    "unknown option": (options(lw_serch="best_of_n"), "lw_serch", "lw_search"),
    "unknown option of a plugin": (options(lw_search="best_of_n", lw_search_m=3), "lw_search_m", "lw_search_n"),
    "option of a plugin that is off": (options(lw_search_n=3), "lw_search_n", "lw_search"),
    "name of the wrong type": (options(lw_drafter=3), "lw_drafter", "must be a name"),
    "option of the wrong type": (options(lw_search="best_of_n", lw_search_n="four"), "lw_search_n", "integer"),
    "option out of range": (options(lw_search="best_of_n", lw_search_n=10_000), "lw_search_n", "10000"),
    "greedy-only processor on a sampled request": (
        options(lw_processor="fsd") | {"temperature": 0.8},
        "lw_processor",
        "temperature",
    ),
    "search with several answers": (options(**SEARCH) | {"n": 2, "temperature": 1}, "lw_search", "set n to 1"),
}
