"""An LR(1) grammar as a pushdown source: parser states are symbols, terminals are results of lexemes.

The stack holds LR states, the current one on top, and the lexeme being read is the table of that state. When it ends
with terminal ``t`` the top state is asked (*resume*). It simulates the parser as far as what it pushed itself goes:
reductions inside that part cost no further step, which is what Pre^3 precomputes by composing edges. A reduction that
reaches below returns a *frame* to the state beneath: nonterminal ``A``, how many more states to take off, and ``t``,
the lookahead, with what is to be read again after it. So every answer depends on a state and a result only, and the
machine is deterministic because the grammar is.

Exactness rests on the canonical lookaheads (:mod:`.lr_states`): the goal of a state is the set of terminals that can
come next on any stack that has it on top.
"""

from __future__ import annotations

from collections.abc import Mapping

from latticework.structured.cfg.give_back import MAX_CODES, Codes, remembering
from latticework.structured.cfg.lexer import Lexer
from latticework.structured.cfg.look_ahead import LookAhead, run
from latticework.structured.cfg.lr_states import CanonicalStates
from latticework.structured.cfg.positions import FIELD
from latticework.structured.cfg.skipping import skipping
from latticework.structured.errors import BudgetExceededError
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, Return, Symbol
from latticework.structured.pushdown.table import NO_RESULT, Table

#: ``(nonterminal, states still to take off, lookahead, what is read again after it)``.
_Frame = tuple[int, int, int, bytes]
#: Bound on the frames of one grammar.
_MAX_FRAMES = 1 << 14


class LrSource(PlainSource):
    """See :class:`latticework.structured.pushdown.protocol.PushdownSource`. Symbols are numbers of LR states.

    Results below ``lexer.end`` are terminals, ``lexer.end`` is the end of the text, then come the codes for lexemes
    that are given back, then the frames.

    Args:
        states: The automaton, without conflicts.
        lexer: Tables for the terminals.
        ignored: Terminals that the parser does not see.
        following: Per terminal, those that may come next somewhere; ``None`` if no lexeme is ever given back.
    """

    def __init__(
        self,
        states: CanonicalStates,
        lexer: Lexer,
        ignored: frozenset[int],
        following: Mapping[int, frozenset[int]] | None,
    ) -> None:
        self._states = states
        self._productions = states.items.productions
        self._whole = len(states.items.names) - 1
        self._lexer = lexer
        self._ignored = ignored
        self._ahead = None if following is None else LookAhead(lexer, following)
        self._end = lexer.end
        self._codes = Codes(self._end + 1)
        self._first_frame = self._end + 1 + MAX_CODES
        self._frames: list[_Frame] = []
        self._results: dict[_Frame, int] = {}
        self._tables: dict[Table, Table] = {}

    def start(self) -> Action:
        """See :meth:`PushdownSource.start`."""
        table = self._table(0)
        return Enter((0,), table, table.start)

    def resume(self, symbol: Symbol, result: int) -> Action | None:
        """See :meth:`PushdownSource.resume`."""
        assert isinstance(symbol, int)
        if result < self._first_frame:
            return self._go_on([symbol], result, b"")
        nonterminal, more, terminal, again = self._frames[result - self._first_frame]
        if more:
            return Return(self._frame(nonterminal, more - 1, terminal, again))
        if nonterminal == self._whole:
            return Return(self._end)
        return self._go_on([symbol, self._goto(symbol, nonterminal)], terminal, again)

    def goal(self, symbol: Symbol) -> int | None:
        """See :meth:`PushdownSource.goal`. A lexeme that may be given back can also go on, so no code is decisive."""
        assert isinstance(symbol, int)
        self._table(symbol)  # its codes exist from here on
        allowed = self._states[symbol].allowed | self._ignored
        results = (*allowed, *self._codes.of(allowed))
        return sum(1 << result for result in results) | ((1 << _MAX_FRAMES) - 1) << self._first_frame

    def alphabet(self) -> frozenset[int]:
        """Every byte of its texts, and maybe others. No other byte can be taken for more of a text."""
        return self._lexer.side_by_side.alphabet()

    def _go_on(self, stack: list[int], result: int, again: bytes) -> Action | None:
        """What follows a result on the part of the stack at hand, ``again`` being read after it."""
        while True:
            if result in self._codes:
                given = self._codes[result]
                result, again = given.terminal, given.again + again
            if result not in self._ignored:
                below = self._parse(stack, result, again)
                if below is not None:
                    return below
                if result == self._end or not stack:
                    return None
            table = self._table(stack[-1])
            state, read = run(table, again)
            if read == len(again) and not table.closed(state):
                return Enter(tuple(stack), table, state) if self._lives(stack[-1], table, state) else None
            result, again = table.result_at(state), again[read:]
            if result == NO_RESULT:
                return None

    def _lives(self, symbol: int, table: Table, state: int) -> bool:
        """Whether the lexeme can end in something that the top state takes; at its start it can."""
        return state == table.start or bool(table.outcome_set(state) & (self.goal(symbol) or 0))

    def _parse(self, stack: list[int], terminal: int, again: bytes) -> Return | None:
        """Shift ``terminal``, or give a reduction to what lies below. Without an action, ``stack`` is emptied."""
        while True:
            production = self._states[stack[-1]].reduce.get(terminal)
            if production is None:
                target = self._states.goto(stack[-1], terminal)
                if target is None:
                    stack.clear()
                else:
                    stack.append(target)
                return None
            head, body = self._productions[production].head, self._productions[production].body
            if len(body) >= len(stack):
                return Return(self._frame(head, len(body) - len(stack), terminal, again))
            del stack[len(stack) - len(body) :]
            if head == self._whole:
                return Return(self._end)
            stack.append(self._goto(stack[-1], head))

    def _goto(self, state: int, nonterminal: int) -> int:
        target = self._states.goto(state, ~nonterminal)
        assert target is not None
        return target

    def _frame(self, nonterminal: int, more: int, terminal: int, again: bytes) -> int:
        frame = (nonterminal, more, terminal, again)
        number = self._results.get(frame)
        if number is None:
            if len(self._frames) == _MAX_FRAMES:
                raise BudgetExceededError(FIELD, f"the parser needs more than {_MAX_FRAMES} kinds of stack frames")
            number = self._results[frame] = self._first_frame + len(self._frames)
            self._frames.append(frame)
        return number

    def _table(self, state: int) -> Table:
        context = self._lexer.context((self._states[state].allowed - {self._end}) | self._ignored)
        if self._ahead is None:
            return context.table
        table = self._tables.get(context.table)
        if table is None:
            table = remembering(context, self._ahead, self._codes, self._lexer.side_by_side.letters)
            table = skipping(table, self._ignored, self._codes)
            self._tables[context.table] = table
        return table
