"""What a restriction demands, in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from latticework.structured.explain.restrictions import Option, Restriction

_LONGEST = 120


def meaning(restriction: Restriction) -> str:
    """One clause: ``the number must be at least 18``."""
    if isinstance(restriction, Option):
        return _OPTIONS[restriction.name]
    if restriction.name == "false":
        return _nothing(restriction.path[-1] if restriction.path else "")
    clause = _CLAUSES.get(restriction.name)
    return clause(restriction.value) if clause else f"{restriction.name} is {short(restriction.value)}"


def short(value: Any) -> str:
    """A JSON value on one line, cut where it gets long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _nothing(place: str | int) -> str:
    """What a schema ``false`` means where it stands."""
    return {
        "additionalProperties": "no other keys are allowed",
        "unevaluatedProperties": "no keys are allowed that no other part of the schema speaks of",
        "items": "no further items are allowed",
        "additionalItems": "no further items are allowed",
        "unevaluatedItems": "no items are allowed that no other part of the schema speaks of",
        "propertyNames": "no keys are allowed",
    }.get(str(place), "nothing is allowed here")


def _count(value: Any, what: str) -> str:
    return f"{value} {what}" if value != 1 else f"1 {what.removesuffix('s')}"


def _type(value: Any) -> str:
    names = value if isinstance(value, list) else [value]
    return f"the value must be of type {' or '.join(map(str, names))}"


_OPTIONS = {
    "order": "the keys named under properties come in the order of the schema, before all others (option order)",
    "whitespace": "the document is laid out in one way, with fixed blanks (option whitespace)",
}
_CLAUSES: Mapping[str, Callable[[Any], str]] = {
    "type": _type,
    "enum": lambda value: f"the value must be one of {short(value)}",
    "const": lambda value: f"the value must be {short(value)}",
    "minimum": lambda value: f"the number must be at least {value}",
    "maximum": lambda value: f"the number must be at most {value}",
    "exclusiveMinimum": lambda value: f"the number must be above {value}",
    "exclusiveMaximum": lambda value: f"the number must be below {value}",
    "multipleOf": lambda value: f"the number must be a multiple of {value}",
    "minLength": lambda value: f"the string must have at least {_count(value, 'characters')}",
    "maxLength": lambda value: f"the string must have at most {_count(value, 'characters')}",
    "pattern": lambda value: f"the string must match {value}",
    "format": lambda value: f"the string must be a {value}",
    "minItems": lambda value: f"the array must have at least {_count(value, 'items')}",
    "maxItems": lambda value: f"the array must have at most {_count(value, 'items')}",
    "uniqueItems": lambda value: "the array's items must all differ",
    "contains": lambda value: f"some of the array's items must satisfy {short(value)}",
    "minContains": lambda value: f"at least {_count(value, 'items')} must satisfy contains",
    "maxContains": lambda value: f"at most {_count(value, 'items')} may satisfy contains",
    "minProperties": lambda value: f"the object must have at least {_count(value, 'keys')}",
    "maxProperties": lambda value: f"the object must have at most {_count(value, 'keys')}",
    "required": lambda value: f"the object must have the key {short(value)}",
    "dependentRequired": lambda value: f"some keys ask for others: {short(value)}",
    "dependencies": lambda value: f"the key asks for others: {short(value)}",
    "not": lambda value: f"the value must not satisfy {short(value)}",
    "oneOf": lambda value: f"exactly one of {_count(len(value), 'schemas')} must be satisfied, not several",
}
