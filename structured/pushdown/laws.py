"""The laws that pushdown sources must satisfy, as a test class for whoever implements one.

Subclass and provide the fixture; pytest runs every law against the implementation::

    class TestMySource(PushdownSourceLaws):
        @pytest.fixture
        def source(self): return MySource(...)

Walks take random words of random lexemes, with fixed seeds, so a failure repeats.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from latticework.structured.bitset import bits
from latticework.structured.pushdown.automaton import Configuration, PushdownAutomaton
from latticework.structured.pushdown.family import Grown, Kind
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, PushdownSource, Return, Symbol
from latticework.structured.pushdown.steering import Steering, shortest_words
from latticework.structured.pushdown.table import NO_RESULT, Table

_WALKS, _WORDS = 10, 30
_LONGEST = 20_000
#: Answers followed when two are compared, and results asked for on the way.
_DEPTH, _RESULTS = 4, 2


class PushdownSourceLaws:
    """Laws of :class:`latticework.structured.pushdown.protocol.PushdownSource`. Fixture: ``source``."""

    @pytest.fixture
    def seen(self, source: PushdownSource) -> Seen:
        """What random walks come by."""
        return walked(source)

    def test_goals_are_exact(self, source: PushdownSource, seen: Seen) -> None:
        """A result is in the goal if and only if what is answered to it leads on, or back to what lies below."""
        for symbol, table, state in seen.waiting:
            for result in bits(table.outcome_set(state)) if source.goal(symbol) is not None else ():
                answer = source.resume(symbol, result)
                assert _takes(source, symbol, result) == _leads_on(source, [], answer), (symbol, result)

    def test_what_is_entered_can_be_left(self, source: PushdownSource, seen: Seen) -> None:
        for symbol, table, state in seen.waiting:
            goal = source.goal(symbol)
            assert goal is None or table.outcome_set(state) & goal, symbol

    def test_every_text_can_be_completed(self, source: PushdownSource, seen: Seen) -> None:
        """Also where captured texts are refused."""
        steering = Steering(PushdownAutomaton(source))
        for number, place in enumerate(seen.places):
            assert steering.to_an_end(place, random.Random(number), _LONGEST) is not None, place

    def test_answers_repeat(self, source: PushdownSource, seen: Seen) -> None:
        assert _alike(source, source.start(), source.start(), 0)
        for symbol, table, state in seen.waiting:
            assert hash(symbol) == hash(symbol)
            for result in _wanted(source, symbol, table, state):
                assert _alike(source, source.resume(symbol, result), source.resume(symbol, result), 0), (symbol, result)

    def test_a_captured_text_changes_only_what_is_refused(self, source: PushdownSource, seen: Seen) -> None:
        """The answer without the text is that with it, as far as captures let one see. Else the source says so, and
        has said of everything that the text begins with that it may come to that."""
        for symbol, result, text in seen.captured:
            beginnings = (text[:end] for end in range(len(text) + 1))
            if source.depends(symbol) >> result & 1 and all(source.concerns(symbol, begun) for begun in beginnings):
                continue
            without, recorded = source.resume(symbol, result), source.resume_text(symbol, result, text)
            assert _alike(source, without, recorded, _DEPTH), (symbol, result, text)

    def test_families_answer_as_their_symbols_do(self, source: PushdownSource, seen: Seen) -> None:
        for symbol, table, state in seen.waiting:
            if (found := source.family(symbol)) is None:
                continue
            family, members = found
            assert family.symbol(members) == symbol
            assert family.rule.goal(members) == source.goal(symbol)
            if source.captures(symbol):
                assert family.rule.kind is Kind.CHOOSE
                assert frozenset(family.refused()) == frozenset(source.refused(symbol))
            for result in _wanted(source, symbol, table, state):
                mine, own = _filled(family.resume(result), members), source.resume(symbol, result)
                assert _alike(source, mine, own, 1), (symbol, result)
        for symbol, result, text in seen.captured:
            if (found := source.family(symbol)) is not None:
                mine = _filled(found[0].resume_text(result, text), found[1])
                assert _alike(source, mine, source.resume_text(symbol, result, text), 1), (symbol, result, text)


@dataclass(slots=True)
class Seen:
    """What walks came by.

    Attributes:
        places: Configurations, most of them at the beginning of a lexeme.
        waiting: Symbols that wait for a lexeme, with its table and state.
        captured: Symbols that were resumed with a captured text: with which result, and the text.
    """

    places: dict[Configuration, None] = field(default_factory=dict)
    waiting: dict[tuple[Symbol, Table, int], None] = field(default_factory=dict)
    captured: dict[tuple[Symbol, int, bytes], None] = field(default_factory=dict)


class _Listener(PlainSource):
    """A source that writes down which texts it is resumed with."""

    def __init__(self, source: PushdownSource, seen: Seen) -> None:
        self._source, self._seen = source, seen
        self.start, self.resume, self.goal = source.start, source.resume, source.goal  # type: ignore[method-assign]
        self.captures, self.refused = source.captures, source.refused  # type: ignore[method-assign]
        self.depends = source.depends  # type: ignore[method-assign]

    def resume_text(self, symbol: Symbol, result: int, text: bytes) -> Action | None:
        """See :meth:`PushdownSource.resume_text`."""
        self._seen.captured[symbol, result, text] = None
        return self._source.resume_text(symbol, result, text)


def walked(source: PushdownSource) -> Seen:
    """What random walks through a source come by."""
    seen = Seen()
    automaton = PushdownAutomaton(_Listener(source, seen))
    for seed in range(_WALKS):
        chance = random.Random(seed)
        place: Configuration | None = automaton.start()
        for _ in range(_WORDS):
            if place is None or place.table is None:
                break
            seen.places[place] = None
            if place.stack is not None:
                seen.waiting[place.stack[1], place.table, place.state] = None
            place = _after_a_word(automaton, place, chance)
    return seen


def _after_a_word(automaton: PushdownAutomaton, place: Configuration, chance: random.Random) -> Configuration | None:
    """After a word of the lexeme, or part of one, or a special token; or after the first byte of the next lexeme."""
    assert place.table is not None
    if place.table.result_at(place.state) != NO_RESULT and chance.random() < 0.5:
        beyond: list[Configuration] = [
            target for _, _, target in automaton.edges(place) if target.stack is not place.stack
        ]
        if beyond:
            return chance.choice(beyond)
    words = list(shortest_words(place.table, place.state).values())
    chance.shuffle(words)
    for word in words:
        cut = chance.randint(1, len(word)) if chance.random() < 0.2 else len(word)
        target = _read(automaton, place, word[:cut])
        if target is not None:
            return target
    specials = [target for _, target in automaton.special_edges(place)]
    if specials:
        return chance.choice(specials)
    edges = automaton.edges(place)
    return chance.choice(edges)[2] if edges else None


def _read(automaton: PushdownAutomaton, place: Configuration, word: bytes) -> Configuration | None:
    here: Configuration | None = place
    for byte in word:
        here = None if here is None else automaton.step(here, byte)
    return here


def _takes(source: PushdownSource, symbol: Symbol, result: int) -> bool:
    goal = source.goal(symbol)
    return goal is None or bool(goal >> result & 1)


def _wanted(source: PushdownSource, symbol: Symbol, table: Table, state: int) -> list[int]:
    return [result for result in bits(table.outcome_set(state)) if _takes(source, symbol, result)]


def _leads_on(source: PushdownSource, below: list[Symbol], answer: Action | None) -> bool:
    """Whether an answer comes to a lexeme that can end well, or to the end of the symbols that are known."""
    while answer is not None:
        below = [*below, *answer.push]
        if isinstance(answer, Enter) and not answer.table.closed(answer.state):
            if not below:
                return True
            results = bits(answer.table.outcome_set(answer.state))
            goal = source.goal(below[-1])
            if goal is not None:
                return any(goal >> result & 1 for result in results)
            return any(_leads_on(source, below[:-1], source.resume(below[-1], result)) for result in results)
        if not below:
            return True
        result = answer.table.result_at(answer.state) if isinstance(answer, Enter) else answer.result
        if not _takes(source, below[-1], result):
            return False
        answer, below = source.resume(below[-1], result), below[:-1]
    return False


def _alike(
    source: PushdownSource,
    one: Action | None,
    other: Action | None,
    depth: int,
    below: tuple[tuple[Symbol, Symbol], ...] = (),
) -> bool:
    """Whether two answers are the same but for what captures refuse, as far as ``depth`` answers more show."""
    if one is None or other is None:
        return one is other
    if type(one) is not type(other) or len(one.push) != len(other.push):
        return False
    pairs = tuple(zip(one.push, other.push, strict=True))
    if any(source.goal(a) != source.goal(b) or source.captures(a) != source.captures(b) for a, b in pairs):
        return False
    results = _common_results(one, other)
    if results is None:
        return False
    if not depth or not (below or pairs):
        return True
    *rest, (first, second) = (*below, *pairs)
    usable = [result for result in results if _takes(source, first, result)]
    return all(
        _alike(source, source.resume(first, result), source.resume(second, result), depth - 1, tuple(rest))
        for result in {*usable[:_RESULTS], *usable[-1:]}
    )


def _common_results(one: Action, other: Action) -> list[int] | None:
    """The results of the lexeme that both enter, or return; ``None`` if they differ."""
    if isinstance(one, Enter) and isinstance(other, Enter):
        same = one.state == other.state and _same_table(one.table, other.table)
        return bits(one.table.outcome_set(one.state)) if same else None
    assert isinstance(one, Return)
    assert isinstance(other, Return)
    return [one.result] if one.result == other.result else None


def _same_table(one: Table, other: Table) -> bool:
    return one is other or (
        np.array_equal(one.classes, other.classes)
        and np.array_equal(one.delta, other.delta)
        and np.array_equal(one.result, other.result)
        and np.array_equal(one.end, other.end)
        and one.thresholds == other.thresholds
        and one.specials == other.specials
    )


def _filled(answer: Action | None, members: int) -> Action | None:
    """An answer of a family, with the symbols that :class:`Grown` stands for."""
    if answer is None:
        return None
    push = tuple(each.family.symbol(members | each.add) if isinstance(each, Grown) else each for each in answer.push)
    return Enter(push, answer.table, answer.state) if isinstance(answer, Enter) else Return(answer.result, push)
