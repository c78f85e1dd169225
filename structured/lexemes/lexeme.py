"""A table together with what its results say about the predicates asked of it."""

from __future__ import annotations

from dataclasses import dataclass

from latticework.structured.pushdown.table import Table

#: One verdict a predicate.
Vector = tuple[bool, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Lexeme:
    """Result ``r`` of ``table`` means: predicate ``i`` holds if and only if ``vectors[r][i]``.

    Every vector can be reached, and every vector that can be reached is listed. Several results may share a vector.
    """

    table: Table
    vectors: tuple[Vector, ...]


@dataclass(frozen=True, eq=False, slots=True)
class KeyLexeme:
    """An object's key.

    With ``n`` names, result ``r < n`` is name ``r``; result ``n + j`` is another key with the verdicts ``vectors[j]``.
    """

    table: Table
    vectors: tuple[Vector, ...]
