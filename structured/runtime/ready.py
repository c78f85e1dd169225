"""Masks that were made, to be written again: what each differs in from a lexeme mask, in a ring for the whole process.

Most masks are either a few tokens or nearly those of a lexeme (:mod:`.lexeme_masks`), so that a mask of 128k tokens
takes a few hundred bytes. A new one is written over the oldest. One that is used when it has come to the older half is
written again at the front: what is used stays.
"""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.layout import NONE
from latticework.structured.runtime.lexeme_masks import address_of
from latticework.structured.runtime.memory import load_i64, row_at, store_i64

#: Memory for the ready masks of a process.
READY_BYTES = 8 * 1024 * 1024

#: Where the data is, how many ``int64`` there are, and how many were written so far: two rounds more than in truth, so
#: that what says 0 was written too long ago.
_DATA, _SIZE, _HEAD = range(3)
#: Words in which a mask may differ; with more it is kept whole.
_MAX_CHANGES = 512
#: Words that are compared at once.
_STRIDE = 16


class Ring:
    """The memory. It is written by kernels that keep the GIL.

    An entry is the number of changed words or :data:`~.layout.NONE` for a whole mask, the address of the lexeme mask or
    0, and the changes, each a place in the mask (upper half) and 32 bits of it; or the mask, two words in each.

    Args:
        max_bytes: How much. At least room for a few masks.
    """

    def __init__(self, max_bytes: int) -> None:
        self._data = np.empty(max_bytes // 8, np.int64)
        self.control = np.array([address_of(self._data), len(self._data), 2 * len(self._data)], np.int64)


RING = Ring(READY_BYTES)


@numba.njit(cache=True)
def restore(machine, row, configuration):  # type: ignore[no-untyped-def]
    """Write a ready mask to ``row``; ``False``: it is not ready."""
    written = load_i64(machine.ready, configuration)
    size, head = load_i64(machine.ring, _SIZE), load_i64(machine.ring, _HEAD)
    if head - written > size:
        return False
    at = load_i64(machine.ring, _DATA) + 8 * (written % size)
    count = load_i64(at, 0)
    if count == NONE:
        _copy(row, at + 16, machine.words)
    else:
        base = load_i64(at, 1)
        if base:
            _copy(row, base, machine.words)
        else:
            row[:] = 0
        for place in range(2, 2 + count):
            change = load_i64(at, place)
            row[change >> 32] = np.int32(change)
    for word in range(machine.words, row.shape[0]):
        row[word] = 0
    if head - written > size >> 1:
        length = 2 + (count if count != NONE else (machine.words + 1) >> 1)
        to = _room(machine, length)
        if load_i64(machine.ring, _HEAD) + length - written <= size:  # it is not written over itself
            for place in range(length):
                store_i64(to, place, load_i64(at, place))
            _close(machine, configuration, length)
    return True


@numba.njit(cache=True)
def keep(machine, row, configuration):  # type: ignore[no-untyped-def]
    """Keep the mask in ``row``, which was made out of the lexeme mask at ``machine.base`` (0: out of nothing)."""
    whole = (machine.words + 1) >> 1
    if load_i64(machine.ring, _SIZE) < 4 * (whole + _MAX_CHANGES):
        return
    at = _room(machine, 2 + max(whole, _MAX_CHANGES))
    base = row_at(machine.base, machine.words) if machine.base else row
    count = 0
    for start in range(0, machine.words, _STRIDE):
        stop = min(start + _STRIDE, machine.words)
        differs = np.int32(0)
        if machine.base:
            for word in range(start, stop):
                differs |= row[word] ^ base[word]
        else:
            for word in range(start, stop):
                differs |= row[word]
        if differs == 0:
            continue
        for word in range(start, stop):
            if row[word] != (base[word] if machine.base else np.int32(0)):
                if count == _MAX_CHANGES:
                    _keep_whole(machine, row, configuration, at)
                    return
                store_i64(at, 2 + count, word << 32 | numba.int64(np.uint32(row[word])))
                count += 1
    store_i64(at, 0, count)
    store_i64(at, 1, machine.base)
    _close(machine, configuration, 2 + count)


@numba.njit(cache=True)
def _keep_whole(machine, row, configuration, at):  # type: ignore[no-untyped-def]
    store_i64(at, 0, NONE)
    store_i64(at, 1, 0)
    words = row_at(at + 16, machine.words)
    for word in range(machine.words):
        words[word] = row[word]
    _close(machine, configuration, 2 + ((machine.words + 1) >> 1))


@numba.njit(cache=True)
def _room(machine, length):  # type: ignore[no-untyped-def]
    """The address of so many ``int64`` at the front, which lie together."""
    size, head = load_i64(machine.ring, _SIZE), load_i64(machine.ring, _HEAD)
    if head % size + length > size:
        head += size - head % size
        store_i64(machine.ring, _HEAD, head)
    return load_i64(machine.ring, _DATA) + 8 * (head % size)


@numba.njit(cache=True)
def _close(machine, configuration, length):  # type: ignore[no-untyped-def]
    """An entry of so many ``int64`` was written at the front."""
    head = load_i64(machine.ring, _HEAD)
    store_i64(machine.ready, configuration, head)
    store_i64(machine.ring, _HEAD, head + length)


@numba.njit(cache=True)
def _copy(row, address, words):  # type: ignore[no-untyped-def]
    source = row_at(address, words)
    for word in range(words):
        row[word] = source[word]
