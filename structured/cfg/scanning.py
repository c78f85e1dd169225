"""Automata over the general parser: one where texts may be split anywhere, one with a lexer.

States hold numbers of places (:mod:`.earley`) and of table states, so they are small values; the mask runtime numbers
them once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from latticework.structured.automaton import AutomatonBase, Edge, State
from latticework.structured.cfg.earley import EarleyParser
from latticework.structured.cfg.lexer import Context, Lexer
from latticework.structured.cfg.positions import FIELD
from latticework.structured.errors import BudgetExceededError
from latticework.structured.pushdown.table import DEAD

#: Lexemes that may be half read at once, each inside what follows the one before.
_MAX_PENDING = 32

#: Terminals being read: ``(place where they begin, state of that place's table)``, sorted.
_Split = tuple[tuple[int, int], ...]


class SplitAutomaton(AutomatonBase):
    """Texts of a grammar without a lexer. A state is the set of what may be being read; all ways to split a text live
    side by side.

    Args:
        parser: The grammar.
        lexer: Its terminals; who wins does not matter here, only what is accepted.
    """

    def __init__(self, parser: EarleyParser, lexer: Lexer) -> None:
        self._parser = parser
        self._lexer = lexer

    def start(self) -> State:
        """See :meth:`Automaton.start`."""
        return ((0, 0),)

    def accepts(self, state: _Split) -> bool:
        """See :meth:`Automaton.accepts`."""
        return any(inner == 0 and self._parser.places[place].complete for place, inner in state)

    def edges(self, state: _Split) -> Sequence[Edge]:
        """See :meth:`Automaton.edges`."""
        contexts = [self._lexer.context(self._parser.places[place].allowed) for place, _ in state]
        rows = np.stack([c.table.delta[inner][c.table.classes] for c, (_, inner) in zip(contexts, state, strict=True)])
        return _as_edges(rows, lambda column: self._after(state, contexts, column))

    def _after(self, state: _Split, contexts: Sequence[Context], column: Sequence[int]) -> _Split | None:
        going: set[tuple[int, int]] = set()
        read: list[tuple[int, int]] = []
        for (place, _), context, inner in zip(state, contexts, column, strict=True):
            if inner == DEAD:
                continue
            read.extend((place, terminal) for terminal in context.accepted[inner])
            if context.moves[inner]:
                going.add((place, inner))
        following = self._parser.after(read)
        if following is not None:
            going.add((following, 0))
        return tuple(sorted(going)) or None


#: What is being read: ``(place, state of its table, what holds if it turns out not to be longer)``.
_Reading = tuple[int, int, "_Reading | None"]


class LexedAutomaton(AutomatonBase):
    """Texts of a grammar with a lexer, maximal munch by trial: a lexeme is read on as long as it may become longer,
    and beside it what follows if it does not, as deep as that goes.

    So ``1..2`` is read as ``1``, ``..``, ``2`` where ``1.`` could still have become ``1.5``: there is no bound on how
    far the lexer looks ahead before it takes the shorter lexeme, except by the rule of :mod:`.give_back`.

    Args:
        parser: The grammar.
        lexer: Its terminals and those that are ignored.
        ignored: Terminals that the parser does not see.
    """

    def __init__(self, parser: EarleyParser, lexer: Lexer, ignored: frozenset[int]) -> None:
        self._parser = parser
        self._lexer = lexer
        self._ignored = ignored

    def start(self) -> State:
        """See :meth:`Automaton.start`."""
        return (0, 0, None)

    def accepts(self, state: _Reading) -> bool:
        """See :meth:`Automaton.accepts`."""
        here: _Reading | None = state
        while here is not None and here[1] != 0:
            here = here[2]
        return here is not None and self._parser.places[here[0]].complete

    def edges(self, state: _Reading) -> Sequence[Edge]:
        """See :meth:`Automaton.edges`."""
        chain: list[_Reading] = []
        here: _Reading | None = state
        while here is not None:
            chain.append(here)
            here = here[2]
        if len(chain) > _MAX_PENDING:
            raise BudgetExceededError(FIELD, f"more than {_MAX_PENDING} lexemes wait for one before them to end")
        contexts = [self._context(place) for place, _, _ in chain]
        inners = [inner for _, inner, _ in chain]
        rows = np.stack([c.table.delta[inner][c.table.classes] for c, inner in zip(contexts, inners, strict=True)])
        return _as_edges(rows, lambda column: self._after(chain, contexts, column))

    def _context(self, place: int) -> Context:
        return self._lexer.context(self._parser.places[place].allowed | self._ignored)

    def _after(
        self, chain: Sequence[_Reading], contexts: Sequence[Context], column: Sequence[int]
    ) -> _Reading | None:
        after: _Reading | None = None
        for (place, _, _), context, inner in zip(reversed(chain), reversed(contexts), reversed(column), strict=True):
            if inner == DEAD:
                continue
            result = context.table.result_at(inner)
            if result >= 0:
                following = place if result in self._ignored else self._parser.after([(place, result)])
                assert following is not None, "a place allows what its table can end in"
                after = (following, 0, None)
            if context.commits[inner]:
                after = None
            if context.moves[inner]:
                after = (place, inner, after)
        return after


def _as_edges(rows: np.ndarray, target_of: Callable[[Sequence[int]], State | None]) -> list[Edge]:
    """Edges from ``rows``, ``int32[tables, 256]``: bytes with equal columns have one target."""
    changes = np.flatnonzero((rows[:, 1:] != rows[:, :-1]).any(axis=0)) + 1
    lows = [0, *changes.tolist()]
    known: dict[tuple[int, ...], State | None] = {}
    edges: list[Edge] = []
    for low, after in zip(lows, [*lows[1:], 256], strict=True):
        column = tuple(rows[:, low].tolist())
        if max(column) == DEAD:
            continue
        if column not in known:
            known[column] = target_of(column)
        if known[column] is not None:
            edges.append((low, after - 1, known[column]))
    return edges
