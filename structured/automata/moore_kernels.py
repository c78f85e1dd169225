"""Compiled loops over transition arrays: minimisation, products, what can still be reached."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int32]


@njit(cache=True, nogil=True)
def coarsest(delta: Ints, label: Ints) -> tuple[Ints, int]:
    """Hopcroft's partition refinement: the block of each state, and how many blocks there are.

    Args:
        delta: ``int32[n, k]``, complete.
        label: ``int32[n]``, not negative; states with different labels are different.
    """
    n, k = delta.shape
    # Predecessors by class: of class c and target t they are before[index[c*n+t] : index[c*n+t+1]].
    index = np.zeros(n * k + 1, np.int64)
    for s in range(n):
        for c in range(k):
            index[c * n + delta[s, c] + 1] += 1
    for i in range(n * k):
        index[i + 1] += index[i]
    before = np.empty(n * k, np.int32)
    fill = index[:-1].copy()
    for s in range(n):
        for c in range(k):
            slot = c * n + delta[s, c]
            before[fill[slot]] = s
            fill[slot] += 1
    # Blocks are slices of `order`; `marked` of a block's states stand first in its slice.
    top = 0
    for s in range(n):
        top = max(top, label[s] + 1)
    sizes = np.zeros(top + 1, np.int64)
    for s in range(n):
        sizes[label[s] + 1] += 1
    low = np.empty(n, np.int32)
    high = np.empty(n, np.int32)
    marked = np.zeros(n, np.int32)
    block = np.empty(n, np.int32)
    name = np.full(top, -1, np.int32)
    blocks = 0
    for i in range(top):
        size = sizes[i + 1]
        sizes[i + 1] += sizes[i]
        if size:
            low[blocks] = sizes[i]
            high[blocks] = sizes[i + 1]
            name[i] = blocks
            blocks += 1
    order = np.empty(n, np.int32)
    place = np.empty(n, np.int32)
    at = low.copy()
    for s in range(n):
        b = name[label[s]]
        block[s] = b
        place[s] = at[b]
        order[at[b]] = s
        at[b] += 1
    todo = np.empty(n, np.int32)
    waiting = np.zeros(n, np.bool_)
    pending = 0
    for b in range(blocks):
        todo[pending] = b
        waiting[b] = True
        pending += 1
    splitter = np.empty(n, np.int32)
    touched = np.empty(n, np.int32)
    while pending:
        pending -= 1
        b = todo[pending]
        waiting[b] = False
        size = high[b] - low[b]
        splitter[:size] = order[low[b] : high[b]]
        for c in range(k):
            hits = 0
            for i in range(size):
                slot = c * n + splitter[i]
                for j in range(index[slot], index[slot + 1]):
                    s = before[j]
                    home = block[s]
                    front = low[home] + marked[home]
                    if place[s] < front:
                        continue
                    if marked[home] == 0:
                        touched[hits] = home
                        hits += 1
                    other = order[front]
                    order[place[s]] = other
                    place[other] = place[s]
                    order[front] = s
                    place[s] = front
                    marked[home] += 1
            for i in range(hits):
                home = touched[i]
                middle = low[home] + marked[home]
                marked[home] = 0
                if middle == high[home]:
                    continue
                # The smaller half becomes the new block.
                if middle - low[home] <= high[home] - middle:
                    low[blocks] = low[home]
                    high[blocks] = middle
                    low[home] = middle
                else:
                    low[blocks] = middle
                    high[blocks] = high[home]
                    high[home] = middle
                for j in range(low[blocks], high[blocks]):
                    block[order[j]] = blocks
                # Either the old block still waits, and now both halves do, or the smaller half is enough.
                todo[pending] = blocks
                waiting[blocks] = True
                pending += 1
                blocks += 1
    return block, blocks


@njit(cache=True, nogil=True)
def quotient(delta: Ints, label: Ints, block: Ints, blocks: int) -> tuple[Ints, Ints]:
    """The machine of the blocks that state 0 reaches, in breadth-first order."""
    n, k = delta.shape
    some = np.empty(blocks, np.int32)
    for s in range(n):
        some[block[s]] = s
    number = np.full(blocks, -1, np.int32)
    order = np.empty(blocks, np.int32)
    number[block[0]] = 0
    order[0] = block[0]
    count = 1
    at = 0
    rows = np.empty((blocks, k), np.int32)
    labels = np.empty(blocks, np.int32)
    while at < count:
        s = some[order[at]]
        labels[at] = label[s]
        for c in range(k):
            b = block[delta[s, c]]
            if number[b] < 0:
                number[b] = count
                order[count] = b
                count += 1
            rows[at, c] = number[b]
        at += 1
    return rows[:count].copy(), labels[:count].copy()


@njit(cache=True, nogil=True)
def product(first: Ints, second: Ints, limit: int) -> tuple[Ints, Ints]:
    """The reachable pairs of states of two machines over the same classes, ``int32[n, 2]`` and ``int32[n, k]``.

    Empty arrays if there are more than ``limit`` pairs.
    """
    k = first.shape[1]
    width = second.shape[0]
    pairs = np.empty((16, 2), np.int32)
    rows = np.empty((16, k), np.int32)
    slots = np.full(64, -1, np.int32)
    pairs[0, 0] = 0
    pairs[0, 1] = 0
    slots[_slot(0, 64)] = 0
    count = 1
    at = 0
    while at < count:
        for c in range(k):
            a = first[pairs[at, 0], c]
            b = second[pairs[at, 1], c]
            slot = _slot(np.int64(a) * width + b, len(slots))
            while slots[slot] >= 0 and (pairs[slots[slot], 0] != a or pairs[slots[slot], 1] != b):
                slot = (slot + 1) & (len(slots) - 1)
            if slots[slot] < 0:
                if count >= limit:
                    return np.empty((0, 2), np.int32), np.empty((0, k), np.int32)
                if count == len(pairs):
                    pairs = np.concatenate((pairs, np.empty_like(pairs)))
                    rows = np.concatenate((rows, np.empty_like(rows)))
                slots[slot] = count
                pairs[count, 0] = a
                pairs[count, 1] = b
                count += 1
                rows[at, c] = count - 1
                if 4 * count > len(slots):
                    slots = np.full(4 * len(slots), -1, np.int32)
                    for i in range(count):
                        slot = _slot(np.int64(pairs[i, 0]) * width + pairs[i, 1], len(slots))
                        while slots[slot] >= 0:
                            slot = (slot + 1) & (len(slots) - 1)
                        slots[slot] = i
            else:
                rows[at, c] = slots[slot]
        at += 1
    return pairs[:count].copy(), rows[:count].copy()


@njit(cache=True, nogil=True)
def _slot(key: int, size: int) -> np.int64:
    """A place in an open hash table of ``size`` (a power of two) places."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(size - 1))


