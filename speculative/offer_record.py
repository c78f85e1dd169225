"""How offers of each kind fared: decayed counts of those tried and of those right, and the odds that follow.

Kernels are given a record by its address, as tables are (:mod:`~latticework.speculative.ngram_table`).
"""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.lexeme_masks import address_of
from latticework.structured.runtime.memory import load_f64, store_f64

#: Counts of so many tries are halved, so that they follow the traffic.
_FORGET = 2000.0


class OfferRecord:
    """Counts of ``kinds`` kinds, nothing at first.

    Attributes:
        counts: ``float64[kinds, 2]``, how many were tried and how many of them were right.
        address: Of the counts. Valid as long as the record lives.
    """

    __slots__ = ("address", "counts")

    def __init__(self, kinds: int) -> None:
        self.counts = np.zeros((kinds, 2))
        self.address = address_of(self.counts)


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def odds(record, kind, assumed, worth):  # type: ignore[no-untyped-def]
    """The chance that an offer of a kind is right; what is ``assumed`` weighs as much as ``worth`` tries."""
    return (load_f64(record, 2 * kind + 1) + worth * assumed) / (load_f64(record, 2 * kind) + worth)


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def note(record, kind, right):  # type: ignore[no-untyped-def]
    """An offer of a kind was tried."""
    tried, hit = load_f64(record, 2 * kind) + 1.0, load_f64(record, 2 * kind + 1)
    if right:
        hit += 1.0
    scale = 0.5 if tried > _FORGET else 1.0
    store_f64(record, 2 * kind, scale * tried)
    store_f64(record, 2 * kind + 1, scale * hit)
