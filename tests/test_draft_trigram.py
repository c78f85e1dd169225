"""The tri-gram drafter: laws, adaptation, and the search against a plain rewrite of it."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.plugins.drafters import TrigramPlugin
from latticework.speculative.draft import ROOT
from latticework.speculative.drafter import DraftBudget, RequestView
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.ngram_table import NgramTable, find
from latticework.speculative.trigram_drafter import TrigramDrafter
from latticework.speculative.trigram_search import heaviest, most_visited, pair_key, reinforce, search

STEP, CAP = np.float32(0.04), 3.0


class TestLaws(DrafterLaws):
    @pytest.fixture
    def make_drafter(self) -> MakeDrafter:
        return lambda: TrigramPlugin().create(TrigramPlugin.options(iterations=40))


def array(tokens: list[int]) -> np.ndarray:
    return np.array(tokens, np.int32)


def row(table: NgramTable, before: int, last: int) -> dict[int, float]:
    slot = find(table.address, np.uint64(pair_key(np.int32(before), np.int32(last))))
    if slot < 0:
        return {}
    pairs = zip(table.token[slot].tolist(), table.weight[slot].tolist(), strict=True)
    return {token: weight for token, weight in pairs if weight > 0.0}


def table_of(weights: dict[tuple[int, int], dict[int, float]], width: int = 12) -> NgramTable:
    """A table of given weights; equal weights keep the order in which they are given."""
    table = NgramTable(1 << 10, width)
    for (before, last), successors in weights.items():
        for token, weight in sorted(successors.items(), key=lambda item: item[1]):
            reinforce(table.address, array([before, last, token]), weight, 1e9)
    return table


@given(texts=st.lists(st.lists(st.integers(0, 3), max_size=20), max_size=4))
def test_weights_are_counted_and_capped(texts: list[list[int]]) -> None:
    table = NgramTable(1 << 10, 12)
    counts: dict[tuple[int, int], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for text in texts:
        reinforce(table.address, array(text), 0.5, CAP)
        for a, b, c in zip(text, text[1:], text[2:], strict=False):
            counts[a, b][c] += 1
    for pair in itertools.product(range(4), repeat=2):
        expected = {token: min(CAP, 0.5 * seen) for token, seen in counts[pair].items()}
        found = row(table, *pair)
        assert found == pytest.approx(expected)
        assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_full_row_forgets_its_lightest() -> None:
    table = table_of({(1, 2): {5: 0.9, 6: 0.5, 7: 0.1}}, width=3)
    reinforce(table.address, array([1, 2, 8]), STEP, CAP)
    assert row(table, 1, 2) == pytest.approx({5: 0.9, 6: 0.5, 8: 0.04})


def test_what_always_follows_rises_to_the_cap_and_heads_the_draft() -> None:
    drafter = TrigramDrafter(rows=1 << 10)
    request = RequestView("r", array([7, 8, 9, 7, 8, 1]), 6, scope="")
    drafter.begin(request)
    weights = []
    for _ in range(25):
        request.tokens = np.concatenate((request.tokens, array([7, 8, 5])))
        drafter.observe(request, [7, 8, 5], None)
        weights.append(row(drafter._tables.get(request), 7, 8)[5])
    grown = list(itertools.takewhile(lambda weight: weight < CAP, weights))
    assert all(a < b for a, b in itertools.pairwise(grown))
    assert weights[-1] == CAP
    request.tokens = np.concatenate((request.tokens, array([7, 8])))
    assert drafter.draft(request, DraftBudget(8, 8)).token[0] == 5
    assert drafter.draft(request, DraftBudget(3, 8, branching=False)).token.tolist() == [5, 7, 8]


class PlainSearch:
    """The specification's search, step by step, over dictionaries; roll-outs by the same generator."""

    def __init__(self, weights: dict[tuple[int, int], dict[int, float]], length: int, exploration: float) -> None:
        self.weights, self.length, self.exploration = weights, length, exploration
        self.visits: dict[tuple[int, ...], int] = defaultdict(int)
        self.reward: dict[tuple[int, ...], float] = defaultdict(float)
        self.children: dict[tuple[int, ...], list[int]] = {}
        self.state = 1

    def successors(self, line: tuple[int, ...]) -> list[tuple[int, float]]:
        return sorted(self.weights.get(line[-2:], {}).items(), key=lambda item: -item[1])  # type: ignore[call-overload]

    def uniform(self) -> float:
        bits = (1 << 64) - 1
        self.state ^= self.state << 13 & bits
        self.state ^= self.state >> 7
        self.state ^= self.state << 17 & bits
        return (self.state >> 11) / 2**53

    def value(self, line: tuple[int, ...], token: int) -> float:
        visited, above = self.visits[*line, token], self.visits[line]
        if not visited:
            return math.inf
        scale = self.exploration * (32 + math.log((above + 9) / 8)) * math.sqrt(above)
        return self.reward[*line, token] / visited + scale * dict(self.successors(line))[token] / (1 + visited)

    def iterate(self, root: tuple[int, int]) -> None:
        line: tuple[int, ...] = root
        while self.children.get(line):
            line = (*line, max(self.children[line], key=lambda token: self.value(line, token)))
        if len(line) - 2 < self.length and (fresh := [token for token, _ in self.successors(line)]):
            self.children[line] = fresh
            line = (*line, fresh[-1])
        rolled = line
        while len(rolled) - 2 < self.length and (options := self.successors(rolled)):
            left = self.uniform() * sum(weight for _, weight in options)
            ends = np.cumsum([weight for _, weight in options])
            rolled = (*rolled, options[min(int(np.searchsorted(ends, left, side="right")), len(options) - 1)][0])
        gained = 1.0 + sum(self.weights[a, b][c] for a, b, c in zip(rolled, rolled[1:], rolled[2:], strict=False))
        for end in range(2, len(line) + 1):
            self.visits[line[:end]] += 1
            self.reward[line[:end]] += gained