@njit(cache=True, nogil=True)
def outcomes(rows: Ints, own: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Backward closure of bit sets over transitions.

    Args:
        rows: ``int32[n, k]``, -1 for no transition.
        own: ``uint64[n, w]``, what a state has by itself.
    """
    n, k = rows.shape
    index = np.zeros(n + 1, np.int64)
    for s in range(n):
        for c in range(k):
            if rows[s, c] >= 0:
                index[rows[s, c] + 1] += 1
    for i in range(n):
        index[i + 1] += index[i]
    before = np.empty(index[n], np.int32)
    fill = index[:-1].copy()
    for s in range(n):
        for c in range(k):
            t = rows[s, c]
            if t >= 0:
                before[fill[t]] = s
                fill[t] += 1
    bits = own.copy()
    w = own.shape[1]
    todo = np.empty(n, np.int32)
    waiting = np.zeros(n, np.bool_)
    head = 0
    pending = 0
    for s in range(n - 1, -1, -1):  # later states tend to be further on
        for i in range(w):
            if bits[s, i] and not waiting[s]:
                todo[pending] = s
                pending += 1
                waiting[s] = True
    while pending:
        t = todo[head]
        head = (head + 1) % n
        pending -= 1
        waiting[t] = False
        for j in range(index[t], index[t + 1]):
            s = before[j]
            changed = False
            for i in range(w):
                joined = bits[s, i] | bits[t, i]
                if joined != bits[s, i]:
                    bits[s, i] = joined
                    changed = True
            if changed and not waiting[s]:
                waiting[s] = True
                todo[(head + pending) % n] = s
                pending += 1
    return bits
