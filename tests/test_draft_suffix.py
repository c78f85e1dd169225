"""The suffix automaton and its drafter: brute force, laws, isolation, memory bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from latticework.plugins.drafters import SuffixPlugin
from latticework.speculative.drafter import DraftBudget, RequestView
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.suffix_automaton import SuffixAutomaton
from latticework.speculative.suffix_drafter import SuffixDrafter

MAKERS = {
    "suffix": lambda: SuffixPlugin().create(SuffixPlugin.options()),
}
TEXTS = st.lists(st.integers(0, 2), max_size=30)


@pytest.mark.parametrize("name", MAKERS)
class TestLaws(DrafterLaws):
    @pytest.fixture
    def make_drafter(self, name: str) -> MakeDrafter:
        return MAKERS[name]


def view(name: str, tokens: Sequence[int], scope: str = "") -> RequestView:
    return RequestView(name, np.array(tokens, np.int32), len(tokens), scope=scope)


def longest_match(text: list[int], query: list[int]) -> tuple[int, int]:
    """Length of the longest end of ``query`` in ``text``, and one past the first place where it ends."""
    for length in range(len(query), 0, -1):
        for end in range(length, len(text) + 1):
            if text[end - length : end] == query[len(query) - length :]:
                return length, end
    return 0, 0


@given(text=TEXTS, query=TEXTS)
def test_cursor_finds_the_longest_match(text: list[int], query: list[int]) -> None:
    automaton, state, matched = SuffixAutomaton(), 0, 0
    automaton.extend(text)
    for at, token in enumerate(query):
        state, matched = automaton.advance(state, matched, token)
        found = automaton.match(state, matched)
        assert (found.length, found.end) == longest_match(text, query[: at + 1])


@example(text=[0, 1, 1, 0, 1, 1, 1, 0, 0], query=[1, 0, 0, 0])
@given(text=TEXTS, query=TEXTS)
def test_cursor_stays_right_while_the_text_grows(text: list[int], query: list[int]) -> None:
    """Requests under way keep their cursor while others finish; it may miss new matches, never point to a wrong one."""
    automaton, state, matched = SuffixAutomaton(), 0, 0
    half = len(text) // 2
    automaton.extend(text[:half])
    for at, token in enumerate(query):
        if at == len(query) // 2:
            automaton.extend(text[half:])
        state, matched = automaton.advance(state, matched, token)
        found = automaton.match(state, matched)
        assert automaton.text[found.end - found.length : found.end] == query[at + 1 - found.length : at + 1]


@given(text=TEXTS.filter(bool))
def test_a_text_finds_its_own_repeats(text: list[int]) -> None:
    automaton = SuffixAutomaton()
    automaton.extend(text)
    found = automaton.own_match()
    assert (found.length, found.end) == next(
        (length, end)
        for length in range(len(text) - 1, -1, -1)
        for end in range(length, len(text))
        if text[end - length : end] == text[len(text) - length :]
    )


def test_suffix_goes_on_where_the_text_did_and_repeats_what_repeats() -> None:
    drafter = SuffixDrafter()
    request = view("r", [1, 2, 3, 4, 9, 1, 2])
    drafter.begin(request)
    assert drafter.draft(request, DraftBudget(3, 3)).token.tolist() == [3, 4, 9]
    looping = view("loop", [7, 8, 7, 8])
    drafter.begin(looping)
    assert drafter.draft(looping, DraftBudget(5, 5)).token.tolist() == [7, 8, 7, 8, 7]


def finish(drafter: SuffixDrafter, prompt: list[int], output: list[int], scope: str = "") -> None:
    request = view("f", prompt, scope)
    drafter.begin(request)
    request.tokens = np.array(prompt + output, np.int32)
    drafter.observe(request, output, None)
    drafter.end(request)


def test_finished_answers_are_followed_in_their_scope_only_and_not_beyond_their_end() -> None:
    drafter = SuffixDrafter()
    finish(drafter, [1], [*range(100, 110)], "a")
    finish(drafter, [1], [*range(200, 210)], "a")
    for scope, expected in (("a", [106, 107, 108, 109]), ("b", [])):
        request = view("r", [*range(100, 106)], scope)
        drafter.begin(request)
        assert drafter.draft(request, DraftBudget(8, 8)).token.tolist() == expected
        drafter.end(request)


def test_memory_of_finished_answers_is_bounded() -> None:
    drafter = SuffixDrafter(finished_tokens=50)
    for _ in range(20):
        finish(drafter, [1], [*range(12)])
        assert len(drafter._finished.get(view("r", []))[0].text) <= 50
    finish(drafter, [1], [*range(60)])
    assert len(drafter._finished.get(view("r", []))[0].text) <= 50
