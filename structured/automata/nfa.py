"""Nondeterministic automata over bytes, determinized lazily: a state is the set of positions the text may be at.

Only sets that a text reaches are ever built, so a pattern whose full deterministic automaton would explode costs what
is walked. Every NFA state that cannot reach the end is removed first; a set that is not empty can therefore always be
completed, which is the invariant of :mod:`latticework.structured.automaton`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from latticework.structured.automata.codepoints import CodePoints, utf8_ranges
from latticework.structured.automaton import AutomatonBase, Edge, State
from latticework.structured.errors import BudgetExceededError, GrammarError

Positions = frozenset[int]


class NfaBuilder:
    """Thompson construction. States are numbers; ``free`` moves read nothing, ``reads`` read one byte of a range."""

    def __init__(self, field: str, max_states: int) -> None:
        self.field = field
        self.max_states = max_states
        self.free: list[list[int]] = []
        self.at_start: list[list[int]] = []  # free moves that hold only before the first byte
        self.at_end: list[list[int]] = []  # free moves that hold only after the last byte
        self.reads: list[list[tuple[int, int, int]]] = []
        self._spellings: dict[CodePoints, list[tuple[tuple[int, int], ...]]] = {}

    def state(self) -> int:
        """A new state."""
        if len(self.free) >= self.max_states:
            raise BudgetExceededError(self.field, f"needs more than {self.max_states} states; lower the repeat counts")
        for moves in (self.free, self.at_start, self.at_end):
            moves.append([])
        self.reads.append([])
        return len(self.free) - 1

    def move(self, source: int, target: int, when: int = 0) -> None:
        """A move without reading: 0 always, 1 only before the first byte, 2 only after the last."""
        (self.free, self.at_start, self.at_end)[when][source].append(target)

    def read(self, points: CodePoints, source: int, target: int) -> None:
        """Read one character of ``points``. Byte sequences share their tails, so a wide class costs few states."""
        spelling = self._spellings.setdefault(points, utf8_ranges(points))
        tails: dict[tuple[tuple[int, int], ...], int] = {(): target}
        for ranges in spelling:
            for cut in range(len(ranges) - 1, 0, -1):
                if ranges[cut:] not in tails:
                    tails[ranges[cut:]] = self.state()
                    low, high = ranges[cut]
                    self.reads[tails[ranges[cut:]]].append((low, high, tails[ranges[cut + 1 :]]))
            low, high = ranges[0]
            self.reads[source].append((low, high, tails[ranges[1:]]))


class NfaAutomaton(AutomatonBase):
    """The lazily determinized language of an NFA with one start and one final state.

    Raises:
        GrammarError: The language is empty.
    """

    def __init__(self, nfa: NfaBuilder, start: int, final: int) -> None:
        self._nfa = nfa
        self._final = final
        self._ending = _backward(nfa, {final}, reads=None, moves=(nfa.free, nfa.at_end))
        anything = np.ones(256, np.bool_)
        self._live = _backward(nfa, self._ending, reads=anything, moves=(nfa.free,))
        # The whole text may be empty, so both anchors hold at once in the very first position.
        self._initial = self._closure([start], (nfa.free, nfa.at_start))
        empty_text = self._closure([start], (nfa.free, nfa.at_start, nfa.at_end), keep_all=True)
        self._start: Positions = self._initial
        self._accepts_empty = final in empty_text
        if not self._start and not self._accepts_empty:
            raise GrammarError(nfa.field, "matches no text at all")
        self._closures: dict[int, Positions] = {}

    def start(self) -> State:
        """See :meth:`Automaton.start`. The start differs from the same set reached later: ``^`` holds only here."""
        return (self._start,)

    def accepts(self, state: State) -> bool:
        """See :meth:`Automaton.accepts`."""
        if isinstance(state, tuple):
            return self._accepts_empty or not self._ending.isdisjoint(state[0])
        return not self._ending.isdisjoint(state)

    def edges(self, state: State) -> Sequence[Edge]:
        """See :meth:`Automaton.edges`: a sweep over the byte ranges that any position reads."""
        positions: Positions = state[0] if isinstance(state, tuple) else state
        reads = [read for position in positions for read in self._nfa.reads[position] if read[2] in self._live]
        cuts = sorted({low for low, _, _ in reads} | {high + 1 for _, high, _ in reads})
        known: dict[frozenset[int], Positions] = {}
        edges: list[Edge] = []
        active: set[tuple[int, int, int]] = set()
        opening: dict[int, list[tuple[int, int, int]]] = {}
        for read in reads:
            opening.setdefault(read[0], []).append(read)
        for low, after in pairwise(cuts):
            active = {read for read in active if read[1] >= low}.union(opening.get(low, ()))
            if not active:
                continue
            targets = frozenset(read[2] for read in active)
            if targets not in known:
                known[targets] = frozenset().union(*(self._after(target) for target in targets))
            if edges and edges[-1][1] == low - 1 and edges[-1][2] == known[targets]:
                edges[-1] = (edges[-1][0], after - 1, known[targets])
            else:
                edges.append((low, after - 1, known[targets]))
        return edges

    def completable_with(self, usable: npt.NDArray[np.bool_]) -> bool:
        """See :meth:`Automaton.completable_with`."""
        safe = _backward(self._nfa, self._ending, reads=usable, moves=(self._nfa.free,))
        return self._live <= safe

    def _after(self, state: int) -> Positions:
        closure = self._closures.get(state)
        if closure is None:
            closure = self._closures[state] = self._closure([state], (self._nfa.free,))
        return closure

    def _closure(self, states: list[int], moves: tuple[list[list[int]], ...], keep_all: bool = False) -> Positions:
        """What is reached without reading; only states that matter (they read, or may end) are kept."""
        seen = set(states)
        todo = list(states)
        while todo:
            state = todo.pop()
            for table in moves:
                for target in table[state]:
                    if target not in seen:
                        seen.add(target)
                        todo.append(target)
        if keep_all:
            return frozenset(seen)
        return frozenset(s for s in seen if s in self._live and (self._nfa.reads[s] or s in self._ending))


def _backward(
    nfa: NfaBuilder,
    goals: set[int] | frozenset[int],
    *,
    reads: npt.NDArray[np.bool_] | None,
    moves: tuple[list[list[int]], ...],
) -> frozenset[int]:
    """States that reach ``goals`` by the given free moves and, if ``reads`` is given, by reading any of those bytes."""
    incoming: list[list[int]] = [[] for _ in nfa.free]
    for source in range(len(nfa.free)):
        for table in moves:
            for target in table[source]:
                incoming[target].append(source)
        if reads is not None:
            for low, high, target in nfa.reads[source]:
                if reads[low : high + 1].any():
                    incoming[target].append(source)
    seen = set(goals)
    todo = list(goals)
    while todo:
        for source in incoming[todo.pop()]:
            if source not in seen:
                seen.add(source)
                todo.append(source)
    return frozenset(seen)
