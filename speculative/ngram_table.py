"""A bounded table from contexts to what followed them: the memory of every n-gram drafter here.

Layout. A context is known by a 64-bit hash of its tokens; its row holds up to ``width`` successors, the most frequent
first, of equally frequent ones the most recent. Rows live in ``capacity`` slots (a power of two). A context may lie in
any of :data:`PROBES` slots from its home on; when all are taken, the one that was written longest ago gives way. So
memory is fixed when a table is made, and nothing is ever rehashed.

Two contexts of equal hash would share a row; at 64 bits that wastes a guess once in a blue moon and harms nothing,
because every guess is verified. Separation between tenants does not rest on hashes: each scope has tables of its own.

Kernels are given a table by the address of its record (:mod:`latticework.structured.runtime.memory`): with arrays as
arguments most of their time went into counting references to them.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from latticework.structured.runtime.lexeme_masks import address_of
from latticework.structured.runtime.memory import (
    load_f32,
    load_i32,
    load_i64,
    load_u8,
    load_u64,
    store_f32,
    store_i32,
    store_i64,
    store_u8,
    store_u64,
)

PROBES = 4
EMPTY = 0
#: Counts saturate here; then they are halved, so that what is recent weighs more.
MOST = 255

#: Fields of a table's record, ``int64`` each: the addresses of tags and rows, the number of slots less one, the number
#: of successors, how often the table was written, and the length of a row in words of 32 bits.
_TAG, _ROWS, _MASK, _WIDTH, _CLOCK, _WORDS = range(6)
#: Words of a row before its successors: key and time.
_HEAD = 4


class NgramTable:
    """A table. It owns the arrays that kernels read and write by :attr:`address`.

    All of a row lies together, because tables are larger than the processor's caches.

    Attributes:
        tag: ``uint8[capacity]``, a part of the key, 0 where there is none. Most look-ups find nothing, and this small
            array, which stays in the processor's cache, tells them so.
        rows: ``int32[capacity, 4 + 2 width]``. Views of it are:
        key: ``uint64[capacity]``, hash of the row's context, :data:`EMPTY` where there is none.
        written: ``int64[capacity]``, when the row was last written, in writes of this table.
        token: ``int32[capacity, width]``, successors.
        weight: ``float32[capacity, width]``, their counts, or probabilities where rows are put whole; 0: no more.
        address: Of the record. Valid as long as the table lives.

    Args:
        rows: At least so many slots, rounded up to a power of two.
        width: Successors a row.
    """

    __slots__ = ("_record", "address", "rows", "tag")

    def __init__(self, rows: int, width: int) -> None:
        capacity = max(PROBES, 1 << max(0, rows - 1).bit_length())
        self.tag = np.zeros(capacity, np.uint8)
        self.rows = np.zeros((capacity, _HEAD + 2 * width), np.int32)
        tag, first = address_of(self.tag), address_of(self.rows)
        self._record = np.array([tag, first, capacity - 1, width, 0, _HEAD + 2 * width], np.int64)
        self.address = address_of(self._record)

    @property
    def key(self) -> npt.NDArray[np.uint64]:
        """See the class."""
        return self.rows[:, :2].view(np.uint64)[:, 0]

    @property
    def written(self) -> npt.NDArray[np.int64]:
        """See the class."""
        return self.rows[:, 2:_HEAD].view(np.int64)[:, 0]

    @property
    def token(self) -> npt.NDArray[np.int32]:
        """See the class."""
        return self.rows[:, _HEAD : _HEAD + self._width]

    @property
    def weight(self) -> npt.NDArray[np.float32]:
        """See the class."""
        return self.rows[:, _HEAD + self._width :].view(np.float32)

    @property
    def _width(self) -> int:
        return int(self._record[_WIDTH])


@numba.njit(cache=True, nogil=True, inline="always")
def extended(hash_, token):  # type: ignore[no-untyped-def]
    """The hash of a context one token longer, into the past. Start from 0; never :data:`EMPTY`."""
    mixed = (hash_ ^ (np.uint64(token) + np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return mixed | np.uint64(1)


@numba.njit(cache=True, nogil=True, inline="always")
def _tag(key):  # type: ignore[no-untyped-def]
    return np.uint8(key >> np.uint64(56)) | np.uint8(1)


@numba.njit(cache=True, nogil=True, inline="always")
def _key_at(table, slot):  # type: ignore[no-untyped-def]
    return load_u64(load_i64(table, _ROWS), slot * (load_i64(table, _WORDS) >> 1))


@numba.njit(cache=True, nogil=True)
def find(table, key):  # type: ignore[no-untyped-def]
    """Slot of a context, -1 if the table at this address has none."""
    mask, tags = load_i64(table, _MASK), load_i64(table, _TAG)
    home, tag = np.int64(key >> np.uint64(20)), _tag(key)
    for probe in range(PROBES):
        slot = (home + probe) & mask
        if load_u8(tags, slot) == tag and _key_at(table, slot) == key:
            return slot
    return np.int64(-1)


@numba.njit(cache=True, nogil=True)
def claim(table, key):  # type: ignore[no-untyped-def]
    """Slot of a context, which is made if need be, at the cost of the stalest of its neighbours."""
    mask, rows, half = load_i64(table, _MASK), load_i64(table, _ROWS), load_i64(table, _WORDS) >> 1
    home = np.int64(key >> np.uint64(20))
    now = load_i64(table, _CLOCK) + 1
    store_i64(table, _CLOCK, now)
    stalest = home & mask
    for probe in range(PROBES):
        slot = (home + probe) & mask
        if load_u64(rows, slot * half) == key:
            store_i64(rows, slot * half + 1, now)
            return slot
        if load_i64(rows, slot * half + 1) < load_i64(rows, stalest * half + 1):
            stalest = slot
    store_u8(load_i64(table, _TAG), stalest, _tag(key))
    store_u64(rows, stalest * half, key)
    store_i64(rows, stalest * half + 1, now)
    for i in range(width_of(table)):
        set_entry(table, stalest, i, 0, 0.0)
    return stalest


@numba.njit(cache=True, nogil=True, inline="always")
def width_of(table):  # type: ignore[no-untyped-def]
    """Successors a row."""
    return load_i64(table, _WIDTH)


@numba.njit(cache=True, nogil=True, inline="always")
def token_at(table, slot, i):  # type: ignore[no-untyped-def]
    """The ``i``-th successor of the row in a slot."""
    return load_i32(load_i64(table, _ROWS), slot * load_i64(table, _WORDS) + _HEAD + i)


@numba.njit(cache=True, nogil=True, inline="always")
def weight_at(table, slot, i):  # type: ignore[no-untyped-def]
    """Its weight; 0: there is none."""
    at = slot * load_i64(table, _WORDS) + _HEAD + load_i64(table, _WIDTH) + i
    return load_f32(load_i64(table, _ROWS), at)


@numba.njit(cache=True, nogil=True, inline="always")
def set_entry(table, slot, i, token, weight):  # type: ignore[no-untyped-def]
    """Write the ``i``-th successor of a row and its weight."""
    rows, at = load_i64(table, _ROWS), slot * load_i64(table, _WORDS) + _HEAD + i
    store_i32(rows, at, np.int32(token))
    store_f32(rows, at + load_i64(table, _WIDTH), np.float32(weight))


@numba.njit(cache=True, nogil=True)
def count(table, key, token):  # type: ignore[no-untyped-def]
    """``token`` followed the context once more. A full row forgets its last successor."""
    slot, width = claim(table, key), width_of(table)
    at = width - 1
    for i in range(width):
        if weight_at(table, slot, i) == 0.0 or token_at(table, slot, i) == token:
            at = i
            break
    weight = np.float32(1.0)
    if weight_at(table, slot, at) > 0.0 and token_at(table, slot, at) == token:
        weight += weight_at(table, slot, at)
    while at > 0 and weight_at(table, slot, at - 1) <= weight:
        set_entry(table, slot, at, token_at(table, slot, at - 1), weight_at(table, slot, at - 1))
        at -= 1
    set_entry(table, slot, at, token, weight)
    if weight > MOST:
        for i in range(width):
            set_entry(table, slot, i, token_at(table, slot, i), np.floor(weight_at(table, slot, i) / 2.0))


@numba.njit(cache=True, nogil=True)
def put(table, key, tokens, weights):  # type: ignore[no-untyped-def]
    """Replace the context's row by the first of ``tokens`` and their ``weights`` (positive, best first)."""
    slot, width = claim(table, key), width_of(table)
    shown = min(width, tokens.shape[0])
    for i in range(shown):
        set_entry(table, slot, i, tokens[i], weights[i])
    for i in range(shown, width):
        set_entry(table, slot, i, 0, 0.0)
