"""Every drafter that comes with the package, through long random lives: sound drafts, tenants apart, memory bounded."""

from __future__ import annotations

import gc
import pickle
import random
from collections.abc import Iterable

import numpy as np
import pytest
from every_drafter import MAKERS, PUBLIC, registered
from toy_decoding import HIDDEN

from latticework.speculative.drafter import DraftBudget, Drafter, RequestView, VerifiedRows, read_prompt
from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary, bitmask
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.engines.lattice import LatticeEngine

_TENANTS = 3
#: Of all drafters together. Fewer are drawn under a grammar, whose masks take most of the time there.
_EVENTS, _EVENTS_IN_A_GRAMMAR = 100_000, 8_000
_LIVE = 6
_LONGEST = 120
#: Tenants write different letters in the strings of their documents; the rest of a document is everybody's.
_LETTERS = ("ABC", "DEF", "GHI")
_STRUCTURE = '{}[]": ,nameid0123456789'
VOCABULARY = Vocabulary(
    [None, *(character.encode() for character in "".join(_LETTERS) + _STRUCTURE), b'"name": "'], [0]
)
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 9}, "id": {"type": "integer"}},
        "required": ["name"],
        "additionalProperties": False,
    },
    "maxItems": 6,
}


class Fleet:
    """Requests of several tenants in random events.

    Without a grammar tenant ``t`` writes tokens ``100 t`` to ``100 t + 11``, and public ones; within one, its letters.
    """

    def __init__(self, drafter: Drafter, seed: int, grammar: CompiledGrammar | None = None) -> None:
        self._drafter, self._chance, self._grammar = drafter, random.Random(seed), grammar
        self._live: list[RequestView] = []
        self._waiting: list[tuple[RequestView, list[int]]] = []  # preempted, with what they had written
        self._born = 0

    def run(self, events: int) -> None:
        for _ in range(events):
            draw = self._chance.random()
            if not self._live or (draw < 0.1 and len(self._live) < _LIVE):
                self._begin()
                continue
            request = self._chance.choice(self._live)
            if draw < 0.15 or len(request.tokens) > _LONGEST:  # finished or aborted
                self._live.remove(request)
                self._drafter.end(request)
            elif draw < 0.18:
                self._preempt(request)
            elif draw < 0.21:
                self._resume()
            elif draw < 0.6:
                self._draft(request)
            else:
                self._observe(request)

    def finish(self) -> None:
        """End everything that lives."""
        while self._live:
            self._drafter.end(self._live.pop())
        self._waiting.clear()

    def own(self, request: RequestView) -> set[int]:
        """The tokens that may be drafted for a request."""
        tenant = int(request.scope or 0)
        if self._grammar is None:
            return {*range(100 * tenant, 100 * tenant + 12), *range(100 * PUBLIC, 100 * PUBLIC + 12)}
        foreign = {letter.encode() for other, letters in enumerate(_LETTERS) if other != tenant for letter in letters}
        return {token for token, data in enumerate(VOCABULARY.tokens) if data not in foreign}

    def _text(self, request: RequestView, length: int) -> list[int]:
        hundred = PUBLIC if self._chance.random() < 0.2 else int(request.scope or 0)
        if self._grammar is not None:
            return self._chance.choices(sorted(self.own(request)), k=length)
        return [100 * hundred + min(self._chance.randrange(12), self._chance.randrange(12)) for _ in range(length)]

    def _begin(self) -> None:
        request = RequestView(f"r{self._born}", np.empty(0, np.int32), 0, scope=str(self._chance.randrange(_TENANTS)))
        self._born += 1
        request.tokens = np.array(self._text(request, self._chance.randint(0, 30)), np.int32)
        request.prompt_length = len(request.tokens)
        self._start(request)
        self._live.append(request)

    def _start(self, request: RequestView) -> None:
        request.grammar = self._grammar
        request.matcher = self._grammar.matcher() if self._grammar is not None else None
        self._drafter.begin(request)
        if self._chance.random() < 0.3:
            prompt = request.tokens.tolist()
            read_prompt(self._drafter, request, self._rows(request, prompt, range(-1, len(prompt) - 1)))

    def _observe(self, request: RequestView) -> None:
        fresh = self._continuation(request, self._chance.randint(1, 4))
        before = request.tokens[-1:].tolist()
        if not fresh:
            return
        request.tokens = np.array([*request.tokens.tolist(), *fresh], np.int32)
        verified = None
        if before and self._chance.random() < 0.7:
            rejected = self._text(request, self._chance.randint(0, 3))
            tokens = [*before, *fresh[:-1], *rejected]
            parents = [*range(-1, len(fresh) - 1), *(self._chance.randrange(len(fresh)) for _ in rejected)]
            verified = self._rows(request, tokens, parents if self._chance.random() < 0.7 else None)
        self._drafter.observe(request, fresh, verified)

    def _continuation(self, request: RequestView, length: int) -> list[int]:
        """What the request writes next; its matcher is moved on."""
        matcher = request.matcher
        if matcher is None:
            return self._text(request, length)
        fresh: list[int] = []
        row = np.zeros(bitmask.words(VOCABULARY.size), np.int32)
        while len(fresh) < length and not matcher.finished:
            matcher.fill_bitmask(row)
            allowed = sorted(set(bitmask.indices(row).tolist()) & self.own(request))
            fresh.append(self._chance.choice(allowed))
            assert matcher.accept(fresh[-1])
        return fresh

    def _rows(self, request: RequestView, tokens: list[int], parents: Iterable[int] | None) -> VerifiedRows:
        shown = np.array([self._text(request, 8) for _ in tokens], np.int32).reshape(-1, 8)
        parent = None if parents is None else np.array(list(parents), np.int32)
        hidden = np.random.default_rng(self._chance.randrange(99)).normal(size=(len(tokens), HIDDEN))
        logprobs = np.log(np.full(shown.shape, 0.1, np.float32))
        return VerifiedRows(np.array(tokens, np.int32), shown, logprobs, parent, hidden.astype(np.float32))

    def _preempt(self, request: RequestView) -> None:
        """The engine takes a request out, perhaps with less than it had written."""
        kept = self._chance.randint(request.prompt_length, len(request.tokens))
        self._waiting.append((request, request.tokens[request.prompt_length : kept].tolist()))
        self._live.remove(request)
        self._drafter.end(request)

    def _resume(self) -> None:
        """It begins again with its prompt, and is told what it had written, as a session does."""
        if not self._waiting or len(self._live) >= _LIVE:
            return
        request, output = self._waiting.pop(self._chance.randrange(len(self._waiting)))
        prompt = request.tokens[: request.prompt_length]
        request.tokens = prompt
        self._start(request)
        self._live.append(request)
        if output:
            request.tokens = np.array([*prompt.tolist(), *output], np.int32)
            assert request.matcher is None or all(request.matcher.accept(token) for token in output)
            self._drafter.observe(request, output, None)

    def _draft(self, request: RequestView) -> None:
        budget = DraftBudget(self._chance.randint(0, 12), self._chance.randint(0, 8), self._chance.random() < 0.5)
        draft = self._drafter.draft(request, budget)
        draft.check()
        assert len(draft) <= budget.max_nodes
        assert draft.depth.max(initial=0) <= budget.max_depth
        assert budget.branching or draft.is_chain
        assert set(draft.token.tolist()) <= self.own(request), "a token of another tenant's text"


