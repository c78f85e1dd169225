"""Object keys: which of the declared names, or another key with its verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from latticework.structured.automata.words import words_table
from latticework.structured.errors import GrammarError
from latticework.structured.lexemes.lexeme import KeyLexeme, Vector
from latticework.structured.lexemes.listed import encodable, hexadecimal_twins, written
from latticework.structured.lexemes.predicates import StringPredicate
from latticework.structured.lexemes.strings import string_lexeme
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table
from latticework.structured.table_cache import TABLES

_FIELD = "key"


@TABLES.kept
def key_lexeme(names: tuple[str, ...], predicates: tuple[StringPredicate, ...] = (), *, others: bool) -> KeyLexeme:
    """An object key with its quotes, in canonical writing.

    Result ``r < len(names)`` is name ``r``; with ``others``, result ``len(names) + j`` is any other key, of which
    predicate ``i`` holds if and only if ``vectors[j][i]``. The table's ``fallback`` is the state in which a key can no
    longer be one of the names, where there are no predicates. A name with a lone surrogate is never read.

    Raises:
        GrammarError: There is no key at all.
        UnsupportedGrammarError, BudgetExceededError: See :func:`~latticework.structured.lexemes.strings.string_lexeme`.
        ValueError: A name occurs twice.
    """
    order = sorted((written(name), number) for number, name in enumerate(names) if encodable(name))
    words = [word for word, _ in order]
    if len(set(names)) < len(names):
        raise ValueError("a name occurs twice")
    if not words and not others:
        raise GrammarError(_FIELD, "no key is possible")
    other = string_lexeme(predicates, canonical=True, counted=not names) if others else None
    if other is not None and not names:
        body = other.table.step(other.table.start, 0x22)
        return KeyLexeme(replace(other.table, fallback=DEAD if predicates else body), other.vectors)
    numbers = np.array([number for _, number in order], np.int32)
    twins = hexadecimal_twins(words)
    table, count = words_table(
        words, numbers, field=_FIELD, base=other.table if other else None, shift=len(names), twins=twins
    )
    if other is None:
        return KeyLexeme(table, ())
    if predicates:
        return _compacted(table, other.vectors, len(names))
    body = other.table.step(other.table.start, 0x22)
    return KeyLexeme(replace(table, fallback=count + body), other.vectors)


def _compacted(table: Table, vectors: tuple[Vector, ...], names: int) -> KeyLexeme:
    """Without the vectors that no key but a name has."""
    reached = table.outcome_set(table.start)
    kept = [index for index in range(len(vectors)) if reached >> (names + index) & 1]
    if len(kept) == len(vectors):
        return KeyLexeme(table, vectors)
    moved = np.full(names + len(vectors) + 1, NO_RESULT, np.int32)  # the last is for NO_RESULT itself
    moved[:names] = np.arange(names)
    moved[[names + index for index in kept]] = names + np.arange(len(kept))
    outcomes = np.zeros_like(table.outcomes)
    for old, new in enumerate(moved[:-1].tolist()):
        if new != NO_RESULT:
            bit = table.outcomes[:, old // 64] >> np.uint64(old % 64) & np.uint64(1)
            outcomes[:, new // 64] |= bit << np.uint64(new % 64)
    # A closed state that is never reached must not look like a way to nothing.
    result = moved[table.result]
    return KeyLexeme(replace(table, result=result, end=result, outcomes=outcomes), tuple(vectors[i] for i in kept))
