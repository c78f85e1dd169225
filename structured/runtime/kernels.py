"""The compiled loops of the mask runtime. They release the GIL and allocate nothing.

``row[s]`` is where configuration ``s`` keeps its transitions, or :data:`UNEXPANDED`. ``delta[row[s], b]`` is the
configuration after byte ``b``, or :data:`DEAD`. Kernels never call Python: what needs a transition that is not known
yet is handed back to the caller, who asks the automaton and calls again.
"""

from __future__ import annotations

import numba

DEAD = -1
UNEXPANDED = -1


@numba.njit(cache=True, nogil=True)
def walk(  # type: ignore[no-untyped-def]
    row, delta, byte, depth, end, first_id, ids, nodes, states, n, mask, stack, out_nodes, out_states
):
    """Set the bits of every token under the given trie nodes whose bytes all step.

    Args:
        row, delta: The known transitions.
        byte, depth, end, first_id, ids: The trie (see :mod:`latticework.structured.trie`).
        nodes, states: ``int32[>= n]``, the work: a node and the configuration reached by spelling it, expanded.
        n: How many of them.
        mask: ``uint32[words]``, written in place.
        stack: ``int32[max_depth + 1]``, scratch.
        out_nodes, out_states: ``int32[>= nodes of the trie]``, filled with the work that needs an unknown row.

    Returns:
        ``(left, visited)``: entries written to ``out_nodes``, and trie nodes looked at (for cost checks).
    """
    left = 0
    visited = 0
    for k in range(n):
        root = nodes[k]
        stack[depth[root]] = states[k]
        i = root + 1
        stop = end[root]
        while i < stop:
            visited += 1
            state = delta[row[stack[depth[i] - 1]], byte[i]]
            if state == DEAD:
                i = end[i]
                continue
            for t in range(first_id[i], first_id[i + 1]):
                mask[ids[t] >> 5] |= numba.uint32(1) << numba.uint32(ids[t] & 31)
            if end[i] > i + 1:
                if row[state] == UNEXPANDED:
                    out_nodes[left] = i
                    out_states[left] = state
                    left += 1
                    i = end[i]
                    continue
                stack[depth[i]] = state
            i += 1
    return left, visited


@numba.njit(cache=True, nogil=True)
def spell(row, delta, text, begin, stop, state):  # type: ignore[no-untyped-def]
    """Step over ``text[begin:stop]`` as far as the transitions are known.

    Returns:
        ``(state, position)``. ``state == DEAD``: the byte at ``position`` is not allowed. ``position == stop``: done.
        Otherwise the row of ``state`` is unknown and must be expanded before going on from ``position``.
    """
    for position in range(begin, stop):
        if row[state] == UNEXPANDED:
            return state, position
        state = delta[row[state], text[position]]
        if state == DEAD:
            return state, position
    return state, stop
