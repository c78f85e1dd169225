"""Strings that are listed one by one, in canonical writing: tables without going through machines of characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from json.encoder import encode_basestring

import numpy as np

from latticework.structured.automata.moore import constant
from latticework.structured.automata.spelling import Writing, quoted_table
from latticework.structured.automata.words import words_table
from latticework.structured.pushdown.table import Table
from latticework.structured.table_cache import TABLES

_FIELD = "string"
_UNIT = re.compile(rb"(?:[^\\]|\\[^u])*?\\u00[01]([a-f])")


def listed_table(labels: Mapping[str, int], *, other: int | None) -> Table:
    """A JSON string whose result is its label.

    Args:
        labels: From 0 on. A text with a lone surrogate is never read.
        other: The label of all strings that are not listed, greater than theirs; ``None``: there are no others.

    Raises:
        BudgetExceededError: The table would be too large.
    """
    return _table(tuple(labels.items()), other)


@TABLES.kept
def _table(labels: tuple[tuple[str, int], ...], other: int | None) -> Table:
    order = sorted((written(text), label) for text, label in labels if encodable(text))
    words = [word for word, _ in order]
    results = np.array([label for _, label in order], np.int32)
    base = None if other is None else any_string()
    table, _ = words_table(
        words, results, field=_FIELD, base=base, shift=other or 0, twins=hexadecimal_twins(words)
    )
    return table


@lru_cache(maxsize=1)
def any_string() -> Table:
    """Any JSON string in canonical writing; result 0."""
    return quoted_table(constant(0), Writing.CANONICAL, field=_FIELD)


def written(text: str) -> bytes:
    """The text as a JSON string in canonical writing."""
    return encode_basestring(text).encode("utf-8", "surrogatepass")


def encodable(text: str) -> bool:
    """Whether the text is free of lone surrogates, so that UTF-8 can spell it."""
    return text.isascii() or not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def hexadecimal_twins(words: Iterable[bytes]) -> dict[tuple[int, int], int]:
    r"""Where a ``\u001f`` of canonical writing has a letter, by word and position, with the letter's upper case."""
    return {
        (index, match.end() - 1): match[1].upper()[0]
        for index, word in enumerate(words)
        if b"\\u" in word
        for match in _UNIT.finditer(word)
    }
