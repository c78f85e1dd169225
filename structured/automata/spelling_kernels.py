"""The compiled loop that lays a spelling graph over the states of a machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int32]


@njit(cache=True, nogil=True)
def lay_out(delta: Ints, first: Ints, column: Ints, target: Ints, uniform: Ints, width: int, limit: int) -> Ints:
    """Transitions over byte classes, ``int32[states, width]``; the first states are those of ``delta``.

    Inside a character a state is a node and the machine's state before the character, or, where all ways on end in the
    same class, a node and the machine's state after it. Empty if there would be more than ``limit`` states.
    """
    n = delta.shape[0]
    nodes = len(uniform)
    known = np.full(nodes * n, -1, np.int32)
    node_of = np.zeros(2 * n + 16, np.int32)
    state_of = np.zeros(2 * n + 16, np.int32)
    state_of[:n] = np.arange(n)
    count = n
    at = 0
    while at < count:  # first only how many there are: rows of too many are large
        node = node_of[at]
        settled = at >= n and uniform[node] >= 0
        for e in range(first[node], first[node + 1]):
            goal = target[e]
            if goal < 0:
                continue
            after = _after(delta, uniform, goal, state_of[at], settled)
            if known[goal * n + after] >= 0:
                continue
            if count >= limit:
                return np.empty((0, width), np.int32)
            if count == len(node_of):
                node_of = np.concatenate((node_of, np.empty_like(node_of)))
                state_of = np.concatenate((state_of, np.empty_like(state_of)))
            known[goal * n + after] = count
            node_of[count] = goal
            state_of[count] = after
            count += 1
        at += 1
    rows = np.full((count, width), -1, np.int32)
    for at in range(count):
        node = node_of[at]
        s = state_of[at]
        settled = at >= n and uniform[node] >= 0
        for e in range(first[node], first[node + 1]):
            goal = target[e]
            if goal < 0:
                rows[at, column[e]] = s if settled else delta[s, ~goal]
            else:
                rows[at, column[e]] = known[goal * n + _after(delta, uniform, goal, s, settled)]
    return rows


@njit(cache=True, nogil=True)
def _after(delta: Ints, uniform: Ints, goal: int, state: int, settled: bool) -> int:
    """The machine's state that a node stands for: after the character where all ways on end in the same class."""
    return delta[state, uniform[goal]] if not settled and uniform[goal] >= 0 else state
