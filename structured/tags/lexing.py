"""Subset construction over a :class:`~.network.Network`: one lexeme table whose results say what is called next.

Where a call may begin, the next byte must tell whether it does: a state that offers a call together with other texts
is accepted only if no byte can begin both. That keeps the machine deterministic, hence its masks exact; the rest is
refused by the path of the format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from latticework.structured.errors import BudgetExceededError, UnsupportedGrammarError
from latticework.structured.pushdown.table import NO_RESULT, Table, build_table
from latticework.structured.tags.network import Network
from latticework.structured.tags.parts import SPECIAL, Call

#: The result for "the text may end here".
FINAL = 0

Subset = frozenset[int]


class AmbiguousCallError(UnsupportedGrammarError):
    """The next byte does not tell whether a call begins.

    Args:
        calls: Numbers of the calls that may begin; reading one of them as part of the machine may help.
        path: What errors name.
        reason: What it cannot be told from.
    """

    def __init__(self, calls: Sequence[int], path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.calls = tuple(calls)

    def __reduce__(self) -> tuple[type[UnsupportedGrammarError], tuple[str, str]]:
        return (UnsupportedGrammarError, (self.field, self.reason))


@dataclass(frozen=True)
class Lexing:
    """The table, and for each of its results what to do.

    Attributes:
        calls: Result to ``(source, state after it)``.
        moves: Result of a special token to the state after it.
    """

    table: Table
    calls: dict[int, tuple[int, int]]
    moves: dict[int, int]


def determinize(network: Network, start: int, final: int, calls: Sequence[Call], max_states: int) -> Lexing:
    """Build the table of ``network``.

    Raises:
        AmbiguousCallError: Somewhere the next byte does not tell which format it belongs to.
        BudgetExceededError: It needs more than ``max_states`` states.
    """
    return _Subsets(network, final, calls, max_states).build(start)


class _Subsets:
    def __init__(self, network: Network, final: int, calls: Sequence[Call], max_states: int) -> None:
        self._network = network
        self._final = final
        self._calls = calls
        self._max_states = max_states
        self._numbers: dict[Subset, int] = {}
        self._subsets: list[Subset] = []
        self._closures: dict[int, Subset] = {}

    def build(self, start: int) -> Lexing:
        self._number(self._closure([start]))
        edges, results, ends = [], [], []
        specials: dict[int, tuple[tuple[int, int], ...]] = {}
        calls: dict[int, tuple[int, int]] = {}
        moves: dict[int, int] = {}  # state to result; turned round at the end, so that many tokens may share one
        for state, subset in enumerate(self._subsets):  # grows while it is read
            edges.append(self._edges(subset))
            ends.append(FINAL if self._final in subset else NO_RESULT)
            result = NO_RESULT
            if (call := self._call(subset)) is not None:
                result = FINAL + 1 + len(calls) + len(moves)
                calls[result] = call
            pairs = []
            for token_id, target in self._specials(subset):
                moves.setdefault(target, FINAL + 1 + len(calls) + len(moves))
                pairs.append((token_id, moves[target]))
            if pairs:
                specials[state] = tuple(pairs)
            if result == NO_RESULT and ends[-1] == FINAL and not edges[-1] and not pairs:
                result = FINAL
            results.append(result)
        return Lexing(build_table(edges, results, end=ends, specials=specials), calls, {r: t for t, r in moves.items()})

    def _number(self, subset: Subset) -> int:
        number = self._numbers.get(subset)
        if number is None:
            number = self._numbers[subset] = len(self._subsets)
            if number >= self._max_states:
                raise BudgetExceededError(self._network.field, f"needs more than {self._max_states} states")
            self._subsets.append(subset)
        return number

    def _closure(self, states: Sequence[int]) -> Subset:
        seen = set(states)
        todo = list(states)
        while todo:
            for target in self._network.free[todo.pop()]:
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return frozenset(
            state
            for state in seen
            if state == self._final
            or self._network.reads[state]
            or self._network.specials[state]
            or self._network.calls[state]
        )

    def _after(self, targets: frozenset[int]) -> Subset:
        parts = []
        for target in targets:
            if target not in self._closures:
                self._closures[target] = self._closure([target])
            parts.append(self._closures[target])
        return parts[0] if len(parts) == 1 else frozenset().union(*parts)

    def _edges(self, subset: Subset) -> list[tuple[int, int, int]]:
        reads = [read for state in subset for read in self._network.reads[state]]
        cuts = sorted({low for low, _, _ in reads} | {high + 1 for _, high, _ in reads})
        known: dict[frozenset[int], int] = {}
        edges = []
        for low, after in pairwise(cuts):
            targets = frozenset(target for first, last, target in reads if first <= low <= last)
            if targets:
                if targets not in known:
                    known[targets] = self._number(self._after(targets))
                edges.append((low, after - 1, known[targets]))
        return edges

    def _specials(self, subset: Subset) -> list[tuple[int, int]]:
        targets: dict[int, set[int]] = {}
        for state in subset:
            for token_id, target in self._network.specials[state]:
                targets.setdefault(token_id, set()).add(target)
        return [(token_id, self._number(self._after(frozenset(states)))) for token_id, states in targets.items()]

    def _call(self, subset: Subset) -> tuple[int, int] | None:
        """The call that begins here and the state after it."""
        targets: dict[int, set[int]] = {}
        for state in subset:
            for index, target in self._network.calls[state]:
                targets.setdefault(index, set()).add(target)
        if not targets:
            return None
        (index, after), *others = targets.items()
        call = self._calls[index]
        if others:
            other = self._calls[others[0][0]].path
            reason = f"may stand where {other} may stand; nothing tells them apart"
            raise AmbiguousCallError(list(targets), call.path, reason)
        if call.first & self._reads(subset):
            raise AmbiguousCallError([index], call.path, "may stand where a text that begins like it may stand")
        state = self._number(self._after(frozenset(after)))
        following = self._subsets[state]
        calls = {index for s in following for index, _ in self._network.calls[s]}
        if call.extends & self._reads(following).union(*(self._calls[number].first for number in calls)):
            raise AmbiguousCallError([index], call.path, "what follows it could be read as more of it")
        return index, state

    def _reads(self, subset: Subset) -> frozenset[int]:
        """The bytes and special tokens that can be read in ``subset``."""
        bytes_ = {b for s in subset for low, high, _ in self._network.reads[s] for b in range(low, high + 1)}
        return frozenset(bytes_ | {SPECIAL + token_id for s in subset for token_id, _ in self._network.specials[s]})
