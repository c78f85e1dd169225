"""A draft laid out for a verifying forward pass."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft
from latticework.speculative.tree_layout import lay_out

PENDING = 99


@st.composite
def drafts(draw):
    parents = [draw(st.integers(ROOT, node - 1)) for node in range(draw(st.integers(0, 9)))]
    depth = []
    for parent in parents:
        depth.append(1 if parent == ROOT else depth[parent] + 1)
    tokens = [draw(st.integers(0, 5)) for _ in parents]
    return Draft(np.array(tokens, np.int32), np.array(parents, np.int32), np.array(depth, np.int32))


def ancestors(draft, node):
    """Rows that a node may see: itself, its ancestors, the root."""
    rows = {0}
    while node != ROOT:
        rows.add(node + 1)
        node = int(draft.parent[node])
    return rows


@given(drafts(), st.integers(0, 3))
def test_rows_see_their_ancestors_and_nothing_else(draft, padding):
    layout = lay_out(draft, PENDING, len(draft) + 1 + padding)
    for node in range(len(draft)):
        assert set(np.flatnonzero(layout.visible[node + 1])) == ancestors(draft, node)
    assert layout.visible.any(axis=1).all(), "a row that sees nothing has no softmax"
    assert layout.token[0] == PENDING
    assert layout.token[1 : len(draft) + 1].tolist() == draft.token.tolist()
    assert layout.depth[1 : len(draft) + 1].tolist() == draft.depth.tolist()
    assert not layout.depth[len(draft) + 1 :].any(), "padding must not reach beyond the context"


@given(drafts(), st.integers(0, 3))
def test_links_visit_exactly_the_drafted_nodes_in_order(draft, padding):
    layout = lay_out(draft, PENDING, len(draft) + 1 + padding)
    for row in range(len(draft) + 1):
        children, child = [], int(layout.first_child[row])
        while child != -1:
            children.append(child - 1)
            child = int(layout.next_sibling[child])
        assert children == [node for node in range(len(draft)) if draft.parent[node] == row - 1]


def test_a_chain_is_causal():
    layout = lay_out(Draft.chain([1, 2, 3]), PENDING, 4)
    assert np.array_equal(layout.visible, np.tri(4, dtype=bool))


def test_what_does_not_fit_is_refused():
    assert len(lay_out(EMPTY_DRAFT, PENDING, 1).token) == 1
    with pytest.raises(ValueError, match="does not fit"):
        lay_out(Draft.chain([1]), PENDING, 1)


@given(drafts())
def test_preorder_goes_down_from_a_node_it_is_on(draft):
    """Whoever walks it has only to give back tokens, never to walk a path again."""
    order = draft.preorder()
    assert sorted(order) == list(range(len(draft)))
    path: list[int] = []
    for node in order:
        del path[int(draft.depth[node]) - 1 :]
        assert (path[-1] if path else ROOT) == draft.parent[node]
        path.append(node)
    siblings: dict[int, list[int]] = {}
    for node in order:
        siblings.setdefault(int(draft.parent[node]), []).append(node)
    assert all(a < b for nodes in siblings.values() for a, b in pairwise(nodes)), "preference is kept"
