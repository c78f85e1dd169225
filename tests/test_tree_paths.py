"""A tree as paths: nothing is lost that fits, and every path is a run of nodes behind its ancestors."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.tree_paths import TreePaths, paths_of


@st.composite
def trees(draw: st.DrawFn) -> Draft:
    size = draw(st.integers(0, 14))
    parents = [draw(st.integers(ROOT, node - 1)) for node in range(size)]
    depths: list[int] = []
    for parent in parents:
        depths.append(1 if parent == ROOT else depths[parent] + 1)
    scores = [draw(st.floats(0.05, 1.0)) for _ in range(size)]
    arrays = (np.array(values, np.int32) for values in (range(size), parents, depths))
    return Draft(*arrays, score=np.array(scores, np.float32))


def texts(draft: Draft) -> set[tuple[int, ...]]:
    """Every path from the root, as tokens."""
    found: list[tuple[int, ...]] = []
    for token, parent in zip(draft.token.tolist(), draft.parent.tolist(), strict=True):
        found.append(((*found[parent], token)) if parent != ROOT else (token,))
    return set(found)


def check(paths: TreePaths) -> None:
    draft = paths.draft
    draft.check()
    assert paths.starts[0] == 0
    assert paths.starts[-1] == len(draft)
    for run in (range(paths.main), *paths.branches):
        for before, node in itertools.pairwise(run):
            assert draft.parent[node] == before
        for node in run:
            ancestors = paths.ancestors(node)
            assert len(ancestors) == draft.depth[node] - 1
            assert all(ancestor < node for ancestor in ancestors)


@given(trees(), st.integers(0, 6))
def test_paths_are_runs_and_keep_what_fits(draft: Draft, branches: int) -> None:
    paths = paths_of(draft, branches)
    check(paths)
    assert len(paths.branches) <= branches
    assert texts(paths.draft) <= texts(draft)
    assert texts(paths_of(draft, 20).draft) == texts(draft)


@given(trees(), st.integers(0, 14))
def test_every_beginning_is_paths_again(draft: Draft, nodes: int) -> None:
    paths = paths_of(draft, 20)
    check(paths.first(nodes))
    assert len(paths.first(nodes).draft) == min(nodes, len(draft))


def test_the_main_path_gains_most() -> None:
    draft = Draft(
        np.array([5, 6, 7], np.int32),
        np.array([-1, -1, 1], np.int32),
        np.array([1, 1, 2], np.int32),
        score=np.array([0.5, 0.4, 0.4], np.float32),
    )
    paths = paths_of(draft, 4)
    assert paths.draft.token.tolist() == [6, 7, 5]
    assert paths.starts == (0, 2, 3)
