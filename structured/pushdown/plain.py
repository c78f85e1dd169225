"""The simplest pushdown sources: a table by itself, and a plain automaton."""

from __future__ import annotations

import numpy as np

from latticework.structured.automaton import Automaton, State
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, Return, Symbol
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: The result for the end of the text; result ``1 + i`` is the ``i``-th way on.
_END = 0


class TableSource(PlainSource):
    """One lexeme, whatever its result."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def start(self) -> Action:
        """See :meth:`PushdownSource.start`."""
        return Enter((None,), self._table, self._table.start)

    def resume(self, symbol: Symbol, result: int) -> Action:
        """See :meth:`PushdownSource.resume`."""
        return Return(_END)

    def goal(self, symbol: Symbol) -> int:
        """See :meth:`PushdownSource.goal`: every result."""
        return self._table.outcome_set(self._table.start)


class AutomatonSource(PlainSource):
    """An automaton: a lexeme for each byte, and on the stack the state it was read in.

    States are asked for as texts reach them, so an automaton that would be too large as a table can still be served.
    """

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._targets: dict[State, tuple[State, ...]] = {}
        self._tables: dict[tuple[object, ...], Table] = {}

    def start(self) -> Action:
        """See :meth:`PushdownSource.start`."""
        return self._enter(self._automaton.start())

    def resume(self, symbol: Symbol, result: int) -> Action:
        """See :meth:`PushdownSource.resume`."""
        return Return(_END) if result == _END else self._enter(self._targets[symbol][result - 1])

    def goal(self, symbol: Symbol) -> int:
        """See :meth:`PushdownSource.goal`: every result is one of the state's own."""
        return (1 << 1 + len(self._targets[symbol])) - 1

    def _enter(self, state: State) -> Enter:
        targets: dict[State, int] = {}
        ranges = [
            (low, high, targets.setdefault(target, len(targets)))
            for low, high, target in self._automaton.edges(state)
        ]
        ways = len(targets)
        specials = []
        for token_id, target in self._automaton.special_edges(state):
            specials.append((token_id, 1 + targets.setdefault(target, len(targets))))
        self._targets[state] = tuple(targets)
        key = (tuple(ranges), tuple(specials), self._automaton.accepts(state))
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = _table(ranges, ways, specials, self._automaton.accepts(state))
        return Enter((state,), table, table.start)


def _table(ranges: list[tuple[int, int, int]], ways: int, specials: list[tuple[int, int]], accepts: bool) -> Table:
    """State 0 reads one byte; state ``1 + i`` is the end of way ``i``."""
    classes = np.full(256, ways, np.uint8)
    for low, high, way in ranges:
        classes[low : high + 1] = way
    delta = np.full((1 + ways, 1 + ways), DEAD, np.int32)
    delta[0, :ways] = 1 + np.arange(ways)
    result = np.arange(1 + ways, dtype=np.int32)
    result[0] = NO_RESULT
    end = result.copy()
    end[0] = _END if accepts else NO_RESULT
    top = max([ways, *(value for _, value in specials)])
    outcomes = np.zeros((1 + ways, top // 64 + 1), np.uint64)
    for value in [*range(1, 1 + ways), *(value for _, value in specials), *([_END] if accepts else [])]:
        outcomes[0, value // 64] |= np.uint64(1 << value % 64)
    for way in range(1, 1 + ways):
        outcomes[way, way // 64] = np.uint64(1 << way % 64)
    return Table(classes, delta, result, end, outcomes, 0, {0: tuple(specials)} if specials else {})
