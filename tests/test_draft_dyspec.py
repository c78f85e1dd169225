"""DySpec: exact under verification, and the best tree under its own assumption."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from test_verify_sampled import WOR, Lines, Scripted, Text, V, drawn, law_error

from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.drafter import DraftBudget
from latticework.speculative.dyspec import grow_sampled
from latticework.speculative.verify_sampled import multi_round


def every_tree(drafter: Lines, budget: DraftBudget) -> Iterator[tuple[float, Draft]]:
    """Every tree that may be sampled, with its probability."""
    waiting: list[Text] = [()]
    while waiting:
        chance = Scripted(waiting.pop())
        draft = grow_sampled(drafter.__getitem__, chance.draw, budget)
        yield chance.weight, draft
        waiting += chance.untaken


@pytest.mark.parametrize(("nodes", "depth", "branching"), [(1, 1, True), (3, 2, True), (4, 1, True), (3, 3, False)])
@pytest.mark.parametrize("zeros", [False, True])
def test_law_is_exact(nodes: int, depth: int, branching: bool, zeros: bool) -> None:
    budget = DraftBudget(nodes, depth, branching)
    for seed in range(2):
        drafter = Lines(seed + 10, zeros)
        trees = list(every_tree(drafter, budget))
        assert sum(weight for weight, _ in trees) == pytest.approx(1.0)
        for _, draft in trees:
            draft.check()
            assert branching or draft.is_chain
            assert len(draft) <= nodes
            siblings = list(zip(draft.parent.tolist(), draft.token.tolist(), strict=True))
            assert len(set(siblings)) == len(siblings)
        assert law_error(multi_round, iter(trees), Lines(seed), depth + 1) < 1e-12


def slot_values(draft: Draft) -> list[float]:
    """Each node's chance to be reached and needed, by the definition."""
    assert draft.q is not None
    values: list[float] = []
    open_at: dict[int, float] = {ROOT: 1.0}  # what the next child of a node is worth
    for node, (token, parent) in enumerate(zip(draft.token.tolist(), draft.parent.tolist(), strict=True)):
        value = open_at[parent]
        share = float(draft.q[node][token] / draft.q[node].sum())
        values.append(value)
        open_at[node], open_at[parent] = value * share, value * (1.0 - share)
    return values


@pytest.mark.parametrize("seed", range(4))
def test_no_fixed_tree_of_its_size_is_worth_more(seed: int) -> None:
    """Brute force over all shapes of three nodes: the sum of the values of the slots that are filled."""
    drafter = Lines(seed)

    def worth(trees: Iterator[tuple[float, Draft]]) -> float:
        return sum(weight * sum(slot_values(draft)) for weight, draft in trees)

    shapes = [(ROOT, *rest) for rest in itertools.product((ROOT, 0), (ROOT, 0, 1))]
    best = max(worth(drawn(shape, WOR, drafter)) for shape in shapes)
    assert worth(every_tree(drafter, DraftBudget(3, 3))) >= best - 1e-6


def test_values_of_filled_slots_never_rise() -> None:
    draft = grow_sampled(Lines(2).__getitem__, lambda weights: int(weights.argmax()), DraftBudget(12, 4))
    values = slot_values(draft)
    assert all(later <= earlier + 1e-6 for earlier, later in itertools.pairwise(values))
    assert draft.depth.max() <= 4
    assert draft.score is not None
    assert draft.q is not None
    shares = [row[token] / row.sum() for row, token in zip(draft.q, draft.token, strict=True)]
    assert draft.score == pytest.approx(np.array(values) * shares, abs=1e-6)


def test_what_is_certain_is_drafted_alone_and_everything_may_be_drafted() -> None:
    certain = grow_sampled(lambda path: np.eye(V)[0], lambda weights: int(weights.argmax()), DraftBudget(5, 3))
    assert certain.token.tolist() == [0, 0, 0], "nothing is left for siblings"
    assert not len(grow_sampled(lambda path: np.eye(V)[0], lambda weights: 0, DraftBudget(0, 3)))
    whole = grow_sampled(lambda path: np.full(V, 1 / V), lambda weights: int(weights.argmax()), DraftBudget(99, 2))
    assert len(whole) == V + V * V
