"""Languages that a structural tag calls: documents, names, grammars, with what their caller must know about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.pushdown.automaton import PushdownAutomaton
from latticework.structured.pushdown.plain import TableSource
from latticework.structured.pushdown.protocol import PushdownSource
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: What a text can begin with: a byte, or ``SPECIAL + id`` for a special token.
SPECIAL = 256
#: "Something of everything may follow": for sources whose texts can go on in ways that are not known beforehand.
EVERYTHING = frozenset(range(SPECIAL))


@dataclass(frozen=True)
class Call:
    """What a caller must know about a language without the empty text.

    Attributes:
        first: The bytes and special tokens it can begin with, as :data:`SPECIAL` says.
        extends: The bytes that a finished text could go on with (``1`` may become ``12``).
        path: What errors name.
    """

    first: frozenset[int]
    extends: frozenset[int]
    path: str


@dataclass(frozen=True)
class Part:
    """A called language.

    Attributes:
        source: Its texts.
        call: See there.
        table: The same language as one lexeme, if it is one. It can then be read as part of the markers' machine,
            which tells it from anything; without it, the next byte must tell.
    """

    source: PushdownSource
    call: Call
    table: Table | None = None

    def extended_by(self, extends: frozenset[int]) -> Part:
        """The same, if a finished text could go on with ``extends`` too."""
        return replace(self, call=replace(self.call, extends=self.call.extends | extends))


#: ``(path, the format) -> part``; a reader checks the format's members itself.
PartReader = Callable[[str, Mapping[str, Any]], Part]


def table_part(table: Table, path: str) -> Part:
    """A part that is one lexeme. Raises ``GrammarError`` if the empty text is in it."""
    if table.result_at(table.start) != NO_RESULT:
        raise GrammarError(path, "must not allow the empty text; make it optional instead")
    ends = [state for state in range(table.states) if table.result_at(state) != NO_RESULT]
    extends = frozenset(byte for state in ends for byte in range(256) if table.step(state, byte) != DEAD)
    first = frozenset(byte for byte in range(256) if table.step(table.start, byte) != DEAD)
    return Part(TableSource(table), Call(first, extends, path), table)


def source_part(source: PushdownSource, extends: frozenset[int], path: str) -> Part:
    """A part of which only the source is known. Raises ``UnsupportedGrammarError`` if the empty text is in it."""
    automaton = PushdownAutomaton(source)
    start = automaton.start()
    if automaton.accepts(start):
        raise UnsupportedGrammarError(path, "the empty text is not served inside a structural tag")
    first = {byte for low, high, _ in automaton.edges(start) for byte in range(low, high + 1)}
    first |= {SPECIAL + token_id for token_id, _ in automaton.special_edges(start)}
    return Part(source, Call(frozenset(first), extends, path))
