"""The fusion drafter: its laws, its memory, and that its numbers mean what they say."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.plugins.drafters import FusionPlugin
from latticework.speculative.best_path import best_path
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.speculative.fusion import FusionDrafter
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.ngram_table import NgramTable, count, find, put
from latticework.speculative.scopes import Scopes
from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.engines.lattice import LatticeEngine

BUDGET = DraftBudget(16, 16)


def small() -> FusionDrafter:
    return FusionDrafter(1 << 12, 1 << 12, 1 << 10, scopes=2)


MAKERS = {
    "bare": small,
    "plugin": lambda: FusionPlugin().create(FusionPlugin.options(own_rows=1 << 12, shared_rows=1 << 12)),
}


@pytest.mark.parametrize("name", MAKERS)
class TestFreeText(DrafterLaws):
    @pytest.fixture
    def make_drafter(self, name: str) -> MakeDrafter:
        return MAKERS[name]


class TestUnderAGrammar(DrafterLaws):
    @pytest.fixture
    def make_drafter(self) -> MakeDrafter:
        return MAKERS["plugin"]

    @pytest.fixture
    def grammar(self) -> CompiledGrammar:
        vocabulary = Vocabulary([None, b"a", b"b", b"c", b"d", b"e", b"ab"], [0])
        spec = GrammarSpec.regex("(?:[ab]c{3}|d(?:e|ab)*e)*")
        return LatticeEngine().compile(spec, vocabulary, GrammarLimits())


def view(name: str, tokens: Sequence[int], prompt_length: int | None = None, scope: str | None = "") -> RequestView:
    array = np.array(tokens, np.int32)
    return RequestView(name, array, len(array) if prompt_length is None else prompt_length, scope=scope)


def live(drafter: FusionDrafter, name: str, prompt: Sequence[int], output: Sequence[int], scope: str = "") -> None:
    """A whole request, a token a step."""
    request = view(name, prompt, scope=scope)
    drafter.begin(request)
    for at in range(len(output)):
        request.tokens = np.array([*prompt, *output[: at + 1]], np.int32)
        drafter.observe(request, output[at : at + 1], None)
    drafter.end(request)


def test_what_the_prompt_repeats_is_drafted() -> None:
    drafter, request = small(), view("r", [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3])
    drafter.begin(request)
    chain = drafter.draft(request, DraftBudget(4, 4, branching=False))
    assert chain.token.tolist() == [4, 5, 6, 7]
    tree = drafter.draft(request, BUDGET)
    assert chain.token.tolist() == tree.token[tree.parent == np.arange(len(tree)) - 1].tolist()[:4]


def test_earlier_answers_are_drafted_in_their_scope_and_nowhere_else() -> None:
    """Tenant isolation: no token of one scope's text in another's draft."""
    drafter = small()
    secret = list(range(100, 130))
    live(drafter, "a", [1, 2, 3], secret, scope="tenant a")
    for scope, known in (("tenant a", True), ("tenant b", False)):
        request = view("r", [1, 2, 3, *secret[:3]], scope=scope)
        drafter.begin(request)
        draft = drafter.draft(request, BUDGET)
        drafter.end(request)
        assert (secret[3] in draft.token.tolist()) == known
        assert known or not set(draft.token.tolist()) & set(secret[3:])


def test_without_a_scope_nothing_is_shared() -> None:
    for teaching, learning in ((None, None), (None, ""), ("", None)):
        drafter = small()
        live(drafter, "a", [1, 2, 3], list(range(100, 130)), scope=teaching)
        request = view("r", [1, 2, 3, 100, 101], scope=learning)
        drafter.begin(request)
        assert not len(drafter.draft(request, BUDGET))


def test_what_the_target_showed_is_drafted_rejected_nodes_included() -> None:
    drafter, request = small(), view("r", [1, 2])
    drafter.begin(request)
    request.tokens = np.array([1, 2, 5], np.int32)
    ids = np.array([[5, 6, 7], [8, 9, 1], [3, 1, 1]], np.int32)
    logprobs = np.log(np.array([[0.8, 0.1, 0.05]] * 3, np.float32))
    rows = VerifiedRows(np.array([2, 6, 8], np.int32), ids, logprobs, np.array([-1, 0, 1], np.int32))
    drafter.observe(request, [5], rows)
    request.tokens = np.array([1, 2], np.int32)
    draft = drafter.draft(request, BUDGET)
    edges = set(zip(draft.token.tolist(), draft.depth.tolist(), strict=True))
    assert {(5, 1), (6, 1), (8, 2), (3, 3)} <= edges, "6 was drafted and rejected, and its successors are known"
    assert draft.score is not None
    assert draft.token[0] == 5


def test_the_scope_not_used_longest_is_forgotten() -> None:
    made: list[int] = []
    scopes = Scopes(lambda: made.append(len(made)) or made[-1], 2)
    requests = [view(f"r{i}", [], scope=name) for i, name in enumerate(("a", "b", "a", "c", "a", "b"))]
    assert [scopes.begin(request) for request in requests] == [0, 1, 0, 2, 0, 3]
    assert len(scopes) == 2
    assert [scopes.get(request) for request in requests] == [0, 1, 0, 2, 0, 3], "a request keeps what it began with"
    alone = [view(name, [], scope=None) for name in ("x", "y")]
    assert [scopes.begin(request) for request in alone] == [4, 5]
    assert [scopes.get(request) for request in alone] == [4, 5]
    for request in (*requests, *alone):
        scopes.end(request)
    assert [scopes.get(request) for request in (requests[1], requests[2], alone[0])] == [3, 0, 6]
    with pytest.raises(ValueError, match="at least one"):
        Scopes(int, 0)


def test_scores_are_calibrated() -> None:
    """On a random second-order source, the sum of scores is about the number of accepted nodes."""
    chance = random.Random(1)
    rows = {(a, b): [chance.random() ** 4 for _ in range(6)] for a in range(6) for b in range(6)}
    expected = accepted = 0.0
    drafter = small()
    for which in range(6):
        text = [0, 1]
        for _ in range(400):
            text.append(chance.choices(range(6), rows[text[-2], text[-1]])[0])
        request = view("r", text[:2])
        drafter.begin(request)
        for at in range(3, len(text)):
            request.tokens = np.array(text[:at], np.int32)
            drafter.observe(request, [text[at - 1]], None)
            if which < 2:
                continue
            draft = drafter.draft(request, DraftBudget(6, 1))
            assert draft.score is not None
            expected += float(draft.score.sum())
            accepted += text[at] in draft.token.tolist()
        drafter.end(request)
    assert accepted / expected == pytest.approx(1.0, abs=0.05)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), max_size=60))
def test_table_counts_as_a_dictionary_does(events: list[tuple[int, int]]) -> None:
    table, truth = NgramTable(64, 6), Counter(events)
    for key, token in events:
        count(table.address, np.uint64(key << 20), np.int32(token))
    for key in range(1, 4):
        slot = find(table.address, np.uint64(key << 20))
        pairs = [] if slot < 0 else zip(table.token[slot].tolist(), table.weight[slot].tolist(), strict=True)
        row = {token: weight for token, weight in pairs if weight}
        assert row == {token: truth[key, token] for token in range(6) if truth[key, token]}
        if slot >= 0:
            assert table.weight[slot].tolist() == sorted(table.weight[slot].tolist(), reverse=True)


def test_a_full_table_forgets_what_was_written_longest_ago() -> None:
    table = NgramTable(4, 2)
    for key in range(1, 6):  # five contexts for four slots
        put(table.address, np.uint64(key), np.array([key], np.int32), np.array([1.0], np.float32))
    assert [find(table.address, np.uint64(key)) >= 0 for key in range(1, 6)] == [False, True, True, True, True]


def test_frequent_then_recent_comes_first_and_counts_are_bounded() -> None:
    table = NgramTable(4, 3)
    for token in [1, 2, 2, 3]:
        count(table.address, np.uint64(9), np.int32(token))
    assert table.token[find(table.address, np.uint64(9))].tolist() == [2, 3, 1]
    for _ in range(2000):
        count(table.address, np.uint64(9), np.int32(3))
    assert table.weight.max() <= 256


def test_best_path_gains_most() -> None:
    draft = Draft(
        np.array([1, 2, 3, 4], np.int32),
        np.array([ROOT, ROOT, 1, 2], np.int32),
        np.array([1, 1, 2, 3], np.int32),
        score=np.array([0.5, 0.4, 0.3, 0.2], np.float32),
    )
    assert best_path(draft).token.tolist() == [2, 3, 4]
    assert best_path(draft.within(2, 9)).token.tolist() == [1]
    unscored = Draft(draft.token, draft.parent, draft.depth)
    assert best_path(unscored).token.tolist() == [1]
    assert best_path(EMPTY_DRAFT) is EMPTY_DRAFT
