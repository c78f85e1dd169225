"""Compiled: reading a lexeme table (:data:`~.layout.TABLE`), whether it counts or not."""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.layout import NONE
from latticework.structured.runtime.memory import load_i32, load_u8, load_u64

_ONE = np.uint64(1)


@numba.njit(cache=True)
def next_state(table, state, byte):  # type: ignore[no-untyped-def]
    """The state after ``byte``, or :data:`NONE`."""
    column = load_u8(table.classes, byte)
    if table.groups == 0:
        return numba.int64(load_i32(table.delta, state * table.columns + column))
    base = state % table.states
    target = numba.int64(load_i32(table.delta, base * table.columns + column))
    if target == NONE:
        return target
    count = state // table.states + load_u8(table.advance, base * table.columns + column)
    return min(count, table.last) * table.states + target


@numba.njit(cache=True)
def is_closed(table, state):  # type: ignore[no-untyped-def]
    """Whether the lexeme is over in ``state``."""
    return load_u8(table.closed, state if table.groups == 0 else state % table.states) != 0


@numba.njit(cache=True)
def group_of(table, count):  # type: ignore[no-untyped-def]
    """How many thresholds are at or below ``count``."""
    group = 0
    while group < table.groups and load_i32(table.thresholds, group) <= count:
        group += 1
    return group


@numba.njit(cache=True)
def result_at(table, results, state):  # type: ignore[no-untyped-def]
    """The result in ``state``, or :data:`NONE`; ``results`` is ``table.result`` or ``table.end``."""
    if table.groups == 0:
        return numba.int64(load_i32(results, state))
    result = numba.int64(load_i32(results, state % table.states))
    if result == NONE:
        return result
    return result * (table.groups + 1) + group_of(table, state // table.states)


@numba.njit(cache=True)
def has_bit(address, words, bit):  # type: ignore[no-untyped-def]
    """Whether ``bit`` is in the bit set of so many words at ``address``."""
    return bit < 64 * words and (load_u64(address, bit >> 6) >> np.uint64(bit & 63)) & _ONE != 0
