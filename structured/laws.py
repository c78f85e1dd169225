"""The laws that automata and matchers must satisfy, as test classes for whoever implements the protocols.

Subclass, provide the fixtures, and pytest runs every law against the implementation::

    class TestMyAutomaton(AutomatonLaws):
        @pytest.fixture
        def automaton(self): return MyAutomaton()

    class TestMyEngine(MatcherLaws):
        @pytest.fixture(params=[...])
        def grammar(self, request): return MyEngine().compile(request.param, vocabulary, GrammarLimits())

Walks are random with fixed seeds, so a failure repeats.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from latticework.structured import bitmask
from latticework.structured.automaton import Automaton, State
from latticework.structured.engines.base import CompiledGrammar, Matcher

_WALKS = 8
_STEPS = 40


class AutomatonLaws:
    """Laws of :class:`latticework.structured.automaton.Automaton`. Fixture: ``automaton``."""

    def states(self, automaton: Automaton) -> list[State]:
        """States found by random walks from the start."""
        found: dict[State, None] = {automaton.start(): None}
        for seed in range(_WALKS):
            chance = random.Random(seed)
            state = automaton.start()
            for _ in range(_STEPS):
                edges = automaton.edges(state)
                if not edges:
                    break
                state = chance.choice(edges)[2]
                found[state] = None
        return list(found)

    def test_edges_are_disjoint_rising_ranges(self, automaton: Automaton) -> None:
        for state in self.states(automaton):
            last = -1
            for low, high, _ in automaton.edges(state):
                assert last < low <= high <= 255
                last = high

    def test_step_agrees_with_edges(self, automaton: Automaton) -> None:
        for state in self.states(automaton):
            expected = {b: t for low, high, t in automaton.edges(state) for b in range(low, high + 1)}
            assert {b: t for b in range(256) if (t := automaton.step(state, b)) is not None} == expected

    def test_step_special_agrees_with_special_edges(self, automaton: Automaton) -> None:
        for state in self.states(automaton):
            for token_id, target in automaton.special_edges(state):
                assert automaton.step_special(state, token_id) == target

    def test_no_state_is_a_dead_end(self, automaton: Automaton) -> None:
        for state in self.states(automaton):
            assert automaton.accepts(state) or automaton.edges(state) or any(automaton.special_edges(state))

    def test_states_are_values(self, automaton: Automaton) -> None:
        assert automaton.start() == automaton.start()
        for state in self.states(automaton):
            assert hash(state) == hash(state)
            assert list(automaton.edges(state)) == list(automaton.edges(state))


class MatcherLaws:
    """Laws of :class:`latticework.structured.engines.base.Matcher`. Fixture: ``grammar``, a compiled grammar."""

    def walk(self, grammar: CompiledGrammar, seed: int, steps: int = _STEPS) -> tuple[Matcher, list[int]]:
        """A matcher after a random legal walk, and the tokens it took."""
        chance = random.Random(seed)
        matcher, tokens = grammar.matcher(), []
        for _ in range(steps):
            allowed = bitmask.indices(mask_of(grammar, matcher))
            if not len(allowed):
                break
            tokens.append(int(chance.choice(allowed.tolist())))
            assert matcher.accept(tokens[-1]), "a token of the mask was refused"
        return matcher, tokens

    def test_mask_is_exactly_what_accept_takes(self, grammar: CompiledGrammar) -> None:
        for seed in range(3):
            matcher, _ = self.walk(grammar, seed, steps=3 * seed)
            allowed = set(bitmask.indices(mask_of(grammar, matcher)).tolist())
            sample = random.Random(seed).sample(range(grammar.vocabulary.size), min(400, grammar.vocabulary.size))
            for token_id in {*sample, *list(allowed)[:400], *grammar.vocabulary.special_ids}:
                fork = matcher.fork()
                assert fork.accept(token_id) == (token_id in allowed), token_id

    def test_refused_token_changes_nothing(self, grammar: CompiledGrammar) -> None:
        matcher, _ = self.walk(grammar, 1, steps=3)
        before = mask_of(grammar, matcher)
        refused = [t for t in range(grammar.vocabulary.size) if not bitmask.test(before, t)][:50]
        for token_id in refused:
            assert not matcher.accept(token_id)
        assert np.array_equal(mask_of(grammar, matcher), before)

    def test_never_stuck_before_the_end(self, grammar: CompiledGrammar) -> None:
        for seed in range(_WALKS):
            matcher, _ = self.walk(grammar, seed)
            assert matcher.finished or bitmask.count(mask_of(grammar, matcher)) > 0

    def test_end_tokens_are_allowed_exactly_where_the_text_may_end(self, grammar: CompiledGrammar) -> None:
        for seed in range(_WALKS):
            matcher, _ = self.walk(grammar, seed, steps=seed * 2)
            if matcher.finished:
                continue
            mask = mask_of(grammar, matcher)
            for token_id in grammar.vocabulary.eos_ids:
                assert bitmask.test(mask, token_id) == matcher.can_end

    def test_nothing_is_allowed_after_the_end(self, grammar: CompiledGrammar) -> None:
        matcher = complete(grammar)
        assert matcher.finished
        assert not matcher.can_end
        assert bitmask.count(mask_of(grammar, matcher)) == 0
        assert not any(matcher.accept(token_id) for token_id in range(min(grammar.vocabulary.size, 500)))
        assert matcher.forced_tokens() == []

    def test_rollback_equals_replay(self, grammar: CompiledGrammar) -> None:
        for seed in range(_WALKS):
            matcher, tokens = self.walk(grammar, seed)
            back = random.Random(seed).randint(0, len(tokens))
            matcher.rollback(back)
            replayed = grammar.matcher()
            assert all(replayed.accept(token_id) for token_id in tokens[: len(tokens) - back])
            assert np.array_equal(mask_of(grammar, matcher), mask_of(grammar, replayed))
            assert matcher.finished == replayed.finished

    def test_rollback_past_the_start_is_refused(self, grammar: CompiledGrammar) -> None:
        matcher, tokens = self.walk(grammar, 0, steps=2)
        with pytest.raises(ValueError):
            matcher.rollback(len(tokens) + 1)

    def test_rollback_over_the_end_token(self, grammar: CompiledGrammar) -> None:
        matcher = complete(grammar)
        matcher.rollback(1)
        assert not matcher.finished
        assert matcher.can_end

    def test_forks_are_independent(self, grammar: CompiledGrammar) -> None:
        matcher, tokens = self.walk(grammar, 2, steps=4)
        before = mask_of(grammar, matcher)
        fork = matcher.fork()
        for token_id in bitmask.indices(before)[:1].tolist():
            fork.accept(token_id)
        assert np.array_equal(mask_of(grammar, matcher), before)
        fork = matcher.fork()
        fork.rollback(len(tokens))
        assert np.array_equal(mask_of(grammar, matcher), before)
        assert np.array_equal(mask_of(grammar, fork), mask_of(grammar, grammar.matcher()))

    def test_count_valid_is_what_accept_would_take(self, grammar: CompiledGrammar) -> None:
        for seed in range(_WALKS):
            _, tokens = self.walk(grammar, seed, steps=10)
            chance = random.Random(seed)
            tokens += [chance.randrange(grammar.vocabulary.size) for _ in range(3)]
            matcher = grammar.matcher()
            before = mask_of(grammar, matcher)
            count = matcher.count_valid(tokens)
            assert np.array_equal(mask_of(grammar, matcher), before)
            taken = 0
            while taken < len(tokens) and matcher.accept(tokens[taken]):
                taken += 1
            assert count == taken

    def test_forced_tokens_are_accepted_and_leave_no_other_bytes(self, grammar: CompiledGrammar) -> None:
        for seed in range(_WALKS):
            matcher, _ = self.walk(grammar, seed, steps=seed)
            if matcher.finished:
                continue
            before = mask_of(grammar, matcher)
            forced = matcher.forced_tokens()
            assert np.array_equal(mask_of(grammar, matcher), before), "forced_tokens moved the matcher"
            fork = matcher.fork()
            text = b"".join(grammar.vocabulary.tokens[t] for t in forced)
            for token_id in forced:
                for other in bitmask.indices(mask_of(grammar, fork))[:200].tolist():
                    spelled = grammar.vocabulary.tokens[other]
                    assert text.startswith(spelled) or spelled.startswith(text), "the bytes were not certain"
                assert fork.accept(token_id)
                text = text[len(grammar.vocabulary.tokens[token_id]) :]
            assert matcher.forced_tokens(limit=1) == forced[:1]

    def test_wide_rows_are_cleared(self, grammar: CompiledGrammar) -> None:
        row = np.full(bitmask.words(grammar.vocabulary.size) + 3, -1, np.int32)
        matcher = grammar.matcher()
        matcher.fill_bitmask(row)
        assert not row[-3:].any()
        assert np.array_equal(row[:-3], mask_of(grammar, matcher))
        assert all(t < grammar.vocabulary.size for t in bitmask.indices(row))


def mask_of(grammar: CompiledGrammar, matcher: Matcher) -> bitmask.Bitmask:
    """The matcher's current mask, ``int32[words]``."""
    row = np.zeros(bitmask.words(grammar.vocabulary.size), np.int32)
    matcher.fill_bitmask(row)
    return row


def complete(grammar: CompiledGrammar, seed: int = 0, max_steps: int = 2000) -> Matcher:
    """A matcher walked at random until the text may end, and then ended. Short tokens steer to an end."""
    chance = random.Random(seed)
    matcher = grammar.matcher()
    for _ in range(max_steps):
        mask = mask_of(grammar, matcher)
        if matcher.can_end:
            assert matcher.accept(min(grammar.vocabulary.eos_ids))
            return matcher
        allowed = bitmask.indices(mask).tolist()
        closing = [t for t in allowed if grammar.vocabulary.tokens[t] in (b'"', b"}", b"]", b"'", b")")]
        assert matcher.accept(chance.choice(closing or allowed))
    raise AssertionError(f"no end was found within {max_steps} random tokens")
