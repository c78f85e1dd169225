"""Compiled: the states of a lexeme table that texts lead to, each by a shortest text."""

from __future__ import annotations

import numba
import numpy as np

_NONE = -1
_MIX = 0x9E3779B1


@numba.njit(cache=True, nogil=True)
def reach(classes, delta, advance, last, start, letters, limit):  # type: ignore[no-untyped-def]
    """Breadth first from ``start``.

    Args:
        classes, delta: The table's.
        advance: ``uint8[m, k]``, the table's; no rows: it does not count.
        last: The last threshold, 0 without any.
        start: A state, which is not among those reached.
        letters: ``uint8[.]``, the bytes that are tried, in order.
        limit: About how many states are found at most.

    Returns:
        ``(states, parents, byte)``, in the order in which they are found: ``int64[.]``, ``int32[.]`` places in that
        order, -1 for ``start``, and ``uint8[.]`` the byte that leads from there.
    """
    room = limit + letters.shape[0] + 1
    size = 16
    while size < 2 * room:
        size *= 2
    slots = np.full(size, np.int64(_NONE))
    states, parents = np.empty(room, np.int64), np.empty(room, np.int32)
    byte = np.empty(room, np.uint8)
    base_states = delta.shape[0]
    count = 0
    place = _NONE
    _add(slots, start)
    while place < count and count < limit:
        state = start if place == _NONE else states[place]
        done, base = state // base_states, state % base_states
        for letter in letters:
            column = classes[letter]
            target = np.int64(delta[base, column])
            if target == _NONE:
                continue
            if last > 0:
                target += min(done + advance[base, column], last) * base_states
            if _add(slots, target):
                states[count], parents[count], byte[count] = target, place, letter
                count += 1
        place += 1
    return states[:count], parents[:count], byte[:count]


@numba.njit(cache=True, nogil=True)
def _add(slots, state):  # type: ignore[no-untyped-def]
    """Put a state into a set; ``False``: it is in it."""
    slot = state * _MIX & (slots.shape[0] - 1)
    while slots[slot] != _NONE:
        if slots[slot] == state:
            return False
        slot = (slot + 1) & (slots.shape[0] - 1)
    slots[slot] = state
    return True
