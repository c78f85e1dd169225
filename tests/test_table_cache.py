"""What was built is kept within a budget of memory, whatever the number of entries."""

from __future__ import annotations

import numpy as np
import pytest

from latticework.structured.errors import GrammarError
from latticework.structured.lexemes.predicates import Pattern
from latticework.structured.lexemes.strings import string_lexeme
from latticework.structured.table_cache import TableCache, array_bytes


def test_the_least_recently_used_go_first() -> None:
    cache = TableCache(max_bytes=10_000)
    for number in range(3):
        cache.put(number, np.zeros(300, np.int64))
    assert cache.get(0) is not None
    cache.put(3, np.zeros(300, np.int64))
    assert [number for number in range(4) if cache.get(number) is not None] == [0, 2, 3]


def test_what_is_larger_than_everything_is_not_kept() -> None:
    cache = TableCache(max_bytes=10_000)
    cache.put("small", np.zeros(1, np.int64))
    cache.put("large", np.zeros(10_000, np.int64))
    assert cache.get("large") is None
    assert cache.get("small") is not None


def test_a_value_that_is_put_again_counts_once() -> None:
    cache = TableCache(max_bytes=10_000)
    for _ in range(10):
        cache.put("same", np.zeros(1000, np.int64))
    cache.put("other", np.zeros(100, np.int64))
    assert cache.get("same") is not None


def test_a_function_is_called_once_for_the_same_arguments() -> None:
    calls: list[tuple[int, bool]] = []

    @TableCache(max_bytes=10_000).kept
    def build(size: int, *, flag: bool = False) -> np.ndarray:
        calls.append((size, flag))
        if size < 0:
            raise GrammarError("size", "negative")
        return np.zeros(size)

    assert build(3) is build(3)
    assert build(3, flag=True) is build(3, flag=True)
    for _ in range(2):
        with pytest.raises(GrammarError):
            build(-1)
    assert calls == [(3, False), (3, True), (-1, False), (-1, False)]


def test_a_lexeme_counts_with_its_table() -> None:
    lexeme = string_lexeme((Pattern("^[a-f]{20}$"),))
    assert array_bytes(lexeme) >= lexeme.table.delta.nbytes + lexeme.table.outcomes.nbytes > 0
