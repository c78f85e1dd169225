"""The lexer: which terminal a text is read as, as byte tables for the terminals that may stand at a place.

A place allows some terminals (what the parser can go on with, and what is ignored everywhere). Among those:

1. a terminal of higher priority wins, whatever the lengths;
2. then the longest text wins (maximal munch), except that a terminal with a lazy quantifier ends as early as it can;
3. then a fixed text wins over a pattern (a keyword over an identifier);
4. then the pattern that may be longer, then the one that is written longer, then the one named first.

Terminals that the place does not allow play no part, so a keyword is an identifier wherever only the latter may stand.

Tables are shared between places. A table may know terminals that its place does not allow, as long as they interfere
with none of those it does: the parser then refuses them. In a table, result ``t`` is
terminal ``t``; the result number ``end`` stands for the end of the text, possible at the table's start only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from latticework.structured.automata.moore import Moore
from latticework.structured.automata.moore_kernels import outcomes
from latticework.structured.bitset import bits
from latticework.structured.cfg.budget import Deadline
from latticework.structured.cfg.side_by_side import SideBySide
from latticework.structured.cfg.syntax import Terminal
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: Set of bytes or of terminals, as bits.
Bits = int


@dataclass(frozen=True, eq=False)
class Context:
    """The table of a place.

    Attributes:
        members: The terminals it knows.
        table: See the module.
        accepted: Per state, every terminal of which a text ends there, winner or not.
    """

    members: frozenset[int]
    table: Table
    accepted: tuple[frozenset[int], ...]

    @cached_property
    def moves(self) -> list[Bits]:
        """Per state, the bytes that lead on."""
        by_class = [0] * self.table.delta.shape[1]
        for byte, kind in enumerate(self.table.classes):
            by_class[kind] |= 1 << byte
        known: dict[bytes, Bits] = {}
        found = []
        for row in self.table.delta != DEAD:
            key = row.tobytes()
            if key not in known:
                known[key] = sum(by_class[kind] for kind in np.flatnonzero(row))
            found.append(known[key])
        return found

    @cached_property
    def ends(self) -> frozenset[tuple[frozenset[int], int, Bits]]:
        """What is accepted, which of it is read, and the bytes that lead on: for every state where a text ends."""
        results = self.table.result.tolist()
        return frozenset(
            (accepted, result, moves)
            for accepted, result, moves in zip(self.accepted, results, self.moves, strict=True)
            if accepted
        )

    @cached_property
    def commits(self) -> npt.NDArray[np.bool_]:
        """Per state, whether the lexeme may go on without end from here before it can end: it is not given back."""
        inside = self.table.result == NO_RESULT
        inside[self.table.start] = False
        left = inside.copy()
        targets = [[int(t) for t in set(row.tolist()) if t != DEAD and inside[t]] for row in self.table.delta]
        sources: list[list[int]] = [[] for _ in targets]
        for state, following in enumerate(targets):
            for target in following:
                sources[target].append(state)
        # Peel off, from both sides, the states that lie on no cycle.
        for onward, backward in ((targets, sources), (sources, targets)):
            degree = [sum(left[t] for t in following) for following in onward]
            todo = [s for s in np.flatnonzero(left).tolist() if degree[s] == 0]
            while todo:
                state = todo.pop()
                left[state] = False
                for source in backward[state]:
                    degree[source] -= 1
                    if degree[source] == 0 and left[source]:
                        todo.append(source)
        return np.asarray(left)

    @cached_property
    def first(self) -> dict[int, Bits]:
        """Per terminal, the bytes with which a text that it wins can begin."""
        found = dict.fromkeys(self.members, 0)
        for byte in range(256):
            target = self.table.step(self.table.start, byte)
            if target != DEAD:
                for terminal in bits(self.table.outcome_set(target)):
                    found[terminal] |= 1 << byte
        return found


class Lexer:
    """Builds the tables of one grammar and keeps them. Not thread-safe.

    Args:
        terminals: Their names and how they rank.
        machines: Their texts.
        deadline: Checked for each table.
        max_states: Bound on the states of a table.
        share: Whether a table may know more terminals than its place allows.
    """

    def __init__(
        self,
        terminals: Sequence[Terminal],
        machines: Sequence[Moore],
        deadline: Deadline | None,
        max_states: int,
        *,
        share: bool,
    ) -> None:
        self.end = len(terminals)
        self.side_by_side = SideBySide(machines, [terminal.priority for terminal in terminals])
        self._terminals = terminals
        self._deadline = deadline
        self._max_states = max_states
        self._share = share
        self._contexts: list[Context] = []
        self._chosen: dict[frozenset[int], Context] = {}

    def context(self, allowed: frozenset[int]) -> Context:
        """The table for a place that allows these terminals."""
        known = self._chosen.get(allowed)
        if known is None:
            known = next((c for c in self._contexts if self._serves(c, allowed)), None) if self._share else None
            if known is None:
                known = self._build(self._widened(allowed) if self._share else allowed)
                self._contexts.append(known)
            self._chosen[allowed] = known
        return known

    def start_compiled(self) -> None:
        """Compiling is over: tables for places found later are bounded by their states only."""
        self._deadline = None

    def _serves(self, context: Context, allowed: frozenset[int]) -> bool:
        more = context.members - allowed
        return allowed <= context.members and all(more.isdisjoint(self._clashing[t]) for t in allowed)

    def _widened(self, allowed: frozenset[int]) -> frozenset[int]:
        clashing = frozenset().union(*(self._clashing[terminal] for terminal in allowed))
        return allowed | (frozenset(range(self.end)) - clashing)

    @cached_property
    def _clashing(self) -> list[frozenset[int]]:
        """Per terminal, the others that interfere with it: a text of one is one of the other or begins one of it."""
        found: list[set[int]] = [set() for _ in range(self.end)]
        whole = self.side_by_side.run(range(self.end), self._max_states, ranked=False)
        for accepted, alive in set(zip(whole.accepted, whole.alive, strict=True)):
            for terminal in accepted:
                found[terminal] |= alive
                for other in alive:
                    found[other].add(terminal)
        return [frozenset(others - {terminal}) for terminal, others in enumerate(found)]

    def _build(self, members: frozenset[int]) -> Context:
        if self._deadline is not None:
            self._deadline.check()
        whole = self.side_by_side.run(members, self._max_states)
        result = np.array([min(ended, key=self._rank, default=NO_RESULT) for ended in whole.accepted], np.int32)
        end = result.copy()
        end[0] = self.end
        alive = outcomes(whole.delta, own_results(result, end))
        table = Table(self.side_by_side.classes, whole.delta, result, end, alive)
        return Context(members, table, whole.accepted)

    def _rank(self, terminal: int) -> tuple[int, ...]:
        described = self._terminals[terminal]
        return (-described.priority, not described.literal, *described.rank, terminal)


def own_results(result: npt.NDArray[np.int32], end: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
    """The results of each state itself, ``uint64[states, words]``."""
    own = np.zeros((len(result), max(int(result.max()), int(end.max()), 0) // 64 + 1), np.uint64)
    for values in (result, end):
        states = np.flatnonzero(values != NO_RESULT)
        own[states, values[states] // 64] |= np.uint64(1) << (values[states] % 64).astype(np.uint64)
    return own
