"""Recursive speculative decoding: exact by enumeration, and the beams are one draw without replacement."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from test_verify_sampled import IID, WOR, Lines, Scripted, Text, V, accepted_length, drawn, law_error

from latticework.speculative.chance import Row
from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.rsd import conditioned, constant_branching, stochastic_beams
from latticework.speculative.verify_sampled import multi_round


def forward_of(drafter: Lines):  # type: ignore[no-untyped-def]
    return lambda paths: [drafter[path] for path in paths]


def every_tree(drafter: Lines, branching: Sequence[int]) -> Iterator[tuple[float, Draft]]:
    waiting: list[Text] = [()]
    while waiting:
        chance = Scripted(waiting.pop())
        draft = constant_branching(forward_of(drafter), chance.draw, branching)
        yield chance.weight, draft
        waiting += chance.untaken


def paths_of(draft: Draft) -> tuple[Text, ...]:
    lines: list[Text] = []
    for token, parent in zip(draft.token.tolist(), draft.parent.tolist(), strict=True):
        lines.append((*(lines[parent] if parent >= 0 else ()), token))
    return tuple(lines)


@pytest.mark.parametrize("branching", [(1,), (1, 1), (2,), (2, 1), (1, 2), (3,), (2, 2)])
@pytest.mark.parametrize("zeros", [False, True])
def test_trees_of_constant_branching_are_exact(branching: tuple[int, ...], zeros: bool) -> None:
    drafter, target = Lines(10, zeros), Lines(0)
    trees = list(every_tree(drafter, branching))
    assert sum(weight for weight, _ in trees) == pytest.approx(1.0)
    for _, draft in trees[:50]:
        draft.check()
        assert len(set(paths_of(draft))) == len(draft)
    if len(trees) < 2000:  # the largest shape is only drawn
        assert law_error(multi_round, iter(trees), target, len(branching) + 1) < 1e-12


def test_one_child_each_is_plain_speculative_sampling() -> None:
    drafter = Lines(4)
    plain = {tuple(d.token.tolist()): weight for weight, d in drawn((ROOT, 0), IID, drafter)}
    found = {tuple(d.token.tolist()): weight for weight, d in every_tree(drafter, (1, 1))}
    assert found == pytest.approx(plain, abs=1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_without_replacement_keeps_more(seed: int) -> None:
    drafter, target = Lines(seed + 50), Lines(seed)
    without = accepted_length(multi_round, every_tree(drafter, (2,)), target)
    independent = accepted_length(multi_round, drawn((ROOT, ROOT), IID, drafter), target)
    assert without >= independent - 1e-9
    assert accepted_length(multi_round, every_tree(drafter, (V,)), target) == pytest.approx(1.0, abs=1e-6)


def beams_by_arrival(drafter: Lines, width: int, length: int, size: int) -> dict[tuple[Text, ...], float]:
    """The law of the beams' trees, by another road: sequences arrive one after another, each drawn from the drafter.

    The order in which prefixes first arrive is the order of their perturbed values at every level at once (arrival
    times of a Poisson process are exponential races, and those are Gumbel's trick). A level's beam is the first
    ``width`` arrivals among the children of the beam above.
    """
    chances = {
        line: float(np.prod([drafter[line[:i]][line[i]] for i in range(length)]))
        for line in itertools.product(range(size), repeat=length)
    }
    trees: Counter[tuple[Text, ...]] = Counter()  # type: ignore[assignment]
    for order in itertools.permutations(chances):
        weight, left = 1.0, 1.0
        for line in order:
            weight *= chances[line] / left if left > 1e-15 else 1.0
            left -= chances[line]
        if weight > 0.0:
            tree: list[Text] = []
            beam: list[Text] = [()]
            for depth in range(1, length + 1):
                prefixes = list(dict.fromkeys(line[:depth] for line in order if line[: depth - 1] in beam))
                beam = prefixes[:width]
                tree += beam
            trees[tuple(tree)] += weight  # type: ignore[assignment]
    return dict(trees)


class Two(Lines):
    """A drafter of two tokens among :data:`V`, so that all orders of its sequences can be listed."""

    def __getitem__(self, text: Text) -> Row:
        share = min(63, max(1, round(64 * super().__getitem__(text)[0]))) / 64  # exact in single precision
        return np.array([share, 1.0 - share, 0.0])


def as_draft(tree: tuple[Text, ...], drafter: Lines) -> Draft:
    """A tree of paths as the draft that RSD-S makes of it."""
    place = {(): ROOT} | {path: node for node, path in enumerate(tree)}
    rows = []
    for node, path in enumerate(tree):
        row = drafter[path[:-1]].astype(np.float32)
        for earlier in tree[:node]:
            if earlier[:-1] == path[:-1]:
                row[earlier[-1]] = 0.0
        rows.append(row)
    columns = ([path[-1] for path in tree], [place[path[:-1]] for path in tree], [len(path) for path in tree])
    return Draft(*(np.array(values, np.int32) for values in columns), kind=WOR, q=np.stack(rows))


@pytest.mark.parametrize(("width", "length"), [(1, 2), (2, 2), (3, 2)])
def test_beams_are_exact(width: int, length: int) -> None:
    """Every order of arrivals, every coin, every draw."""
    drafter = Two(3)
    trees = beams_by_arrival(drafter, width, length, 2)
    assert sum(trees.values()) == pytest.approx(1.0)
    drafts = [(weight, as_draft(tree, drafter)) for tree, weight in trees.items()]
    assert law_error(multi_round, iter(drafts), Lines(0), length + 1) < 1e-12


@pytest.mark.parametrize(("width", "seed"), [(2, 0), (3, 1)])
def test_beams_have_the_law_of_arrivals(width: int, seed: int) -> None:
    """Chi-square of 20,000 searches; |z| < 4, so a false alarm in about one of 16,000 runs of right code."""
    drafter, generator = Two(3), np.random.default_rng(seed)
    count = 20_000
    law = beams_by_arrival(drafter, width, 2, 2)
    found = Counter(paths_of(stochastic_beams(forward_of(drafter), generator, width, 2)) for _ in range(count))
    assert set(found) <= set(law)
    cells = {tree: mass * count for tree, mass in law.items() if mass * count >= 5}
    statistic = sum((found[tree] - mass) ** 2 / mass for tree, mass in cells.items())
    free = max(1, len(cells) - 1)
    assert abs(statistic - free) / np.sqrt(2 * free) < 4


def test_the_beams_are_drafts_as_specified() -> None:
    drafter = Lines(6)
    for seed in range(30):
        draft = stochastic_beams(forward_of(drafter), np.random.default_rng(seed), 3, 3)
        draft.check()
        paths = paths_of(draft)
        assert len(set(paths)) == len(paths)
        assert [sum(len(path) == depth for path in paths) for depth in (1, 2, 3)] == [3, 3, 3]
        expected = as_draft(paths, drafter)
        assert draft.q is not None
        assert np.array_equal(draft.q, expected.q)
    everything = stochastic_beams(forward_of(drafter), np.random.default_rng(0), V**2, 2)
    assert len(everything) == V + V**2
    assert not len(stochastic_beams(forward_of(drafter), np.random.default_rng(0), 3, 0))


def test_the_best_child_inherits_its_parents_value() -> None:
    chance = np.random.default_rng(0)
    perturbed = chance.gumbel(size=(6, 5)) - 3
    perturbed[0, 2], perturbed[1] = -np.inf, perturbed[1] - 300
    value = np.array([0.5, -310.0, -2.0, 4.0, 0.0, -20.0])
    shifted = conditioned(perturbed, value)
    assert np.array_equal(shifted.max(axis=1), value)
    assert np.array_equal(np.argsort(shifted, axis=1), np.argsort(perturbed, axis=1))
    assert shifted[0, 2] == -np.inf
    for row in (2, 4):
        plain = -np.log(np.exp(-value[row]) - np.exp(-perturbed[row].max()) + np.exp(-perturbed[row]))
        assert shifted[row] == pytest.approx(plain, abs=1e-9)
