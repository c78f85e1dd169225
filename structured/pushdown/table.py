"""A lexeme: a small deterministic byte machine that ends with a *result*.

A table knows nothing of what stands around it: a string body, a number, a comma-or-bracket, the names of an object's
keys. So the same table, and what the mask runtime finds out about it, serves every place of every grammar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from latticework.structured.automata import moore_kernels

#: No transition.
DEAD = -1
#: The lexeme cannot end here.
NO_RESULT = -1

#: ``(low, high, target)``: the bytes ``low..high`` (inclusive) lead to state ``target``.
TableEdge = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Table:
    """A lexeme's machine; ``n`` states, ``k`` byte classes, ``w`` words of 64 results.

    Reading is maximal munch: in a state that has both a transition on the next byte and a result, the transition is
    taken. A state with a result and no way on is *closed*: the lexeme ends there at once, without looking ahead.

    Attributes:
        classes: ``uint8[256]``, the class of each byte.
        delta: ``int32[n, k]``, the state after a byte of that class, or :data:`DEAD`.
        result: ``int32[n]``, the result if the lexeme ends here, or :data:`NO_RESULT`.
        end: ``int32[n]``, the result if the *text* ends here (for most lexemes the same as ``result``).
        outcomes: ``uint64[n, w]``, the results that can still come about from here, bit ``r % 64`` of word ``r // 64``.
            A state without any is never the target of a transition.
        start: Where the lexeme begins.
        specials: Per state, ``(token id, result)``: a special token that ends the lexeme with a result.
        fallback: A state from which every text goes on as "none of the names", or :data:`DEAD`. A hint: states that
            differ from it on few bytes get their masks by comparison with its mask.
        thresholds: Rising. Not empty: the table *counts*. Everything above is then about ``m`` base states; state
            ``c * m + s`` means "base state ``s`` after ``c`` counted steps", ``c`` ending at the last threshold. With
            ``g`` the number of thresholds at or below the count, a base result ``r`` becomes
            ``r * (len(thresholds) + 1) + g``. For string lengths without a state a character.
        advance: ``uint8[m, k]``, whether the transition counts; only where ``thresholds`` is not empty. Promise: from
            every base state each base outcome can be reached after any number of further counted steps.
    """

    classes: npt.NDArray[np.uint8]
    delta: npt.NDArray[np.int32]
    result: npt.NDArray[np.int32]
    end: npt.NDArray[np.int32]
    outcomes: npt.NDArray[np.uint64]
    start: int = 0
    specials: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    fallback: int = DEAD
    thresholds: tuple[int, ...] = ()
    advance: npt.NDArray[np.uint8] | None = None

    @property
    def states(self) -> int:
        """How many states there are."""
        return len(self.delta) * (self.thresholds[-1] + 1 if self.thresholds else 1)

    def step(self, state: int, byte: int) -> int:
        """The state after ``byte``, or :data:`DEAD`."""
        column = self.classes[byte]
        if not self.thresholds:
            return int(self.delta[state, column])
        assert self.advance is not None
        count, base = divmod(state, len(self.delta))
        target = int(self.delta[base, column])
        if target == DEAD:
            return DEAD
        count = min(count + int(self.advance[base, column]), self.thresholds[-1])
        return count * len(self.delta) + target

    def result_at(self, state: int) -> int:
        """The result if the lexeme ends in ``state``, or :data:`NO_RESULT`."""
        return self._counted(self.result, state)

    def end_at(self, state: int) -> int:
        """The result if the text ends in ``state``, or :data:`NO_RESULT`."""
        return self._counted(self.end, state)

    def specials_at(self, state: int) -> tuple[tuple[int, int], ...]:
        """The special tokens that end the lexeme in ``state``, with their results."""
        if not self.thresholds:
            return self.specials.get(state, ())
        pairs = self.specials.get(state % len(self.delta), ())
        return tuple((token, value * (len(self.thresholds) + 1) + self._group(state)) for token, value in pairs)

    def closed(self, state: int) -> bool:
        """Whether the lexeme is over in ``state``: it has a result and no way on."""
        base = state % len(self.delta)
        return bool(self.result[base] != NO_RESULT and (self.delta[base] == DEAD).all()) and not self.specials.get(base)

    def outcome_set(self, state: int) -> int:
        """The results that can still come about from ``state``, as a bit set."""
        base = sum(int(word) << (64 * index) for index, word in enumerate(self.outcomes[state % len(self.delta)]))
        if not self.thresholds:
            return base
        groups = len(self.thresholds) + 1
        later = range(self._group(state), groups)
        return sum(1 << (r * groups + g) for r in range(base.bit_length()) if base >> r & 1 for g in later)

    def _group(self, state: int) -> int:
        count = state // len(self.delta)
        return sum(threshold <= count for threshold in self.thresholds)

    def _counted(self, results: npt.NDArray[np.int32], state: int) -> int:
        result = int(results[state % len(self.delta)])
        if result == NO_RESULT or not self.thresholds:
            return result
        return result * (len(self.thresholds) + 1) + self._group(state)


def build_table(
    edges: Sequence[Sequence[TableEdge]],
    result: Sequence[int],
    *,
    start: int = 0,
    end: Sequence[int] | None = None,
    specials: Mapping[int, tuple[tuple[int, int], ...]] | None = None,
    fallback: int = DEAD,
) -> Table:
    """A table from edge lists. Transitions into states from which no result can come about are dropped.

    Args:
        edges: Per state, disjoint byte ranges with their targets.
        result: Per state, the result if the lexeme ends there, or :data:`NO_RESULT`.
        start: See :class:`Table`.
        end: See :class:`Table`; by default the same as ``result``.
        specials: See :class:`Table`.
        fallback: See :class:`Table`.
    """
    rows = np.full((len(edges), 256), DEAD, np.int32)
    for state, ranges in enumerate(edges):
        for low, high, target in ranges:
            rows[state, low : high + 1] = target
    results = np.asarray(result, np.int32)
    ends = results if end is None else np.asarray(end, np.int32)
    columns, classes = np.unique(rows, axis=1, return_inverse=True)
    columns = np.ascontiguousarray(columns.astype(np.int32))
    outcomes: npt.NDArray[np.uint64] = moore_kernels.outcomes(columns, _own(results, ends, specials or {}))
    alive: npt.NDArray[np.bool_] = np.asarray(outcomes.any(axis=1))
    columns[(columns != DEAD) & ~alive[columns]] = DEAD
    return Table(
        classes.reshape(-1).astype(np.uint8),
        columns,
        results,
        ends,
        outcomes,
        start,
        specials or {},
        fallback,
    )


def _own(
    result: npt.NDArray[np.int32], end: npt.NDArray[np.int32], specials: Mapping[int, tuple[tuple[int, int], ...]]
) -> npt.NDArray[np.uint64]:
    """The results that come about in each state itself, ``uint64[n, w]``."""
    pairs = [(state, value) for state, found in specials.items() for _, value in found]
    top = max(int(result.max(initial=0)), int(end.max(initial=0)), max((value for _, value in pairs), default=0))
    bits = np.zeros((len(result), top // 64 + 1), np.uint64)
    for values in (result, end):
        pairs += [(int(state), int(values[state])) for state in np.flatnonzero(values != NO_RESULT)]
    for state, value in pairs:
        bits[state, value // 64] |= np.uint64(1) << np.uint64(value % 64)
    return bits
