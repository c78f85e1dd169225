"""Staged drafting: the cheaper drafter changes how many passes a draft costs and nothing else."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_verify_sampled import IID, Lines, Scripted, Text, V, drawn, law_error

from latticework.speculative.chance import Row
from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.drafter import DraftBudget
from latticework.speculative.staged import Proposer, likeliest_tree, sampled_chain
from latticework.speculative.verify import greedy_verify
from latticework.speculative.verify_sampled import multi_round


class Model:
    """A small model that counts its forward passes."""

    def __init__(self, seed: int) -> None:
        self.lines, self.passes = Lines(seed), 0

    def __call__(self, paths: Sequence[Text]) -> list[Row]:
        assert len(set(paths)) == len(paths)
        self.passes += 1
        return [self.lines[path] for path in paths]


def greedy_proposer(lines: Lines, length: int) -> Proposer:
    def propose(path: Text) -> Draft:
        tokens: list[int] = []
        while len(tokens) < length:
            tokens.append(int(lines[(*path, *tokens)].argmax()))
        return Draft.chain(tokens)

    return propose


def fixed_proposer(path: Text) -> Draft:
    """A tree that has nothing to do with the model."""
    return Draft(np.array([0, 1, 2], np.int32), np.array([ROOT, ROOT, 0], np.int32), np.array([1, 1, 2], np.int32))


def paths_of(draft: Draft) -> list[Text]:
    lines: list[Text] = []
    for token, parent in zip(draft.token.tolist(), draft.parent.tolist(), strict=True):
        lines.append((*(lines[parent] if parent >= 0 else ()), token))
    return lines


def best_tree(lines: Lines, budget: DraftBudget) -> list[Text]:
    """Best first with every row at hand."""
    heap: list[tuple[float, int, Text]] = [(-1.0, 0, ())]
    found: list[Text] = []
    while heap and len(found) <= budget.max_nodes:
        worth, depth, path = heapq.heappop(heap)
        found.append(path)
        if depth < budget.max_depth:
            row = lines[path]
            for token in range(V):
                heapq.heappush(heap, (worth * float(row[token] / row.sum()), depth + 1, (*path, token)))
    return found[1 : budget.max_nodes + 1]


@given(seed=st.integers(0, 200), nodes=st.integers(1, 12), depth=st.integers(1, 4))
@settings(max_examples=150)
def test_the_tree_is_the_best_one_with_any_proposals_and_with_none(seed: int, nodes: int, depth: int) -> None:
    budget = DraftBudget(nodes, depth)
    plain = Model(seed)
    tree = likeliest_tree(plain, budget, V)
    tree.check()
    assert paths_of(tree) == best_tree(plain.lines, budget)
    assert plain.passes <= depth
    assert tree.score is not None
    for path, score in zip(paths_of(tree), tree.score.tolist(), strict=True):
        assert score == pytest.approx(np.prod([plain.lines[path[:i]][path[i]] for i in range(len(path))]), abs=1e-6)
    for propose in (fixed_proposer, greedy_proposer(plain.lines, 3)):
        staged = Model(seed)
        again = likeliest_tree(staged, budget, V, propose)
        assert (again.token.tolist(), again.parent.tolist()) == (tree.token.tolist(), tree.parent.tolist())
        assert staged.passes <= plain.passes


def test_proposals_that_come_true_save_passes() -> None:
    plain, staged = Model(3), Model(3)
    chain = DraftBudget(6, 6, branching=False)
    expected = likeliest_tree(plain, chain, V)
    found = likeliest_tree(staged, chain, V, greedy_proposer(staged.lines, 3))
    assert found.token.tolist() == expected.token.tolist() == greedy_proposer(plain.lines, 6)(()).token.tolist()
    assert (plain.passes, staged.passes) == (6, 2)
    assert not len(likeliest_tree(plain, DraftBudget(0, 3), V))


def test_greedy_output_is_the_same_with_and_without_the_second_stage() -> None:
    target = Lines(9)
    for propose in (None, fixed_proposer):
        draft = likeliest_tree(Model(2), DraftBudget(6, 3), V, propose)
        rows = np.stack([target[path] for path in [(), *paths_of(draft)]])
        emitted = greedy_verify(draft, rows).tokens
        assert all(int(target[emitted[:i]].argmax()) == emitted[i] for i in range(len(emitted)))


def every_chain(make: Callable[[Scripted], Draft]) -> Iterator[tuple[float, Draft]]:
    waiting: list[Text] = [()]
    while waiting:
        chance = Scripted(waiting.pop())
        draft = make(chance)
        yield chance.weight, draft
        waiting += chance.untaken


@pytest.mark.parametrize("propose", [None, fixed_proposer, greedy_proposer(Lines(20), 2)])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_sampled_chains_have_the_small_models_law_and_the_output_the_targets(
    propose: Proposer | None, length: int
) -> None:
    lines = Lines(20)
    drafts = list(
        every_chain(lambda c: sampled_chain(lambda paths: [lines[p] for p in paths], c.draw, length, propose))
    )
    plain = {tuple(d.token.tolist()): weight for weight, d in drawn(tuple(range(-1, length - 1)), IID, lines)}
    found: dict[Text, float] = {}
    for weight, draft in drafts:
        assert draft.q is not None
        assert draft.is_chain
        tokens = tuple(draft.token.tolist())
        found[tokens] = found.get(tokens, 0.0) + weight
        assert all(draft.q[i] == pytest.approx(lines[tokens[:i]], abs=1e-6) for i in range(length))
    assert found == pytest.approx(plain, abs=1e-7)
    assert law_error(multi_round, iter(drafts), Lines(0), length + 1) < 1e-12


def test_a_second_stage_saves_passes_of_a_sampled_chain() -> None:
    lines, passes = Lines(1), []

    def forward(paths: Sequence[Text]) -> list[Row]:
        passes.append(len(paths))
        return [np.eye(V)[int(lines[path].argmax())] for path in paths]

    sampled_chain(forward, lambda row: int(row.argmax()), 6, greedy_proposer(lines, 2))
    assert passes == [3, 3], "two proposals and the model's own token each"
