"""Lookahead's pool: laws, order, bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.plugins.drafters import NgramPoolPlugin
from latticework.speculative.draft import ROOT
from latticework.speculative.drafter import DraftBudget, RequestView
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.ngram_pool import NgramPool, NgramPoolDrafter


class TestLaws(DrafterLaws):
    @pytest.fixture
    def make_drafter(self) -> MakeDrafter:
        return lambda: NgramPoolPlugin().create(NgramPoolPlugin.options(length=3, grams=4))


@given(
    text=st.lists(st.integers(0, 3), max_size=40),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    cuts=st.lists(st.integers(0, 40), max_size=3),
)
def test_pool_holds_the_most_recent_grams_however_the_text_came(
    text: list[int], sizes: tuple[int, int], cuts: list[int]
) -> None:
    length, grams = sizes
    pool = NgramPool(length, grams, keys=99)
    done = 0
    for cut in sorted({min(cut, len(text)) for cut in cuts} | {len(text)}):
        pool.feed(text[:cut], done)
        done = cut
    for key in range(4):
        expected: list[tuple[int, ...]] = []
        for at in range(len(text) - length - 1, -1, -1):
            gram = tuple(text[at + 1 : at + 1 + length])
            if text[at] == key and gram not in expected:
                expected.append(gram)
        assert pool.after(key) == expected[:grams]


def test_keys_are_bounded() -> None:
    pool = NgramPool(1, 2, keys=2)
    for key in (1, 2, 1, 3):
        pool.insert(key, (9,))
    assert [bool(pool.after(key)) for key in (1, 2, 3)] == [True, False, True]
    with pytest.raises(ValueError, match="positive"):
        NgramPoolDrafter(length=0)


def test_the_draft_is_the_trie_of_what_followed_and_a_chain_the_most_recent() -> None:
    drafter = NgramPoolDrafter(length=2)
    request = RequestView("r", np.array([1, 2, 3, 1, 2, 4, 1, 5, 6, 1], np.int32), 10, scope="")
    drafter.begin(request)
    tree = drafter.draft(request, DraftBudget(16, 16))
    tree.check()
    assert tree.token.tolist() == [5, 6, 2, 4, 3]
    assert tree.parent.tolist() == [ROOT, 0, ROOT, 2, 2]
    assert drafter.draft(request, DraftBudget(16, 16, branching=False)).token.tolist() == [5, 6]
    other = RequestView("other", request.tokens, 10, scope="other")
    assert not len(drafter.draft(other, DraftBudget(16, 16)))
