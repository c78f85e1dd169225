"""Schemas of values without parts: equal ones count as one schema, and what was built for one serves all grammars.

Most schemas of a document are such leaves, and most leaves are alike: ``{"type": "string"}`` stands in it fifty times.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from latticework.structured.json_schema.ir import Schema
from latticework.structured.json_schema.values import json_key
from latticework.structured.pushdown.protocol import Action
from latticework.structured.pushdown.table import Table
from latticework.structured.table_cache import TABLES

_PARTED = frozenset(("object", "array"))


@dataclass(frozen=True, slots=True)
class Built:
    """What a demand that only leaves make comes to; see :class:`~.demand.Demand`.

    Attributes:
        table: Reads the value.
        goal: The table's results that are good.
        actions: What each of them leads to.
    """

    table: Table
    goal: int
    actions: dict[int, Action]


class Leaves:
    """The leaves of one grammar. The first of equal ones stands for all."""

    def __init__(self) -> None:
        self._keys: dict[Schema, Hashable | None] = {}
        self._firsts: dict[Hashable, Schema] = {}
        self._same: dict[frozenset[Schema], frozenset[Schema]] = {}

    def same(self, schemas: frozenset[Schema]) -> frozenset[Schema]:
        """Schemas with the same meaning, which are identical where leaves are equal."""
        known = self._same.get(schemas)
        if known is None:
            known = self._same[schemas] = frozenset(map(self._first, schemas))
        return known

    def key(self, schemas: frozenset[Schema]) -> frozenset[Hashable] | None:
        """What all that the schemas say comes to, ``None`` if not all are leaves."""
        keys = frozenset(map(self._key, schemas))
        return None if None in keys or not keys else keys

    @staticmethod
    def built(key: frozenset[Hashable], canonical: bool) -> Built | None:
        """What was kept."""
        found: Built | None = TABLES.get((Built, key, canonical))
        return found

    @staticmethod
    def keep(key: frozenset[Hashable], canonical: bool, built: Built) -> None:
        """Keep what was built, for all grammars of the process."""
        TABLES.put((Built, key, canonical), built)

    def _first(self, schema: Schema) -> Schema:
        key = self._key(schema)
        return schema if key is None else self._firsts.setdefault(key, schema)

    def _key(self, schema: Schema) -> Hashable | None:
        if schema not in self._keys:
            self._keys[schema] = _key_of(schema)
        return self._keys[schema]


def _key_of(schema: Schema) -> Hashable | None:
    """All that a leaf says; ``None`` for a schema that is none."""
    if schema.constant is not None or (schema.types is None and schema.enum is None):
        return None
    if schema.types is not None and schema.types & _PARTED:
        return None
    if schema.refs or schema.all_of or schema.any_of or schema.one_of:
        return None
    if schema.negated is not None or schema.condition is not None:
        return None
    values = None
    if schema.enum is not None:
        if any(isinstance(value, dict | list) for value in schema.enum):
            return None
        values = frozenset(map(json_key, schema.enum))
    return (
        schema.types, schema.integer_fraction, values, schema.minimum, schema.maximum, schema.exclusive_minimum,
        schema.exclusive_maximum, schema.multiple_of, schema.min_length, schema.max_length, schema.pattern,
        schema.format,
    )  # fmt: skip
