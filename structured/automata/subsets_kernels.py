"""The compiled loops of the subset construction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint64]

# A position is a read of the automaton. A set of positions is a bit set, whose first bits say more:
_MAY_END = 0  # the final state is reached if the text ends here
_MATCHED = 1  # the final state is reached whatever follows
_FIRST = 2

#: Bounds on the words of all sets together, and on the words joined and compared.
_MAX_WORDS = 8_000_000
_MAX_WORK = 400_000_000


@njit(cache=True, nogil=True)
def determinize(
    states: int,
    free: Ints,
    reads: Ints,
    set_first: Ints,
    set_classes: Ints,
    classes: int,
    start: int,
    final: int,
    search: bool,
    limit: int,
) -> tuple[Ints, Ints]:
    """A complete machine with labels 0 and 1 from an automaton with one start and one final state.

    Args:
        states: How many states there are.
        free: ``int32[_, 3]``, source, target and when (0 always, 1 before the first character, 2 after the last).
        reads: ``int32[_, 3]``, source, target and set.
        set_first: ``int32[sets + 1]``, where the classes of a set begin in ``set_classes``.
        set_classes: The classes that make up the sets.
        classes: How many classes there are.
        start: The first state.
        final: The last state.
        search: Whether a match may be followed by anything.
        limit: Bound on the states. The memory of their sets and the work have bounds of their own.

    Returns:
        ``int32[n, classes]`` and ``int32[n]``; empty if a bound is exceeded.
    """
    words = (len(reads) + _FIRST + 63) // 64
    limit = min(limit, _MAX_WORDS // words)
    work = 0
    free_first, free_order = _by_source(free, states)
    read_first, read_order = _by_source(reads, states)
    after, after_of = _closures(states, free, free_first, free_order, reads, read_first, read_order, final, words)
    sets = np.zeros((16, words), np.uint64)
    # Most states read few classes; the last column stands for those that a state does not read.
    rows = np.empty((16, classes + 1), np.int32)
    slots = np.full(64, -1, np.int64)
    _initial(sets[0], start, states, free, free_first, free_order, read_first, read_order, final)
    starts_matched = search and bool(sets[0, 0] >> np.uint64(_MATCHED) & np.uint64(1))
    if starts_matched:
        sets[0, :] = 0
        sets[0, 0] = np.uint64(3)
    # The start is not entered in the table: the same set reached later may end differently.
    count = 1
    at = 0
    row = np.zeros((classes + 1, words), np.uint64)
    used = np.empty(classes + 1, np.int32)
    is_used = np.zeros(classes + 1, np.bool_)
    matched = np.uint64(1) << np.uint64(_MATCHED)
    while at < count:
        if work > _MAX_WORK:
            return np.empty((0, classes), np.int32), np.empty(0, np.int32)
        used[0] = classes
        count_used = 1
        if search and sets[at, 0] & matched:
            row[classes, 0] = np.uint64(3)
        else:
            for w in range(words):
                bits = sets[at, w]
                while bits:
                    low = bits & (~bits + np.uint64(1))
                    position = 64 * w + _log2(low) - _FIRST
                    bits ^= low
                    if position < 0:
                        continue
                    closure = after_of[reads[position, 1]]
                    which = reads[position, 2]
                    work += words * (set_first[which + 1] - set_first[which])
                    for i in range(set_first[which], set_first[which + 1]):
                        c = set_classes[i]
                        if not is_used[c]:
                            is_used[c] = True
                            used[count_used] = c
                            count_used += 1
                        for v in range(words):
                            row[c, v] |= after[closure, v]
        work += classes + 3 * count_used * words
        for i in range(count_used):
            c = used[i]
            if search and row[c, 0] & matched:
                row[c, :] = 0
                row[c, 0] = np.uint64(3)
            slot = _hash(row[c], len(slots))
            while slots[slot] >= 0 and not _equal(sets[slots[slot]], row[c]):
                slot = (slot + 1) & (len(slots) - 1)
            if slots[slot] < 0:
                if count >= limit:
                    return np.empty((0, classes), np.int32), np.empty(0, np.int32)
                if count == len(sets):
                    sets = np.concatenate((sets, np.zeros_like(sets)))
                    rows = np.concatenate((rows, np.empty_like(rows)))
                slots[slot] = count
                sets[count] = row[c]
                count += 1
                rows[at, c] = count - 1
                if 4 * count > len(slots):
                    slots = np.full(4 * len(slots), -1, np.int64)
                    for known in range(1, count):
                        slot = _hash(sets[known], len(slots))
                        while slots[slot] >= 0:
                            slot = (slot + 1) & (len(slots) - 1)
                        slots[slot] = known
            else:
                rows[at, c] = slots[slot]
            row[c, :] = 0
        for c in range(classes):
            if not is_used[c]:
                rows[at, c] = rows[at, classes]
            is_used[c] = False
        at += 1
    label = np.empty(count, np.int32)
    for s in range(count):
        label[s] = np.int32(sets[s, 0] & np.uint64(1))
    return rows[:count, :classes].copy(), label


@njit(cache=True, nogil=True)
def _by_source(triples: Ints, states: int) -> tuple[Ints, Ints]:
    """Where the triples of each source begin, and the triples in that order."""
    first = np.zeros(states + 1, np.int32)
    for i in range(len(triples)):
        first[triples[i, 0] + 1] += 1
    for s in range(states):
        first[s + 1] += first[s]
    order = np.empty(len(triples), np.int32)
    fill = first[:-1].copy()
    for i in range(len(triples)):
        source = triples[i, 0]
        order[fill[source]] = i
        fill[source] += 1
    return first, order


@njit(cache=True, nogil=True)
def _closures(
    states: int,
    free: Ints,
    free_first: Ints,
    free_order: Ints,
    reads: Ints,
    read_first: Ints,
    read_order: Ints,
    final: int,
    words: int,
) -> tuple[Bits, Ints]:
    """What each target of a read leads to without reading: bit sets, and which of them is whose."""
    after_of = np.full(states, -1, np.int32)
    count = 0
    for i in range(len(reads)):
        if after_of[reads[i, 1]] < 0:
            after_of[reads[i, 1]] = count
            count += 1
    after = np.zeros((count, words), np.uint64)
    seen = np.full(states, -1, np.int32)
    stack = np.empty(states, np.int32)
    for t in range(states):
        if after_of[t] >= 0:
            _close(
                after[after_of[t]],
                t,
                False,
                2 * t,
                seen,
                stack,
                free,
                free_first,
                free_order,
                read_first,
                read_order,
                final,
            )
    return after, after_of


@njit(cache=True, nogil=True)
def _close(
    bits: npt.NDArray[np.uint64],
    state: int,
    at_start: bool,
    stamp: int,
    seen: Ints,
    stack: Ints,
    free: Ints,
    free_first: Ints,
    free_order: Ints,
    read_first: Ints,
    read_order: Ints,
    final: int,
) -> None:
    """Add to ``bits`` what ``state`` leads to: first by the moves that always hold, then by those at the end."""
    for ending in range(2):
        seen[state] = stamp + ending
        stack[0] = state
        depth = 1
        while depth:
            depth -= 1
            s = stack[depth]
            if s == final:
                bits[0] |= np.uint64(1) << np.uint64(_MAY_END if ending else _MATCHED)
            if not ending:
                for i in range(read_first[s], read_first[s + 1]):
                    bit = read_order[i] + _FIRST
                    bits[bit >> 6] |= np.uint64(1) << np.uint64(bit & 63)
            for i in range(free_first[s], free_first[s + 1]):
                move = free_order[i]
                when = free[move, 2]
                t = free[move, 1]
                if (when == 0 or (when == 1 and at_start) or (when == 2 and ending)) and seen[t] != stamp + ending:
                    seen[t] = stamp + ending
                    stack[depth] = t
                    depth += 1


@njit(cache=True, nogil=True)
def _initial(
    bits: npt.NDArray[np.uint64],
    start: int,
    states: int,
    free: Ints,
    free_first: Ints,
    free_order: Ints,
    read_first: Ints,
    read_order: Ints,
    final: int,
) -> None:
    """The set before the first character, in which the moves at the start hold."""
    seen = np.full(states, -1, np.int32)
    stack = np.empty(states, np.int32)
    _close(bits, start, True, 0, seen, stack, free, free_first, free_order, read_first, read_order, final)


@njit(cache=True, nogil=True)
def _log2(bit: np.uint64) -> np.int64:
    """The number of the only bit that is set."""
    number = np.int64(0)
    if bit >> np.uint64(32):
        number += 32
        bit >>= np.uint64(32)
    if bit >> np.uint64(16):
        number += 16
        bit >>= np.uint64(16)
    if bit >> np.uint64(8):
        number += 8
        bit >>= np.uint64(8)
    if bit >> np.uint64(4):
        number += 4
        bit >>= np.uint64(4)
    if bit >> np.uint64(2):
        number += 2
        bit >>= np.uint64(2)
    return number + np.int64(bit >> np.uint64(1))


@njit(cache=True, nogil=True)
def _hash(words: npt.NDArray[np.uint64], size: int) -> np.int64:
    mixed = np.uint64(0)
    for word in words:
        mixed = (mixed ^ word) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return np.int64(mixed & np.uint64(size - 1))


@njit(cache=True, nogil=True)
def _equal(one: npt.NDArray[np.uint64], two: npt.NDArray[np.uint64]) -> bool:
    same = True
    for i in range(len(one)):
        same &= one[i] == two[i]
    return same
