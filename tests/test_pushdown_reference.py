"""The reference interpreter of pushdown sources, on a source small enough to see through: brackets around ``a``."""

from __future__ import annotations

import itertools

import pytest

from latticework.structured.pushdown.automaton import PushdownAutomaton
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, Return
from latticework.structured.pushdown.table import DEAD, build_table

A, OPEN, CLOSE = 0, 1, 2
#: `a+`, `(` or `)`.
ITEM = build_table(
    [[(0x61, 0x61, 1), (0x28, 0x28, 2), (0x29, 0x29, 3)], [(0x61, 0x61, 1)], [], []], [-1, A, OPEN, CLOSE]
)


class Brackets(PlainSource):
    """``S -> a+ | "(" S ")"``, at most three deep."""

    def start(self) -> Action:
        return Enter((("value", 3),), ITEM, 0)

    def resume(self, symbol, result):
        kind, depth = symbol
        if kind == "value":
            if result == A:
                return Return(0)
            return Enter((("close", depth), ("value", depth - 1)), ITEM, 0) if result == OPEN and depth else None
        if kind == "close":
            return Enter((("closing", depth),), ITEM, 0)
        return Return(0) if result == CLOSE else None


def accepted(text: bytes) -> bool:
    depth = len(text) - len(text.lstrip(b"("))
    inner = text[depth : len(text) - depth]
    return depth <= 3 and text == b"(" * depth + inner + b")" * depth and set(inner) == {0x61}


@pytest.mark.parametrize("length", range(8))
def test_language_is_what_it_says(length):
    automaton = PushdownAutomaton(Brackets())
    for letters in itertools.product(b"a()", repeat=length):
        state = automaton.start()
        for byte in letters:
            state = state and automaton.step(state, byte)
        assert (state is not None and automaton.accepts(state)) == accepted(bytes(letters)), bytes(letters)


def test_bytes_that_lead_nowhere_are_refused():
    automaton = PushdownAutomaton(Brackets())
    state = automaton.start()
    for byte in b"(((":
        state = automaton.step(state, byte)
    assert automaton.step(state, ord("(")) is None
    assert automaton.step(automaton.start(), ord(")")) is None


def test_build_table_drops_transitions_without_a_result():
    table = build_table([[(0x61, 0x61, 1), (0x62, 0x62, 2)], [], []], [-1, -1, 0])
    assert table.step(0, 0x61) == DEAD
    assert table.step(0, 0x62) == 2
    assert table.closed(2)
    assert table.outcome_set(0) == 1
