"""Expected lengths, the choice of a length, and which key-value rows stay."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.speculative.draft import Draft
from latticework.speculative.expected_length import (
    best_length,
    best_prefix,
    expected_emitted,
    expected_emitted_tree,
    speedup,
)
from latticework.speculative.kv_commit import kept_rows, moves
from latticework.speculative.tree_layout import lay_out


@given(alpha=st.floats(0, 1), length=st.integers(0, 6))
def test_expected_emitted_is_the_mean_over_all_coins(alpha: float, length: int) -> None:
    mean = 0.0
    for coins in itertools.product([True, False], repeat=length):
        weight = np.prod([alpha if coin else 1 - alpha for coin in coins])
        mean += weight * (1 + next((i for i, coin in enumerate(coins) if not coin), length))
    assert expected_emitted(alpha, length) == pytest.approx(mean)
    scores = np.array([alpha ** (i + 1) for i in range(length)])
    assert expected_emitted_tree(scores) == pytest.approx(mean)


@given(alpha=st.floats(0, 1), cost=st.floats(0, 1))
def test_best_length_is_the_best(alpha: float, cost: float) -> None:
    best = best_length(alpha, cost, 12)
    assert speedup(alpha, best, cost) == max(speedup(alpha, length, cost) for length in range(13))


def test_drafts_that_cost_more_than_they_gain_are_not_made() -> None:
    assert best_length(0.3, 0.5, 8) == 0
    assert best_length(0.9, 0.0, 8) == 8
    assert best_prefix(np.array([0.2, 0.1]), np.array([1.0, 1.5, 2.0])) == 0
    assert best_prefix(np.array([0.9, 0.8, 0.1]), np.array([1.0, 1.1, 1.2, 1.5])) == 2
    assert best_prefix(np.empty(0), np.array([1.0, 2.0])) == 0


@given(parents=st.lists(st.integers(0, 7), min_size=1, max_size=8), leaf=st.integers(0, 7))
def test_committed_rows_are_the_path_and_no_row_is_overwritten_before_it_is_read(
    parents: list[int], leaf: int
) -> None:
    parent = np.array([p % (i + 1) - 1 for i, p in enumerate(parents)], np.int32)
    depth: list[int] = []
    for p in parent:
        depth.append(1 if p < 0 else depth[p] + 1)
    draft = Draft(np.arange(len(parent), dtype=np.int32), parent, np.array(depth, np.int32))
    path: list[int] = []
    at = leaf % len(parent)
    while at >= 0:
        path.insert(0, at)
        at = int(parent[at])
    layout = lay_out(draft, 99, len(draft) + 1)
    before = np.arange(len(draft) + 1) + 1000  # a cache whose rows are numbered
    in_place = before.copy()
    for source, target in moves(path):
        in_place[target] = in_place[source]
    rows = kept_rows(path)
    assert np.array_equal(in_place[: len(rows)], before[rows])
    assert np.array_equal(np.flatnonzero(layout.visible[path[-1] + 1]), rows), "what the last row saw is what stays"
    assert np.array_equal(layout.depth[rows], np.arange(len(rows))), "positions become contiguous"
    assert not len(moves(range(3)))
