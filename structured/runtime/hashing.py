"""Compiled: hashes, and entering numbers into the indexes that are searched by them. A free place holds ``NONE``."""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.layout import NONE
from latticework.structured.runtime.memory import load_i64, store_i64


@numba.njit(cache=True)
def mix(first, second):  # type: ignore[no-untyped-def]
    """A hash of two numbers, not negative."""
    mixed = numba.uint64(first) * np.uint64(0x9E3779B97F4A7C15) + numba.uint64(second) * np.uint64(0xC2B2AE3D27D4EB4F)
    return numba.int64((mixed ^ (mixed >> np.uint64(29))) >> np.uint64(3))


@numba.njit(cache=True)
def mix_words(mixed, address, first, words):  # type: ignore[no-untyped-def]
    """A hash of ``mixed`` and so many words of the array at ``address``, not negative where there is one."""
    for word in range(words):
        mixed = mix(mixed, load_i64(address, first + word))
    return mixed


@numba.njit(cache=True)
def put(index, slots, mixed, number):  # type: ignore[no-untyped-def]
    """Enter a number under a hash into the index at the address ``index``, of so many slots, a power of two: where."""
    slot = mixed & (slots - 1)
    while load_i64(index, slot) != NONE:
        slot = (slot + 1) & (slots - 1)
    store_i64(index, slot, number)
    return slot