@pytest.fixture(scope="module")
def grammar() -> CompiledGrammar:
    return LatticeEngine().compile(GrammarSpec.json_schema(SCHEMA), VOCABULARY, GrammarLimits())


def test_every_registered_drafter_is_here() -> None:
    assert registered() <= set(MAKERS)


@pytest.mark.parametrize("name", MAKERS)
def test_long_random_lives(name: str) -> None:
    drafter = MAKERS[name]()
    fleet, sizes = Fleet(drafter, seed=7), []
    for _ in range(6):
        fleet.run(_EVENTS // len(MAKERS) // 6 + 1)
        fleet.finish()
        gc.collect()
        sizes.append(len(pickle.dumps(_state(drafter))))
    # Some stores fill up and start afresh, so the largest sizes are compared.
    assert max(sizes[3:]) < 1.5 * max(sizes[:3]) + 4096, f"memory grows with every request: {sizes}"


@pytest.mark.parametrize("name", [name for name in MAKERS if not name.startswith("model")])
def test_long_random_lives_within_a_grammar(name: str, grammar: CompiledGrammar) -> None:
    drafter = MAKERS[name]()
    fleet = Fleet(drafter, 3, grammar)
    fleet.run(_EVENTS_IN_A_GRAMMAR // len(MAKERS))
    fleet.finish()


@pytest.mark.parametrize("name", MAKERS)
def test_tenants_are_kept_apart_in_any_order_of_events(name: str) -> None:
    """Many short histories, each with a new drafter: what is asserted of every draft holds early in a memory's life."""
    for seed in range(12):
        fleet = Fleet(MAKERS[name](), seed)
        fleet.run(60)
        fleet.finish()


def _state(value: object) -> object:
    """Everything an object holds, as plain data that can be measured."""
    if isinstance(value, dict):
        return [(_state(key), _state(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_state(item) for item in value]
    if isinstance(value, str | int | float | bool | np.ndarray) or value is None or callable(value):
        return None if callable(value) else value
    slots = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())}
    names = slots | set(getattr(value, "__dict__", ()))
    return [_state(getattr(value, name)) for name in sorted(names) if name not in {"__weakref__", "__dict__"}]
