"""Masks as rows of bits: which tokens a row allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.structured import bitmask


def row_of(allowed: set[int], size: int) -> bitmask.Bitmask:
    row = np.zeros(bitmask.words(size), np.int32)
    for token_id in allowed:
        bitmask.set_bit(row, token_id)
    return row


@given(st.integers(1, 400).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1)))))
def test_indices_are_the_tokens_allowed(case: tuple[int, set[int]]) -> None:
    size, allowed = case
    row = row_of(allowed, size)
    assert bitmask.indices(row).tolist() == sorted(allowed)
    assert bitmask.count(row) == len(allowed)
    for count in (0, 1, 2, 5, size):
        assert bitmask.first_indices(row, count).tolist() == sorted(allowed)[:count]


@pytest.mark.parametrize("token_id", [0, 31, 32, 63, 99])
def test_a_bit_is_set_and_cleared_alone(token_id: int) -> None:
    row = row_of({5, 40}, 100)
    bitmask.set_bit(row, token_id)
    assert set(bitmask.indices(row).tolist()) == {5, 40, token_id}
    bitmask.clear_bit(row, token_id)
    assert set(bitmask.indices(row).tolist()) == {5, 40}
