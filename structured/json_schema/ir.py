"""What a JSON Schema says, in one form for every draft: a graph of :class:`Schema` nodes.

A node is one schema object of the document with its draft's peculiarities resolved: references are plain Python
references (so recursion is a cycle), ``items`` means the items after ``prefix_items`` in every draft, bounds are exact
fractions. Nodes are compared by identity and filled in place while the document is read; nobody changes them later.

A keyword that is absent has the value that asserts nothing. Each keyword speaks of its own kind of value only, as in
the specification: ``min_length`` says nothing of a number. A schema object whose only content is a ``$ref`` is not a
node of its own: whoever refers to it refers to the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeAlias

from latticework.structured.json_schema.path import Path, render

#: A JSON value as ``json.loads`` gives it: None, bool, int, float, str, list, dict.
JSONValue: TypeAlias = Any

#: What was left out because it cannot be enforced: the pointer of the schema, the keyword, the reason.
Dropped: TypeAlias = tuple[str, str, str]


@dataclass(slots=True, eq=False, repr=False)
class Schema:
    """One schema. Every field but ``path`` is a keyword, under the name that the 2020-12 draft gives it.

    Attributes:
        path: Where the schema stands; :attr:`pointer` for people.
        constant: The boolean schemas: ``True`` allows everything, ``False`` nothing. Then no other field is set.
        types: Names out of null, boolean, integer, number, string, array, object; ``None`` is any.
        integer_fraction: Whether 1.0 is an integer (from draft 6 on), or only what has no fraction at all (draft 4).
        enum: The allowed values; ``const`` is an ``enum`` of one. Compare with :func:`.values.json_key`: True is not
            1, 1.0 is 1. An empty tuple allows nothing.
        minimum, maximum, exclusive_minimum, exclusive_maximum, multiple_of: Exact: 0.1 is one tenth.
        min_length, max_length: In characters (code points).
        pattern: An ECMA-262 regular expression, found anywhere in the string. Not checked here.
        format: One of the standard formats, to be asserted. ``None`` if absent or only an annotation.
        properties: In the order of the document.
        additional_properties: For the properties that neither ``properties`` nor ``pattern_properties`` names.
        required: Without repetitions, in the order of the document.
        items: For the items from ``len(prefix_items)`` on.
        min_contains: Has a meaning only beside ``contains``, like ``max_contains``.
        contains_evaluates: Whether ``contains`` counts the items that it matches as evaluated (from 2020-12 on).
        negated: The keyword ``not``.
        condition, then, otherwise: ``if``, ``then``, ``else``. Without a condition the others are ``None``.
        refs: Targets of ``$ref``, ``$recursiveRef`` and ``$dynamicRef`` that stand beside other keywords.
    """

    path: Path = "#"
    constant: bool | None = None
    types: frozenset[str] | None = None
    integer_fraction: bool = True
    enum: tuple[JSONValue, ...] | None = None

    minimum: Fraction | None = None
    maximum: Fraction | None = None
    exclusive_minimum: Fraction | None = None
    exclusive_maximum: Fraction | None = None
    multiple_of: Fraction | None = None

    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None

    properties: Mapping[str, Schema] = field(default_factory=dict)
    pattern_properties: Mapping[str, Schema] = field(default_factory=dict)
    additional_properties: Schema | None = None
    property_names: Schema | None = None
    required: tuple[str, ...] = ()
    min_properties: int | None = None
    max_properties: int | None = None
    dependent_required: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dependent_schemas: Mapping[str, Schema] = field(default_factory=dict)
    unevaluated_properties: Schema | None = None

    prefix_items: tuple[Schema, ...] = ()
    items: Schema | None = None
    contains: Schema | None = None
    min_contains: int = 1
    max_contains: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    unique_items: bool = False
    unevaluated_items: Schema | None = None
    contains_evaluates: bool = True

    all_of: tuple[Schema, ...] = ()
    any_of: tuple[Schema, ...] = ()
    one_of: tuple[Schema, ...] = ()
    negated: Schema | None = None
    condition: Schema | None = None
    then: Schema | None = None
    otherwise: Schema | None = None
    refs: tuple[Schema, ...] = ()

    @property
    def pointer(self) -> str:
        """Where the schema stands: a JSON pointer behind ``#``, or behind the URI of a draft's own metaschema."""
        return render(self.path)

    def __repr__(self) -> str:
        return f"Schema({self.pointer!r})"

    def in_place(self) -> Iterator[Schema]:
        """The schemas that this one applies to the same value."""
        yield from self.refs
        yield from self.all_of
        yield from self.any_of
        yield from self.one_of
        yield from self.dependent_schemas.values()
        for schema in (self.negated, self.condition, self.then, self.otherwise):
            if schema is not None:
                yield schema

    def children(self) -> Iterator[Schema]:
        """The schemas that this one applies to parts of the value: items, properties and their names."""
        yield from self.properties.values()
        yield from self.pattern_properties.values()
        yield from self.prefix_items
        for schema in (
            self.additional_properties,
            self.property_names,
            self.unevaluated_properties,
            self.items,
            self.contains,
            self.unevaluated_items,
        ):
            if schema is not None:
                yield schema


@dataclass(frozen=True, slots=True)
class Document:
    """A schema document that has been read.

    Attributes:
        root: What the whole value must satisfy.
        dropped: What was left out. Empty unless the document was read with ``on_unsupported="warn"``.
    """

    root: Schema
    dropped: tuple[Dropped, ...] = ()


def reachable(root: Schema) -> list[Schema]:
    """Every schema that ``root`` applies to a value or to a part of one, ``root`` first, each once.

    In the order in which a reader meets them who looks up every reference at once.
    """
    found: dict[Schema, None] = {}
    pending = [root]
    while pending:
        schema = pending.pop()
        if schema not in found:
            found[schema] = None
            pending += reversed((*schema.in_place(), *schema.children()))
    return list(found)
