"""The n-gram trie: laws, and drafts against a trie of dictionaries."""

from __future__ import annotations

import itertools
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latticework.plugins.drafters import NgramTriePlugin
from latticework.speculative.draft import Draft
from latticework.speculative.drafter import DraftBudget, RequestView
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.ngram_trie import NgramTrieDrafter

Text = tuple[int, ...]


class TestLaws(DrafterLaws):
    @pytest.fixture
    def make_drafter(self) -> MakeDrafter:
        return lambda: NgramTriePlugin().create(NgramTriePlugin.options(depth=6))


def children(text: list[int], depth: int) -> dict[Text, list[int]]:
    """After each text of less than ``depth`` tokens: what followed it, the most recent first."""
    found: dict[Text, list[int]] = {}
    for at in range(1, len(text)):
        for length in range(1, min(depth, at + 1)):
            after = found.setdefault(tuple(text[at - length : at]), [])
            if text[at] in after:
                after.remove(text[at])
            after.insert(0, text[at])
    return found


def expected_tree(text: list[int], depth: int, broadest: int, budget: DraftBudget) -> list[Text]:
    known, drafted = children(text, depth), []  # type: ignore[var-annotated]
    for length in range(min(depth - 1, len(text)), 0, -1):
        end = tuple(text[-length:])
        waiting: deque[Text] = deque([()])
        while waiting:
            path = waiting.popleft()
            matched = length + len(path)
            if len(path) == budget.max_depth or matched >= depth:
                continue
            breadth = max(1, int(broadest - (matched - 1) * (broadest - 1.0) / max(1, depth - 2)))
            for token in known.get((*end, *path), [])[:breadth]:
                line = (*path, token)
                if line not in drafted:
                    if len(drafted) == budget.max_nodes:
                        return drafted
                    drafted.append(line)
                waiting.append(line)
    return drafted


def expected_chain(text: list[int], depth: int, count: int) -> list[int]:
    known, grown = children(text, depth), list(text)
    while len(grown) < len(text) + count:
        ends = (known.get(tuple(grown[-length:])) for length in range(min(depth - 1, len(grown)), 0, -1))
        following = next((after for after in ends if after), None)
        if following is None:
            break
        grown.append(following[0])
    return grown[len(text) :]


def lines(draft: Draft) -> list[Text]:
    found: list[Text] = []
    for token, parent in zip(draft.token.tolist(), draft.parent.tolist(), strict=True):
        found.append((*(found[parent] if parent >= 0 else ()), token))
    return found


@given(
    text=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    depth=st.integers(2, 7),
    broadest=st.integers(1, 4),
    nodes=st.integers(1, 20),
    deepest=st.integers(1, 6),
)
@settings(max_examples=300)
def test_drafts_are_those_of_a_plain_trie(
    text: list[int], cuts: list[int], depth: int, broadest: int, nodes: int, deepest: int
) -> None:
    drafter = NgramTrieDrafter(depth, broadest)
    stops = sorted({min(cut, len(text)) for cut in cuts} | {len(text)})
    request = RequestView("r", np.array(text[: stops[0]], np.int32), stops[0])
    drafter.begin(request)
    for before, stop in itertools.pairwise(stops):
        request.tokens = np.array(text[:stop], np.int32)
        drafter.observe(request, text[before:stop], None)
    tree = drafter.draft(request, DraftBudget(nodes, deepest))
    tree.check()
    assert lines(tree) == expected_tree(text, depth, broadest, DraftBudget(nodes, deepest))
    chain = drafter.draft(request, DraftBudget(nodes, deepest, branching=False))
    assert chain.token.tolist() == expected_chain(text, depth, min(nodes, deepest))


def test_the_whole_prompt_counts_and_earlier_requests_of_the_scope() -> None:
    drafter = NgramTrieDrafter()
    first = RequestView("a", np.array([1, 2, 3, 4, 5], np.int32), 5, scope="s")
    drafter.begin(first)
    drafter.end(first)
    second = RequestView("b", np.array([9, 2, 3], np.int32), 3, scope="s")
    drafter.begin(second)
    assert drafter.draft(second, DraftBudget(4, 4)).token.tolist() == [4, 5]
    with pytest.raises(ValueError, match="depth >= 2"):
        NgramTrieDrafter(depth=1)
