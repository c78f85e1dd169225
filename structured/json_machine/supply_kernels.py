"""Compiled: how many texts end in a result of a table."""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.pushdown.table import DEAD


@numba.njit(cache=True, nogil=True)
def supply(delta, outcomes, results, start, result, widths, most):  # type: ignore[no-untyped-def]
    """How many texts end in a result.

    Args:
        delta, outcomes, results, start: The table's.
        result: Which.
        widths: ``int64[columns]``, how many bytes are in each class.
        most: Larger numbers are not told apart.

    Returns:
        ``(count, ample)``: their number, :data:`~.table.DEAD` if there is no end of them; whether every beginning of
        one goes on to texts without end.
    """
    counts = completions(delta, outcomes, results, result, widths, most)
    if counts[start] != DEAD:
        return counts[start], False
    return numba.int64(DEAD), _always_goes_on(delta, counts, start)


@numba.njit(cache=True, nogil=True)
def completions(delta, outcomes, results, result, widths, most):  # type: ignore[no-untyped-def]
    """How many texts lead from each state to a result: ``int64[states]``, see :func:`supply`."""
    states, columns = delta.shape
    towards = np.zeros(states, np.bool_)
    bit = np.uint64(1) << np.uint64(result & 63)
    for state in range(states):
        towards[state] = outcomes[state, result >> 6] & bit != 0
    first, sources, left = _backwards(delta, towards)
    # Take away what has nothing left to go on to, from the ends on: what stays reaches a circle.
    counts = np.full(states, DEAD, np.int64)
    order = np.empty(states, np.int64)
    taken = 0
    for state in range(states):
        if left[state] == 0:
            order[taken] = state
            taken += 1
    place = 0
    while place < taken:
        state = order[place]
        place += 1
        total = numba.int64(results[state] == result)
        for column in range(columns):
            target = delta[state, column]
            if target != DEAD and towards[target]:
                total += widths[column] * counts[target]
        counts[state] = min(total, most)
        for k in range(first[state], first[state + 1]):
            left[sources[k]] -= 1
            if left[sources[k]] == 0:
                order[taken] = sources[k]
                taken += 1
    return counts


@numba.njit(cache=True, nogil=True)
def _backwards(delta, towards):  # type: ignore[no-untyped-def]
    """The transitions to states towards the result, by target; and how many each state has."""
    states, columns = delta.shape
    first = np.zeros(states + 1, np.int64)
    left = np.zeros(states, np.int64)
    for state in range(states):
        for column in range(columns):
            target = delta[state, column]
            if target != DEAD and towards[target]:
                first[target + 1] += 1
                left[state] += 1
    for state in range(states):
        first[state + 1] += first[state]
    filled = first.copy()
    sources = np.empty(first[states], np.int64)
    for state in range(states):
        for column in range(columns):
            target = delta[state, column]
            if target != DEAD and towards[target]:
                sources[filled[target]] = state
                filled[target] += 1
    return first, sources, left


@numba.njit(cache=True, nogil=True)
def _always_goes_on(delta, counts, start):  # type: ignore[no-untyped-def]
    """Whether all states on the way that have transitions reach a circle."""
    states, columns = delta.shape
    seen = np.zeros(states, np.bool_)
    todo = np.empty(states, np.int64)
    seen[start] = True
    todo[0] = start
    waiting = 1
    while waiting:
        waiting -= 1
        state = todo[waiting]
        closed = True
        for column in range(columns):
            target = delta[state, column]
            closed &= target == DEAD
            if target != DEAD and counts[target] != 0 and not seen[target]:
                seen[target] = True
                todo[waiting] = target
                waiting += 1
        if counts[state] > 0 and not closed:
            return False
    return True
