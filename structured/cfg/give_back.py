"""Lexemes that are given back: tables in which what was read beyond the end of a lexeme is remembered.

Maximal munch reads on while a lexeme may become longer. In ``1..2`` the second character may still make ``1.5`` of the
``1``; the third says that it does not, and both dots belong to what follows. A table that has passed the end of a text
of ``t`` and may still have to give back what it read since, ``p``, is in a state of its own; where the longer lexeme
dies it ends with a *code* for ``(t, p)``. Whoever gets the code goes on as after ``t`` and reads ``p`` again. There may
be any number of characters to look ahead over; a character of several bytes is the most frequent case.

One rule bounds it (and is part of the dialect): a lexeme that has come to where it may go on without end before it can
end, inside a comment or a string, is not given back. ``/*`` begins a comment once and for all, not a division.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from latticework.structured.automata.moore_kernels import outcomes
from latticework.structured.cfg.lexer import Context, own_results
from latticework.structured.cfg.look_ahead import LookAhead
from latticework.structured.cfg.positions import FIELD
from latticework.structured.errors import BudgetExceededError
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: Bound on the codes of one grammar: pairs of a terminal and what may be read again after it.
MAX_CODES = 1_000


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A text of ``terminal`` ended before ``again``, which was read beyond it. Bytes stand for those like them."""

    terminal: int
    again: bytes


class Codes:
    """Numbers what is given back, from ``first`` on."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._numbers: dict[GivenBack, int] = {}
        self._found: list[GivenBack] = []

    def number(self, given: GivenBack) -> int:
        """The code; a new one if needed. ``BudgetExceededError``: there are too many."""
        number = self._numbers.get(given)
        if number is None:
            if len(self._found) == MAX_CODES:
                raise BudgetExceededError(FIELD, f"the lexer needs more than {MAX_CODES} ways to give a lexeme back")
            number = self._numbers[given] = self._first + len(self._found)
            self._found.append(given)
        return number

    def __getitem__(self, number: int) -> GivenBack:
        return self._found[number - self._first]

    def __contains__(self, number: int) -> bool:
        return 0 <= number - self._first < len(self._found)

    def of(self, terminals: frozenset[int]) -> list[int]:
        """The codes there are by now that give back to one of ``terminals``."""
        return [self._first + place for place, given in enumerate(self._found) if given.terminal in terminals]


def remembering(context: Context, ahead: LookAhead, codes: Codes, letters: list[int]) -> Table:
    """The table of a context with states that remember.

    Args:
        context: The table without them.
        ahead: What may follow a lexeme.
        codes: Where codes come from.
        letters: A byte for each column of the context's table.
    """
    return _Rememberer(context, ahead, codes, letters).build()


@dataclass(frozen=True, slots=True)
class _Held:
    """In ``state`` (:data:`DEAD`: the longer lexeme has died) with something to give back."""

    state: int
    given: GivenBack


class _Rememberer:
    def __init__(self, context: Context, ahead: LookAhead, codes: Codes, letters: list[int]) -> None:
        self._context = context
        self._table = context.table
        self._ahead = ahead
        self._codes = codes
        self._letters = letters
        #: The first of those after which the same may follow stands for all of them.
        self._same: dict[tuple[int, int | bytes], GivenBack] = {}
        #: Moves of what is held; a number is a state of the context's table.
        self._moves: dict[_Held, list[_Held | int]] = {}

    def build(self) -> Table:
        table = self._table
        begun = [(state, column, self._target(to, given)) for state, column, to, given in self._beginnings()]
        useful = self._useful()
        if not useful:
            return table
        numbers = {held: len(table.delta) + place for place, held in enumerate(useful)}

        def number(target: _Held | int) -> int:
            return target if isinstance(target, int) else numbers.get(target, target.state)

        rows = np.array([[number(target) for target in self._moves[held]] for held in useful], np.int32)
        delta = np.concatenate((table.delta, rows))
        for state, column, target in begun:
            delta[state, column] = number(target)
        codes = [self._codes.number(held.given) for held in useful]
        over = [code if held.state == DEAD else NO_RESULT for held, code in zip(useful, codes, strict=True)]
        results = np.array([*table.result, *over], np.int32)
        ends = np.array([*table.end, *codes], np.int32)
        return Table(table.classes, delta, results, ends, outcomes(delta, own_results(results, ends)), table.start)

    def _beginnings(self) -> Iterator[tuple[int, int, int, GivenBack]]:
        """The moves after which a lexeme that had ended may have to be given back: from where, on what, to where."""
        table = self._table
        open_states = (table.result == NO_RESULT) & ~self._context.commits
        accepting = np.flatnonzero(table.result != NO_RESULT)
        moves = table.delta[accepting]
        beyond = (moves != DEAD) & open_states[moves]
        for terminal in np.unique(table.result[accepting]).tolist():
            here = beyond & self._ahead.letters(terminal, b"") & (table.result[accepting] == terminal)[:, None]
            for place, column in zip(*np.nonzero(here), strict=True):
                given = GivenBack(terminal, bytes([self._letters[column]]))
                yield int(accepting[place]), int(column), int(moves[place, column]), given

    def _target(self, state: int, given: GivenBack) -> _Held | int:
        """Where a move to ``state`` leads if ``given``, with which something may begin, may be given back there."""
        table = self._table
        if state != DEAD and (table.result[state] != NO_RESULT or self._context.commits[state]):
            return state
        ahead = self._ahead.after(given.terminal, given.again)
        assert ahead is not None
        held = _Held(state, self._same.setdefault((given.terminal, ahead.key), given))
        if held not in self._moves:
            row: list[_Held | int] = [DEAD] * len(self._letters) if state == DEAD else table.delta[state].tolist()
            self._moves[held] = row
            if state != DEAD:
                for column in np.flatnonzero(self._ahead.letters(held.given.terminal, held.given.again)):
                    again = held.given.again + bytes([self._letters[column]])
                    row[column] = self._target(int(table.delta[state, column]), GivenBack(given.terminal, again))
        return held

    def _useful(self) -> list[_Held]:
        """What is held and can come to be given back, when the longer lexeme dies or the text ends."""
        sources: dict[_Held, list[_Held]] = {}
        found: dict[_Held, None] = {}
        for held, row in self._moves.items():
            ahead = self._ahead.after(held.given.terminal, held.given.again)
            if held.state == DEAD or (ahead is not None and ahead.whole):
                found[held] = None
            for target in row:
                if not isinstance(target, int):
                    sources.setdefault(target, []).append(held)
        for held in (todo := list(found)):  # grows while it is read
            for source in sources.get(held, ()):
                if source not in found:
                    found[source] = None
                    todo.append(source)
        return list(found)
