"""What a schema's keywords assert of one object or array, cut into the smallest assertions that hold or fail.

Strings and numbers have predicates already (:mod:`latticework.structured.lexemes.predicates`); these are their like for
the kinds of values that have parts.
"""

from __future__ import annotations

from dataclasses import dataclass

from latticework.structured.json_schema.ir import Schema


@dataclass(frozen=True, slots=True)
class Has:
    """The object has all of these names."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The object has this many properties, or the array this many items, or more."""

    count: int


@dataclass(frozen=True, slots=True)
class Members:
    """``properties``, ``patternProperties`` and ``additionalProperties`` of a schema, of the values."""

    schema: Schema


@dataclass(frozen=True, slots=True)
class Names:
    """Every name satisfies the schema."""

    schema: Schema


@dataclass(frozen=True, slots=True)
class Elements:
    """``prefixItems`` and ``items`` of a schema."""

    schema: Schema


@dataclass(frozen=True, slots=True)
class Contains:
    """At least ``count`` items satisfy the schema."""

    schema: Schema
    count: int


@dataclass(frozen=True, slots=True)
class Unique:
    """No two items are equal. ``schema`` is who says so, for messages; it does not count in comparisons."""

    pointer: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unique)

    def __hash__(self) -> int:
        return hash(Unique)


@dataclass(frozen=True, slots=True)
class Unevaluated:
    """What no schema beside this one has evaluated satisfies its ``unevaluatedProperties`` or ``unevaluatedItems``."""

    schema: Schema
