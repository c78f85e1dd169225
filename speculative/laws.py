"""The laws every drafter must satisfy, as a test class for whoever implements the protocol.

Subclass and provide the fixture; pytest runs every law against the implementation::

    class TestMyDrafter(DrafterLaws):
        @pytest.fixture
        def make_drafter(self): return MyDrafter

    # optional: fixture ``grammar``, a CompiledGrammar, for drafters that use one

Walks are random with fixed seeds, so a failure repeats.
"""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable
from types import FunctionType, ModuleType

import numpy as np
import pytest

from latticework.speculative.draft import Draft
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView
from latticework.structured import bitmask
from latticework.structured.engines.base import CompiledGrammar, Matcher

_SEEDS = range(6)
_STEPS = 25
_ALPHABET = 5  # few distinct tokens, so that texts repeat and n-gram drafters find something
_PROMPT = 12
_SCOPES = (None, "tenant a")

MakeDrafter = Callable[[], Drafter]


class DrafterLaws:
    """Laws of :class:`latticework.speculative.drafter.Drafter`. Fixture: ``make_drafter``; optional: ``grammar``."""

    @pytest.fixture
    def grammar(self) -> CompiledGrammar | None:
        """The constraint of the requests; ``None`` for free text only."""
        return None

    def test_drafts_are_trees_within_the_budget(
        self, make_drafter: MakeDrafter, grammar: CompiledGrammar | None
    ) -> None:
        budgets = [DraftBudget(0, 0), DraftBudget(1, 1), DraftBudget(8, 8), DraftBudget(16, 4), DraftBudget(3, 16)]
        for seed in _SEEDS:
            drafter, life = make_drafter(), _Life(f"r{seed}", seed, grammar)
            drafter.begin(life.view)
            for step in range(_STEPS):
                budget = budgets[step % len(budgets)]
                draft = drafter.draft(life.view, budget)
                draft.check()
                assert len(draft) <= budget.max_nodes
                assert draft.depth.max(initial=0) <= budget.max_depth
                life.advance(drafter)
            drafter.end(life.view)

    def test_drafts_are_chains_where_nothing_else_is_verified(
        self, make_drafter: MakeDrafter, grammar: CompiledGrammar | None
    ) -> None:
        drafter, life = make_drafter(), _Life("r", 4, grammar)
        drafter.begin(life.view)
        for _ in range(_STEPS):
            draft = drafter.draft(life.view, DraftBudget(6, 4, branching=False))
            draft.check()
            assert draft.is_chain
            assert len(draft) <= 4
            life.advance(drafter)

    def test_same_history_gives_the_same_draft(
        self, make_drafter: MakeDrafter, grammar: CompiledGrammar | None
    ) -> None:
        for seed in _SEEDS:
            first, second = (_run(make_drafter(), _Life("r", seed, grammar)) for _ in range(2))
            assert first == second

    def test_drafting_twice_changes_nothing(self, make_drafter: MakeDrafter, grammar: CompiledGrammar | None) -> None:
        drafter, life = make_drafter(), _Life("r", 1, grammar)
        drafter.begin(life.view)
        for _ in range(_STEPS):
            budget = DraftBudget(8, 8)
            assert _key(drafter.draft(life.view, budget)) == _key(drafter.draft(life.view, budget))
            life.advance(drafter)

    def test_request_is_left_as_it_was(self, make_drafter: MakeDrafter, grammar: CompiledGrammar | None) -> None:
        drafter, life = make_drafter(), _Life("r", 2, grammar)
        drafter.begin(life.view)
        for _ in range(_STEPS):
            tokens, mask = life.view.tokens.copy(), life.mask()
            matcher = life.view.matcher
            drafter.draft(life.view, DraftBudget(8, 8))
            assert np.array_equal(life.view.tokens, tokens)
            assert life.view.matcher is matcher
            assert np.array_equal(life.mask(), mask), "the matcher was moved"
            life.advance(drafter)

    def test_requests_do_not_disturb_each_other(
        self, make_drafter: MakeDrafter, grammar: CompiledGrammar | None
    ) -> None:
        """Any interleaving of lives, with ends in the middle: no error, and every draft is sound."""
        for seed in _SEEDS:
            chance, drafter = random.Random(seed), make_drafter()
            lives: dict[str, _Life] = {}
            for step in range(4 * _STEPS):
                action = chance.random()
                if action < 0.2 or not lives:
                    life = _Life(f"r{step}", step, grammar, chance.choice(_SCOPES))
                    lives[life.view.request_id] = life
                    drafter.begin(life.view)
                    continue
                life = chance.choice(list(lives.values()))
                if action < 0.3:
                    drafter.end(lives.pop(life.view.request_id).view)
                elif action < 0.65:
                    drafter.draft(life.view, DraftBudget(6, 6)).check()
                else:
                    life.advance(drafter)
            for life in lives.values():
                drafter.end(life.view)

    def test_an_ended_request_may_begin_again(self, make_drafter: MakeDrafter, grammar: CompiledGrammar | None) -> None:
        drafter = make_drafter()
        for seed in _SEEDS:
            _run(drafter, _Life("same id", seed, grammar, _SCOPES[seed % len(_SCOPES)]))

    @pytest.mark.parametrize("scope", [None, "tenant b"])
    def test_nothing_is_learnt_across_scopes(
        self, make_drafter: MakeDrafter, grammar: CompiledGrammar | None, scope: str | None
    ) -> None:
        """Whatever requests of other scopes, and those without one, have written: the drafts are a new drafter's."""
        expected = _run(make_drafter(), _Life("r", 9, grammar, scope))
        drafter, others = make_drafter(), [_Life(f"live {i}", i, grammar, other) for i, other in enumerate(_SCOPES)]
        for life in others:
            _run(drafter, life)
            life = _Life(life.view.request_id, life.seed + 20, grammar, life.view.scope)  # one that goes on living
            drafter.begin(life.view)
            life.advance(drafter)
        assert _run(drafter, _Life("r", 9, grammar, scope)) == expected

    @pytest.mark.parametrize("scope", [None, "tenant a"])
    def test_nothing_is_kept_after_the_end(
        self, make_drafter: MakeDrafter, grammar: CompiledGrammar | None, scope: str | None
    ) -> None:
        drafter, life = make_drafter(), _Life("a-request-id-that-is-unique", 3, grammar, scope)
        _run(drafter, life)
        references: list[weakref.ref[object]] = [weakref.ref(life.view), weakref.ref(life.view.tokens)]
        del life
        gc.collect()
        assert not any(reference() is not None for reference in references), "the view or its tokens are still held"
        assert "a-request-id-that-is-unique" not in _reachable_strings(drafter)


