"""Compiled loops that turn a sorted list of byte strings into transition rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint64]


@njit(cache=True, nogil=True)
def tree(
    data: Bytes, twins: Bytes, first: Ints, results: Ints, bases: Ints, base_classes: Bytes, base_start: int
) -> tuple[Ints, Bytes, Bytes]:
    """The tree of sorted, distinct words, in depth-first order.

    Args:
        data: All words, one after the other.
        twins: As many bytes: what may stand there instead, or 0.
        first: ``int32[words + 1]``, where each begins.
        results: ``int32[words]``, the result of each.
        bases: ``int32[states, classes]``, the machine that goes on where no word does; no rows: there is none.
        base_classes: ``uint8[256]``, its classes of bytes.
        base_start: Its start.

    Returns:
        ``int32[nodes, 3]`` (parent, result or -1, state of the machine) and two ``uint8[nodes]``, the byte that leads
        there and its twin.
    """
    longest = 0
    nodes = 1
    for i in range(len(first) - 1):
        longest = max(longest, first[i + 1] - first[i])
        nodes += first[i + 1] - first[i] - _common(data, first, i)
    made = np.empty((nodes, 3), np.int32)
    byte = np.zeros(nodes, np.uint8)
    twin = np.zeros(nodes, np.uint8)
    path = np.zeros(longest + 1, np.int32)
    made[0, 0] = -1
    made[0, 1] = -1
    made[0, 2] = base_start
    count = 1
    for i in range(len(first) - 1):
        common = _common(data, first, i)
        size = first[i + 1] - first[i]
        for j in range(common, size):
            b = data[first[i] + j]
            parent = path[j]
            made[count, 0] = parent
            made[count, 1] = -1
            made[count, 2] = bases[made[parent, 2], base_classes[b]] if len(bases) else -1
            byte[count] = b
            twin[count] = twins[first[i] + j]
            path[j + 1] = count
            count += 1
        made[path[size], 1] = results[i]
    return made, byte, twin


@njit(cache=True, nogil=True)
def _common(data: Bytes, first: Ints, word: int) -> int:
    """How many bytes a word shares with the one before."""
    if word == 0:
        return 0
    size = min(first[word] - first[word - 1], first[word + 1] - first[word])
    for j in range(size):
        if data[first[word - 1] + j] != data[first[word] + j]:
            return j
    return int(size)


@njit(cache=True, nogil=True)
def merged(made: Ints, byte: Bytes) -> tuple[Ints, int]:
    """Number the nodes so that equal subtrees have one number; the root has number 0."""
    n = len(made)
    child = np.full(n, -1, np.int32)
    sibling = np.full(n, -1, np.int32)
    for s in range(n - 1, 0, -1):
        sibling[s] = child[made[s, 0]]
        child[made[s, 0]] = s
    same = np.empty(n, np.int32)
    size = 16
    while size < 2 * n:
        size *= 2
    slots = np.full(size, -1, np.int32)
    for s in range(n - 1, -1, -1):  # subtrees before what holds them
        mixed = np.uint64(made[s, 1] + 1) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(made[s, 2] + 1)
        c = child[s]
        while c >= 0:
            mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
            mixed += (np.uint64(same[c]) << np.uint64(8)) + np.uint64(byte[c])
            c = sibling[c]
        mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
        slot = np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(size - 1))
        while slots[slot] >= 0 and not _alike(slots[slot], s, made, byte, child, sibling, same):
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = s
        same[s] = slots[slot]
    number = np.full(n, -1, np.int32)
    count = 0
    for s in range(n):
        if same[s] == s:
            number[s] = count
            count += 1
    for s in range(n):
        number[s] = number[same[s]]
    return number, count


@njit(cache=True, nogil=True)
def _alike(one: int, two: int, made: Ints, byte: Bytes, child: Ints, sibling: Ints, same: Ints) -> bool:
    if made[one, 1] != made[two, 1] or made[one, 2] != made[two, 2]:
        return False
    a = child[one]
    b = child[two]
    while a >= 0 and b >= 0:
        if byte[a] != byte[b] or same[a] != same[b]:
            return False
        a = sibling[a]
        b = sibling[b]
    return bool(a == b)


@njit(cache=True, nogil=True)
def fill(
    made: Ints,
    byte: Bytes,
    twin: Bytes,
    number: Ints,
    count: int,
    classes: Bytes,
    base_columns: Ints,
    bases: Ints,
    base_result: Ints,
    shift: int,
) -> tuple[Ints, Ints]:
    """Rows and results of the numbered nodes, followed by those of the machine that goes on where no word does.

    Args:
        made: See :func:`tree`; ``byte`` and ``number`` likewise.
        byte: See above.
        twin: ``uint8[nodes]``, another byte that leads to the node, or 0.
        number: See :func:`merged`.
        count: How many numbers there are.
        classes: ``uint8[256]``, the classes of the rows to fill.
        base_columns: ``int32[classes]``, the class of the machine that each of them lies in.
        bases: See :func:`tree`.
        base_result: ``int32[states]``, the machine's results.
        shift: Added to those results.
    """
    k = len(base_columns)
    rows = np.empty((count + len(bases), k), np.int32)
    result = np.full(count + len(bases), -1, np.int32)
    for s in range(len(bases)):
        for c in range(k):
            target = bases[s, base_columns[c]]
            rows[count + s, c] = count + target if target >= 0 else -1
        if base_result[s] >= 0:
            result[count + s] = base_result[s] + shift
    for s in range(len(made)):
        at = number[s]
        result[at] = made[s, 1]
        if len(bases) and made[s, 1] < 0:
            rows[at] = rows[count + made[s, 2]]
        else:
            rows[at] = -1
    for s in range(1, len(made)):
        at = number[made[s, 0]]
        rows[at, classes[byte[s]]] = number[s]
        if twin[s]:
            rows[at, classes[twin[s]]] = number[s]
    return rows, result


@njit(cache=True, nogil=True)
def word_outcomes(
    made: Ints, number: Ints, count: int, rows: Ints, words: int, base_outcomes: Bits, shift: int
) -> Bits:
    """What can still be reached, ``uint64[states, words]``, when no two words share a result.

    Args:
        made: See :func:`tree`; nodes are not merged, so ``number`` is the identity.
        number: See :func:`merged`.
        count: How many nodes there are.
        rows: See :func:`fill`.
        words: Words of 64 results a state.
        base_outcomes: ``uint64[states, _]``, of the machine that goes on where no word does.
        shift: Where the machine's results begin.
    """
    bits = np.zeros((len(rows), words), np.uint64)
    one = np.uint64(1)
    for s in range(len(base_outcomes)):
        for r in range(64 * base_outcomes.shape[1]):
            if base_outcomes[s, r // 64] >> np.uint64(r % 64) & one:
                bits[count + s, (r + shift) // 64] |= one << np.uint64((r + shift) % 64)
    for s in range(count):
        if made[s, 1] >= 0:
            word = made[s, 1] // 64
            bit = one << np.uint64(made[s, 1] % 64)
            t = s
            while t >= 0:
                bits[t, word] |= bit
                t = made[t, 0]
    if len(base_outcomes):
        low = np.uint64(0xFFFFFFFFFFFFFFFF) << np.uint64(shift % 64)  # the machine's results in the first of its words
        for s in range(count - 1, -1, -1):
            most = count + made[s, 2]
            c = 0
            while c < rows.shape[1] and made[s, 1] < 0 and _lacks(bits, s, most, shift // 64, low):
                if rows[s, c] >= count:
                    _join(bits, s, rows[s, c], shift // 64, low)
                c += 1
            if s:
                _join(bits, made[s, 0], s, shift // 64, low)
    return bits


@njit(cache=True, nogil=True)
def _lacks(bits: Bits, one: int, two: int, word: int, low: np.uint64) -> bool:
    """Whether ``two`` has bits that ``one`` has not, from those in ``low`` of ``word`` on."""
    missing = bits[two, word] & ~bits[one, word] & low
    for w in range(word + 1, bits.shape[1]):
        missing |= bits[two, w] & ~bits[one, w]
    return bool(missing)


@njit(cache=True, nogil=True)
def _join(bits: Bits, one: int, two: int, word: int, low: np.uint64) -> None:
    """Give ``one`` the bits of ``two``, from those in ``low`` of ``word`` on."""
    bits[one, word] |= bits[two, word] & low
    for w in range(word + 1, bits.shape[1]):
        bits[one, w] |= bits[two, w]
