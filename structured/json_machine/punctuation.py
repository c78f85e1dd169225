"""What stands between keys and values, with the blanks that may be written: small tables, the same for all grammars."""

from __future__ import annotations

from dataclasses import dataclass

from latticework.structured.json_options import MAX_INDENT, Whitespace
from latticework.structured.pushdown.family import CLOSE, GO_ON
from latticework.structured.pushdown.table import NO_RESULT, Table, TableEdge, build_table

_BLANKS = (0x20, 0x09)


@dataclass(frozen=True, eq=False, slots=True)
class Punctuation:
    """The tables of one whitespace policy.

    Attributes:
        colon: After a key. Result 0.
        first_member: After ``{``: :data:`GO_ON` before a key (not read), :data:`CLOSE` after ``}``.
        next_member: After a value in an object: :data:`GO_ON` after a comma, :data:`CLOSE` after ``}``.
        first_item: As ``first_member``, after ``[``.
        next_item: As ``next_member``, in an array.
        transparent: Whether nothing but the key or value itself may follow ``{`` and ``[`` where these must not close.
    """

    colon: Table
    first_member: Table
    next_member: Table
    first_item: Table
    next_item: Table
    transparent: bool


class _Builder:
    """States as they are added."""

    def __init__(self) -> None:
        self.edges: list[list[TableEdge]] = []
        self.result: list[int] = []

    def state(self, result: int = NO_RESULT) -> int:
        self.edges.append([])
        self.result.append(result)
        return len(self.edges) - 1

    def edge(self, source: int, byte: int, target: int) -> None:
        self.edges[source].append((byte, byte, target))

    def line_break(self, source: int, result: int, closer: int | None, closed: int) -> None:
        """A line break and its indentation; after it the lexeme has ``result``, and ``closer`` leads to ``closed``."""
        byte = 0x0A
        for _ in range(MAX_INDENT + 1):
            state = self.state(result)
            for blank in _BLANKS if byte != 0x0A else (0x0A,):
                self.edge(source, blank, state)
            if closer is not None:
                self.edge(state, closer, closed)
            source, byte = state, 0x20

    def table(self) -> Table:
        return build_table(self.edges, self.result)


def _colon(whitespace: Whitespace) -> Table:
    builder = _Builder()
    start, colon = builder.state(), builder.state(0 if whitespace is not Whitespace.LINE else NO_RESULT)
    builder.edge(start, 0x3A, colon)
    if whitespace is not Whitespace.COMPACT:
        builder.edge(colon, 0x20, builder.state(0))
    return builder.table()


def _first(whitespace: Whitespace, closer: int) -> Table:
    builder = _Builder()
    start, closed = builder.state(GO_ON), builder.state(CLOSE)
    builder.edge(start, closer, closed)
    if whitespace is Whitespace.FLEXIBLE:
        builder.line_break(start, GO_ON, closer, closed)
    return builder.table()


def _next(whitespace: Whitespace, closer: int) -> Table:
    builder = _Builder()
    start, closed = builder.state(), builder.state(CLOSE)
    comma = builder.state(GO_ON if whitespace is not Whitespace.LINE else NO_RESULT)
    builder.edge(start, closer, closed)
    builder.edge(start, 0x2C, comma)
    if whitespace is not Whitespace.COMPACT:
        builder.edge(comma, 0x20, builder.state(GO_ON))
    if whitespace is Whitespace.FLEXIBLE:
        builder.line_break(start, NO_RESULT, closer, closed)
        builder.line_break(comma, GO_ON, None, closed)
    return builder.table()


def _punctuation(whitespace: Whitespace) -> Punctuation:
    return Punctuation(
        _colon(whitespace),
        _first(whitespace, 0x7D),
        _next(whitespace, 0x7D),
        _first(whitespace, 0x5D),
        _next(whitespace, 0x5D),
        whitespace is not Whitespace.FLEXIBLE,
    )


#: The tables of each policy.
PUNCTUATION = {whitespace: _punctuation(whitespace) for whitespace in Whitespace}
