"""Masks, steps and ends of the mask runtime equal those of the reference interpreter, on random pushdown sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from pushdown_sources import EOS, LETTERS, SPECIAL, RandomSource, sources

from latticework.structured import bitmask
from latticework.structured.errors import BudgetExceededError
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.automaton import Configuration, PushdownAutomaton
from latticework.structured.runtime.machine import BUDGET, Machine
from latticework.structured.runtime.matcher import LatticeMatcher
from latticework.structured.vocabulary import Vocabulary


def vocabulary_of(extra: list[bytes]) -> Vocabulary:
    return Vocabulary([None, None, *(bytes([b]) for b in LETTERS), *extra], [EOS], special_ids=[SPECIAL])


def mask_of(matcher: LatticeMatcher, vocabulary: Vocabulary) -> set[int]:
    row = np.full(bitmask.words(vocabulary.size) + 1, -1, np.int32)
    matcher.fill_bitmask(row)
    assert row[-1] == 0
    return set(bitmask.indices(row).tolist())


def expected(automaton: PushdownAutomaton, state: Configuration, vocabulary: Vocabulary) -> set[int]:
    allowed = set()
    for token_id in range(vocabulary.size):
        if after(automaton, state, token_id, vocabulary) is not None:
            allowed.add(token_id)
    return allowed


def reference(source: RandomSource) -> PushdownAutomaton | None:
    """``None``: the source has no first lexeme, or never gets to it."""
    try:
        return PushdownAutomaton(source)
    except (ValueError, RuntimeError):
        return None


def after(automaton, state, token_id, vocabulary):
    if token_id == EOS:
        return state if automaton.accepts(state) else None
    if token_id == SPECIAL:
        return automaton.step_special(state, token_id)
    for byte in vocabulary.tokens[token_id]:
        state = automaton.step(state, byte)
        if state is None:
            return None
    return state


def words() -> st.SearchStrategy[list[bytes]]:
    letters = st.sampled_from([bytes([b]) for b in LETTERS])
    return st.lists(st.lists(letters, min_size=2, max_size=5).map(b"".join), max_size=12, unique=True)


@pytest.fixture(autouse=True)
def short_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random sources often go round in circles; the reference should notice soon."""
    monkeypatch.setattr("latticework.structured.pushdown.automaton.MAX_CHAIN", 200)


@settings(max_examples=300, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    source=sources(),
    extra=words(),
    budget=st.sampled_from([0, 3, BUDGET]),
    path=st.lists(st.integers(0, 99), max_size=6),
)
def test_masks_equal_the_reference(source: RandomSource, extra: list[bytes], budget: int, path: list[int]) -> None:
    vocabulary = vocabulary_of(extra)
    automaton = reference(source)
    assume(automaton is not None)
    matcher = LatticeMatcher(Machine(source, vocabulary, GrammarLimits(), "test", budget=budget))
    state = automaton.start()
    for choice in [*path, None]:
        try:
            allowed = expected(automaton, state, vocabulary)
            mask = mask_of(matcher, vocabulary)
        except (RuntimeError, BudgetExceededError):  # the source goes round in circles
            break
        assert mask == allowed
        assert mask_of(matcher, vocabulary) == allowed, "the second time"
        assert matcher.can_end == (EOS in allowed)
        for token_id in range(vocabulary.size):
            assert matcher.fork().accept(token_id) == (token_id in allowed)
        usable = sorted(allowed - {EOS})
        if choice is None or not usable:
            break
        token_id = usable[choice % len(usable)]
        state = after(automaton, state, token_id, vocabulary)
        assert matcher.accept(token_id)


@settings(max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(source=sources(), path=st.lists(st.integers(0, 99), min_size=3, max_size=12), limit=st.integers(1, 5))
def test_a_full_machine_gives_way_to_an_empty_one(source: RandomSource, path: list[int], limit: int) -> None:
    """Moving changes no mask, and what was accepted before can still be rolled back."""
    vocabulary = vocabulary_of([b"ab", b"a,"])
    try:
        matcher = LatticeMatcher(Machine(source, vocabulary, GrammarLimits(), "test"))
        small = Machine(source, vocabulary, GrammarLimits(), "test")
    except (ValueError, RuntimeError):
        return
    tight = LatticeMatcher(small)
    masks = []
    for count, choice in enumerate(path):
        try:
            masks.append(mask_of(matcher, vocabulary))
            assert mask_of(tight, vocabulary) == masks[-1]
        except (RuntimeError, BudgetExceededError):
            return
        usable = sorted(masks[-1] - {EOS})
        if not usable:
            break
        if count % limit == 0:
            tight._move()
        token_id = usable[choice % len(usable)]
        assert matcher.accept(token_id)
        assert tight.accept(token_id)
    for mask in reversed(masks[: len(masks) - (not usable)]):
        tight.rollback(1)
        assert mask_of(tight, vocabulary) == mask
    assert LatticeMatcher(small)._machine is small.latest
