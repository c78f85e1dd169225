"""Compiled: what :func:`~.lexeme_kernels.examine` found, laid out as :data:`~.layout.PLAN` has it."""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.layout import NONE
from latticework.structured.runtime.subtrees import DEAD


@numba.njit(cache=True, nogil=True)
def lay_out(  # type: ignore[no-untyped-def]
    rests, rests_count, roots, root_count, nodes, members, member_count, walked, walked_count, states, results,
):  # fmt: skip
    """What is left of the tokens that end a lexeme, and the subtrees to be walked.

    Args:
        rests, roots, nodes, members, walked: See :func:`~.lexeme_kernels.examine`.
        rests_count, root_count, member_count, walked_count: How many of each were written.
        states, results: ``int32[.]``, the table's numbers of what the shape has.

    Returns:
        ``(byte, depth, end, first_id, ids, groups, children, walked)``, as :class:`~.lexeme_masks.LexemeMask` has them.
    """
    nodes_of_roots = roots[0, :root_count]
    byte, depth, end, first, ids, places = _trie_of(rests, rests_count, nodes_of_roots, nodes, members, member_count)
    groups = np.empty((3, root_count), np.int32)
    below = np.empty((root_count, 256), np.int32)
    for group in range(root_count):
        groups[0, group] = places[group]
        groups[1, group] = _place_of(results, roots[1, group])
        groups[2, group] = roots[2, group]
        below[group] = children(byte, end, places[group])
    found = walked[:, :walked_count].copy()
    for k in range(walked_count):
        found[1, k] = _place_of(states, walked[1, k])
    return byte, depth, end, first, ids, groups, below, found


@numba.njit(cache=True, nogil=True)
def _place_of(values, value):  # type: ignore[no-untyped-def]
    if value < values.shape[0] and values[value] == value:  # so it is where all states are numbered as they are
        return value
    for place in range(values.shape[0]):
        if values[place] == value:
            return place
    return NONE


@numba.njit(cache=True, nogil=True)
def by_steps(tokens, steps, longest):  # type: ignore[no-untyped-def]
    """Tokens in the order of their steps, and where those of each number of steps begin: ``int32[longest + 2]``."""
    first = np.zeros(longest + 2, np.int32)
    for count in steps:
        first[count + 1] += 1
    for count in range(longest + 1):
        first[count + 1] += first[count]
    filled = first.copy()
    ordered = np.empty(tokens.shape[0], np.int32)
    for k in range(tokens.shape[0]):
        ordered[filled[steps[k]]] = tokens[k]
        filled[steps[k]] += 1
    return ordered, first


@numba.njit(cache=True, nogil=True)
def outside(classes, delta, kind, state, trie, words):  # type: ignore[no-untyped-def]
    """The tokens whose first byte leads nowhere from a state: ``uint32[words]``."""
    byte, _, end, first, ids = trie
    mask = np.zeros(words, np.uint32)
    place = 1
    while place < byte.shape[0]:
        target = delta[state, classes[byte[place]]]
        if target == NONE or kind[target] == DEAD:
            for token in ids[first[place] : first[end[place]]]:
                mask[token >> 5] |= np.uint32(1) << np.uint32(token & 31)
        place = end[place]
    return mask


@numba.njit(cache=True, nogil=True)
def children(byte, end, root):  # type: ignore[no-untyped-def]
    """The child of a trie node for each byte, or 0: ``int32[256]``."""
    found = np.zeros(256, np.int32)
    place = root + 1
    while place < end[root]:
        found[byte[place]] = place
        place = end[place]
    return found


@numba.njit(cache=True, nogil=True)
def _trie_of(rests, rests_count, roots, nodes, members, member_count):  # type: ignore[no-untyped-def]
    """The tree of rests as a depth-first trie (:mod:`latticework.structured.trie`), its roots one after another.

    Returns:
        ``(byte, depth, end, first_id, ids, places)``, with the place of each of ``roots``.
    """
    byte = np.zeros(rests_count, np.uint8)
    depth = np.zeros(rests_count, np.int32)
    end = np.zeros(rests_count, np.int32)
    first = np.zeros(rests_count + 1, np.int32)
    ids = np.zeros(member_count, np.int32)
    places = np.zeros(roots.shape[0], np.int32)
    where = np.zeros(rests_count, np.int32)
    count = 0
    for r in range(roots.shape[0]):
        node = roots[r]
        places[r] = count
        level = 0
        while True:
            where[node] = count
            depth[count] = level
            if level:
                byte[count] = rests[node, 0]
            count += 1
            if rests[node, 2] != NONE:
                node = rests[node, 2]
                level += 1
                continue
            while level and rests[node, 3] == NONE:
                end[where[node]] = count
                node = rests[node, 1]
                level -= 1
            end[where[node]] = count
            if level == 0:
                break
            node = rests[node, 3]
    for k in range(member_count):
        first[where[nodes[k]] + 1] += 1
    for k in range(rests_count):
        first[k + 1] += first[k]
    filled = first[:-1].copy()
    for k in range(member_count):
        place = where[nodes[k]]
        ids[filled[place]] = members[k]
        filled[place] += 1
    return byte, depth, end, first, ids, places