class _Life:
    """One request: a prompt, then random steps that its grammar allows."""

    def __init__(self, request_id: str, seed: int, grammar: CompiledGrammar | None, scope: str | None = None) -> None:
        self.seed = seed
        self._chance = random.Random(seed)
        self._grammar = grammar
        prompt = np.array([self._chance.randrange(_ALPHABET) for _ in range(_PROMPT)], np.int32)
        matcher = None if grammar is None else grammar.matcher()
        self.view = RequestView("".join(request_id), prompt, len(prompt), matcher, scope, grammar)

    def advance(self, drafter: Drafter) -> None:
        """Commit one to three tokens, if the grammar has any left, and tell the drafter."""
        committed: list[int] = []
        for _ in range(self._chance.randint(1, 3)):
            choices = list(range(_ALPHABET)) if self.view.matcher is None else bitmask.indices(self.mask()).tolist()
            if not choices:
                break
            committed.append(self._chance.choice(choices))
            assert self.view.matcher is None or self.view.matcher.accept(committed[-1])
        if committed:
            self.view.tokens = np.concatenate((self.view.tokens, np.array(committed, np.int32)))
            drafter.observe(self.view, committed, None)

    def mask(self) -> bitmask.Bitmask:
        """The grammar's mask here; empty without one."""
        matcher: Matcher | None = self.view.matcher
        if self._grammar is None or matcher is None:
            return np.empty(0, np.int32)
        row = np.zeros(bitmask.words(self._grammar.vocabulary.size), np.int32)
        matcher.fill_bitmask(row)
        return row


def _run(drafter: Drafter, life: _Life) -> list[tuple[object, ...]]:
    """A whole life; the drafts that were made."""
    drafts = []
    drafter.begin(life.view)
    for _ in range(_STEPS):
        drafts.append(_key(drafter.draft(life.view, DraftBudget(8, 8))))
        life.advance(drafter)
    drafter.end(life.view)
    return drafts


def _key(draft: Draft) -> tuple[object, ...]:
    score = None if draft.score is None else tuple(np.nan_to_num(draft.score, nan=-1.0).tolist())
    return tuple(draft.token.tolist()), tuple(draft.parent.tolist()), score


def _reachable_strings(root: object) -> set[str]:
    """Every string that can be reached from ``root`` through plain data."""
    seen: set[int] = set()
    strings: set[str] = set()
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, type | ModuleType | FunctionType):
            continue
        seen.add(id(value))
        if isinstance(value, str):
            strings.add(value)
        waiting.extend(gc.get_referents(value))
    return strings
