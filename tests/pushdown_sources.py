"""Random pushdown sources, small enough to be compared with the reference interpreter token by token."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from latticework.structured.pushdown.protocol import Action, Enter, Return
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table, build_table

#: Bytes that tables read: letters, and a character of two bytes.
LETTERS = b"ab,\xc3\xa9"
EOS, SPECIAL = 0, 1

#: ``(number, texts captured so far)``.
_Symbol = tuple[int, frozenset[bytes]]


@dataclass(frozen=True)
class _Move:
    """What a symbol does after a result: symbols to push, and a table with a state or a result to return."""

    push: tuple[int, ...]
    table: int | None
    state: int


class RandomSource:
    """A source whose symbols are numbers. Capturing symbols refuse what was captured before, and remember it."""

    def __init__(self, tables, moves, goals, captures) -> None:
        self.tables = tables
        self.moves = moves
        self.goals = goals
        self.capturing = captures

    def __repr__(self) -> str:
        tables = [
            ([{chr(b): t.step(s, b) for b in LETTERS if t.step(s, b) != DEAD} for s in range(len(t.delta))],
             t.result.tolist(), t.end.tolist(), t.specials, t.fallback, t.thresholds)
            for t in self.tables
        ]  # fmt: skip
        return f"tables {tables} moves {self.moves} goals {self.goals} capturing {self.capturing}"

    def start(self) -> Action:
        return Enter(((0, frozenset()), (1, frozenset())), self.tables[0], self.tables[0].start)

    def resume(self, symbol: _Symbol, result: int) -> Action | None:
        return self._go_on(symbol, result, symbol[1])

    def resume_text(self, symbol: _Symbol, result: int, text: bytes) -> Action | None:
        return self._go_on(symbol, result, symbol[1] | {text})

    def goal(self, symbol: _Symbol) -> int | None:
        return self.goals.get(symbol[0])

    def captures(self, symbol: _Symbol) -> bool:
        return symbol[0] in self.capturing

    def refused(self, symbol: _Symbol) -> frozenset[bytes]:
        return symbol[1]

    def depends(self, symbol: _Symbol) -> int:
        return symbol[0] * 5

    def concerns(self, symbol: _Symbol, text: bytes) -> bool:
        return True

    def refuses(self, symbol: _Symbol, result: int, text: bytes) -> None:
        return None

    def family(self, symbol: _Symbol) -> None:
        return None

    def expected(self, symbol: _Symbol) -> bool:
        return symbol[0] % 2 == 0

    def _go_on(self, symbol: _Symbol, result: int, texts: frozenset[bytes]) -> Action | None:
        move = self.moves.get((symbol[0], result))
        if move is None:
            return None
        push = tuple((number, texts) for number in move.push)
        if move.table is None:
            return Return(move.state, push)
        return Enter(push, self.tables[move.table], move.state)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A table of a few states; some count, some have a fallback, some end with a special token."""
    states = draw(st.integers(1, 5))
    state = st.integers(0, states - 1)
    result = st.sampled_from([NO_RESULT, NO_RESULT, 0, 1, 2])
    edges = [[(byte, byte, draw(state)) for byte in LETTERS if draw(st.booleans())] for _ in range(states)]
    results = [draw(result) for _ in range(states)]
    ends = [value if draw(st.booleans()) else draw(result) for value in results]
    specials = {s: ((SPECIAL, draw(st.integers(0, 2))),) for s in range(states) if draw(st.integers(0, 5)) == 0}
    fallback = draw(st.sampled_from([DEAD, 0, states - 1]))
    table = build_table(edges, results, end=ends, specials=specials, fallback=fallback)
    return _counting(draw, table) if draw(st.integers(0, 3)) == 0 else table


def _counting(draw: st.DrawFn, table: Table) -> Table:
    """The same with lengths, where the promise of ``advance`` holds whatever counts: outcomes do not look back."""
    import numpy as np

    thresholds = tuple(sorted(draw(st.sets(st.integers(1, 4), min_size=1, max_size=2))))
    advance = np.array([[draw(st.booleans()) for _ in row] for row in table.delta], np.uint8).reshape(table.delta.shape)
    return Table(
        table.classes, table.delta, table.result, table.end, table.outcomes, table.start, table.specials, DEAD,
        thresholds, advance,
    )  # fmt: skip


@st.composite
def sources(draw: st.DrawFn, *, captures: bool = True) -> RandomSource:
    """A source that may break its promises: runtime and reference must agree all the same."""
    count = draw(st.integers(1, 3))
    made = [draw(tables()) for _ in range(count)]
    symbols = draw(st.integers(2, 4))
    symbol = st.integers(0, symbols - 1)
    moves = {}
    for number in range(symbols):
        for result in range(9):
            kind = draw(st.integers(0, 3))
            if kind <= 1:
                table = draw(st.integers(0, count - 1))
                state = draw(st.integers(0, len(made[table].delta) - 1))
                push = tuple(draw(st.lists(symbol, min_size=1, max_size=2)))
                if made[table].closed(state):
                    push = ()
                moves[number, result] = _Move(push, table, state)
            elif kind == 2:
                moves[number, result] = _Move((), None, draw(st.integers(0, 2)))
    goals = {n: draw(st.integers(0, 511)) for n in range(symbols) if draw(st.booleans())}
    chosen = {n for n in range(symbols) if draw(st.integers(0, 2)) == 0} if captures else set()
    return RandomSource(made, moves, goals, chosen)
