"""Token bitmasks in xgrammar's layout: ``int32[rows, words]``, bit ``t % 32`` of word ``t // 32`` is token ``t``.

Both engines, and all three grammar engines here, read and write this layout, so masks pass between them without copies.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bitmask = npt.NDArray[np.int32]


def words(size: int) -> int:
    """How many 32-bit words hold a mask over ``size`` tokens."""
    return (size + 31) // 32


def allocate(rows: int, size: int) -> Bitmask:
    """An all-zero bitmask, ``int32[rows, words(size)]``: nothing allowed."""
    return np.zeros((rows, words(size)), np.int32)


def set_bit(row: Bitmask, token_id: int) -> None:
    """Allow one token in ``row`` (``int32[words]``)."""
    row.view(np.uint32)[token_id >> 5] |= np.uint32(1 << (token_id & 31))


def clear_bit(row: Bitmask, token_id: int) -> None:
    """Forbid one token in ``row`` (``int32[words]``)."""
    row.view(np.uint32)[token_id >> 5] &= np.uint32(~(1 << (token_id & 31)) & 0xFFFFFFFF)


def test(row: Bitmask, token_id: int) -> bool:
    """Whether a token is allowed in ``row`` (``int32[words]``)."""
    return bool((int(row[token_id >> 5]) >> (token_id & 31)) & 1)


def count(row: Bitmask) -> int:
    """How many tokens ``row`` (``int32[words]``) allows."""
    return int(np.bitwise_count(row.view(np.uint32)).sum())


def indices(row: Bitmask) -> npt.NDArray[np.int64]:
    """The allowed token ids of ``row`` (``int32[words]``), rising."""
    words = np.flatnonzero(row)
    if 8 * len(words) > len(row):
        return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))
    return _of_words(row, words)


def first_indices(row: Bitmask, count: int) -> npt.NDArray[np.int64]:
    """The lowest ``count`` allowed token ids of ``row`` (``int32[words]``), rising; all if there are fewer."""
    return _of_words(row, np.flatnonzero(row)[:count])[:count]


def _of_words(row: Bitmask, words: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    bits = np.unpackbits(row[words].view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    which, place = np.nonzero(bits)
    return words[which] * 32 + place