def paths_of(found: tuple[np.ndarray, ...], root: tuple[int, int]) -> dict[tuple[int, ...], int]:
    token, parent, _, visits = found
    lines = [root]
    for node in range(1, len(token)):
        lines.append((*lines[parent[node]], int(token[node])))
    return dict(zip(lines, visits.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("exploration", [0.0, 0.05, 1.0])
def test_the_search_is_the_specified_one(seed: int, exploration: float) -> None:
    chance = np.random.default_rng(seed)
    weights = {
        pair: dict(zip(range(3), chance.choice(np.arange(1, 9) / 8, 3, replace=False).tolist(), strict=True))
        for pair in itertools.product(range(3), repeat=2)
        if chance.random() < 0.8
    } | {(0, 1): {2: 0.5, 0: 0.25}}
    table = table_of(weights)
    found = search(table.address, np.int32(0), np.int32(1), 60, 3, exploration, np.uint64(0))
    plain = PlainSearch(weights, 3, exploration)
    for _ in range(60):
        plain.iterate((0, 1))
    assert {line: n for line, n in paths_of(found, (0, 1)).items() if n} == {
        line: n for line, n in plain.visits.items() if n
    }
    assert found[3][0] == 60, "visits at the root are the iterations"


def test_of_one_successor_each_the_only_path_is_found() -> None:
    table = table_of({(1, 2): {3: 0.04}, (2, 3): {4: 0.04}, (3, 4): {5: 0.04}, (4, 5): {6: 0.04}})
    found = search(table.address, np.int32(1), np.int32(2), 10, 3, 0.0, np.uint64(7))
    token, parent, depth = most_visited(table.address, np.int32(1), found, 24, 64, 9)
    assert token.tolist() == [3, 4, 5, 6]
    assert parent.tolist() == [ROOT, 0, 1, 2]
    assert depth.tolist() == [1, 2, 3, 4]


def test_the_top_path_of_a_markov_target_is_the_greedy_one() -> None:
    for seed in range(20):
        chance = np.random.default_rng(seed)
        rows = {}
        for pair in itertools.product(range(4), repeat=2):
            rows[pair] = 0.4 * chance.dirichlet(np.full(4, 0.5)) + 0.6 * np.eye(4)[chance.integers(4)]
        table = table_of({pair: dict(enumerate(values.tolist())) for pair, values in rows.items()})
        found = search(table.address, np.int32(0), np.int32(1), 150, 3, 1.0, np.uint64(0))
        visits = paths_of(found, (0, 1))
        line: tuple[int, ...] = (0, 1)
        for _ in range(2):
            following = [path for path in visits if path[:-1] == line]
            line = max(following, key=lambda path: visits[path])
            assert (
                line[-1] == int(rows[line[-3:-1]].argmax()) == heaviest(table.address, *map(np.int32, line[-3:-1]))[0]
            )


@pytest.mark.parametrize(("nodes", "depth"), [(1, 1), (5, 2), (64, 9)])
def test_the_draft_is_the_most_visited_paths_and_their_followers(nodes: int, depth: int) -> None:
    chance = np.random.default_rng(3)
    weights = {
        pair: dict(enumerate(chance.permutation(np.arange(1, 6) / 8)[:4].tolist()))
        for pair in itertools.product(range(5), repeat=2)
    }
    table = table_of(weights)
    found = search(table.address, np.int32(0), np.int32(1), 60, 3, 1.0, np.uint64(0))
    visits = paths_of(found, (0, 1))
    ranked = sorted((line for line in visits if len(line) > 2 and visits[line]), key=lambda line: -visits[line])
    expected: list[tuple[int, ...]] = []
    taken = 0
    for line in ranked:
        if taken == 24 or len(expected) == nodes:
            break
        if len(line) - 2 > depth:
            continue
        taken += 1
        follower = (*line, max(weights[line[-2:]], key=lambda token: weights[line[-2:]][token]))  # type: ignore[index]
        for path in (line, follower):
            if path not in expected and len(path) - 2 <= depth and len(expected) < nodes:
                expected.append(path)
    token, parent, _ = most_visited(table.address, np.int32(0), found, 24, nodes, depth)
    lines: list[tuple[int, ...]] = []
    for node in range(len(token)):
        lines.append((*(lines[parent[node]] if parent[node] >= 0 else (0, 1)), int(token[node])))
    assert lines == expected
