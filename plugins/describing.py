"""Options and settings as tables show them: for ``latticework plugins``, and for the manual's reference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

#: A JSON Schema, or a part of one.
Schema = Mapping[str, Any]

#: Longest default that is written out.
_SHOWN = 40


@dataclass(frozen=True)
class Described:
    """One field of a model.

    Attributes:
        name: As the model has it.
        type: In a word or two: ``integer``, ``list of string``, or the values there are.
        default: As JSON; ``required`` if there is none.
        limits: What its values and their number are held to, empty if nothing is.
        meaning: The model's own description.
    """

    name: str
    type: str
    default: str
    limits: str
    meaning: str

    @property
    def values(self) -> str:
        """What may be given: the type, with its limits."""
        return f"{self.type}, {self.limits}" if self.limits else self.type


def fields_of(model: type[BaseModel]) -> tuple[Described, ...]:
    """The fields of a model, in the order it declares them."""
    schema = model.model_json_schema()
    return tuple(field_of(name, part, schema) for name, part in schema.get("properties", {}).items())


def field_of(name: str, schema: Schema, root: Schema) -> Described:
    """One field. ``root``: the schema that references point into."""
    default, meaning = _written(schema.get("default", "required")), str(schema.get("description", ""))
    return Described(name, type_of(schema, root), default, limits_of(schema, root), meaning)


def resolved(schema: Schema, root: Schema) -> Schema:
    """What a schema says, or what the definition says that it refers to."""
    definition: Schema = root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return definition


def value_by_name(schema: Schema, root: Schema) -> Schema | None:
    """What an object holds under names of the user's choice; ``None`` if it is not of that kind."""
    patterns = schema.get("patternProperties", {})
    value = next(iter(patterns.values())) if patterns else schema.get("additionalProperties")
    return resolved(value, root) if isinstance(value, Mapping) else None


def type_of(schema: Schema, root: Schema) -> str:
    """The values of a schema in a few characters."""
    schema = resolved(schema, root)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(branch, root) for branch in schema["anyOf"]))
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {type_of(schema['items'], root)}" if "items" in schema else "list"
    if (value := value_by_name(schema, root)) is not None:
        return f"name to {type_of(value, root)}"
    return str(schema.get("type", "any"))


def limits_of(schema: Schema, root: Schema) -> str:
    """What a schema holds its values to, in the order: the value, its length, the number of its items, each item."""
    return ", ".join(dict.fromkeys(_limits(resolved(schema, root), root)))


def _limits(schema: Schema, root: Schema) -> Iterator[str]:
    for branch in schema.get("anyOf", ()):
        yield from _limits(resolved(branch, root), root)
    low = _plain(schema.get("minimum", schema.get("exclusiveMinimum")))
    high = _plain(schema.get("maximum", schema.get("exclusiveMaximum")))
    above, below = "exclusiveMinimum" in schema, "exclusiveMaximum" in schema
    yield from _range(low, high, "", "above" if above else "at least", "below" if below else "at most")
    yield from _range(schema.get("minLength"), schema.get("maxLength"), " characters")
    yield from _range(schema.get("minItems"), schema.get("maxItems"), " items")
    yield from _range(schema.get("minProperties"), schema.get("maxProperties"), " names")
    if "items" in schema:
        yield from (f"each {limit}" for limit in _limits(resolved(schema["items"], root), root))


def _plain(bound: Any) -> Any:
    """``0.0`` as ``0``."""
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _range(low: Any, high: Any, unit: str, least: str = "at least", most: str = "at most") -> Iterator[str]:
    if low is not None and low == high:
        yield f"{low}{unit}"
    elif low is not None and high is not None and (least, most) == ("at least", "at most"):
        yield f"{low} to {high}{unit}"
    else:
        yield from (f"{word} {bound}{unit}" for word, bound in ((least, low), (most, high)) if bound is not None)


def _written(default: Any) -> str:
    if isinstance(default, str):
        return default or '""'
    text = json.dumps(default, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
