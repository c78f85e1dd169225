"""Compiled: when whole subtrees of the vocabulary stay inside a lexeme, so that a walk need not look into them."""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.layout import NONE

#: States that are looked at together, and bytes in a row, by :func:`find_runs`.
_MAX_SIDE_BY_SIDE, MAX_RUN = 8, 16
_SOME_DIE = -2
#: Not found out yet whether a state loops.
UNKNOWN = np.uint64(2)
#: The height of a subtree with other bytes than ASCII.
NOT_ASCII = 1 << 30
#: Smaller subtrees are walked node by node.
MIN_SUMMARIZED = 8  # nodes

#: What a state is to a walk. Dead: no wanted result can come about.
DEAD, INSIDE, CLOSED = 0, 1, 2


@numba.njit(cache=True, nogil=True)
def summarize(byte, depth, end, summary, ascii, valid, height):  # type: ignore[no-untyped-def]
    """What the larger subtrees of the vocabulary consist of, so that a walk can take them as a whole.

    Args:
        byte, depth, end: The trie.
        summary: ``int32[N]``, filled with the place of a node's summary, or :data:`NONE` for small subtrees.
        ascii: ``uint64[., 2]``, filled with the set of ASCII bytes below the node.
        valid: ``bool[.]``, filled with whether the rest of each token is well-formed UTF-8 if a character ends at the
            node; the last character may be incomplete.
        height: ``int32[.]``, filled with how deep the subtree is, or :data:`NOT_ASCII`.

    Returns:
        How many summaries there are.
    """
    count = 0
    for node in range(byte.shape[0]):
        summary[node] = NONE
        if end[node] - node >= MIN_SUMMARIZED:
            summary[node] = count
            count += 1
    path = np.zeros(1024, np.int32)
    for node in range(byte.shape[0]):
        if summary[node] == NONE:
            continue
        place = summary[node]
        ascii[place, 0] = ascii[place, 1] = np.uint64(0)
        valid[place] = True
        height[place] = 0
        base = depth[node]
        path[0] = 0
        below = node + 1
        while below < end[node]:
            level = depth[below] - base
            if byte[below] < 128:
                ascii[place, byte[below] >> 6] |= np.uint64(1) << np.uint64(byte[below] & 63)
                height[place] = max(height[place], level)
            else:
                height[place] = NOT_ASCII
            needs = _utf8_step(path[level - 1], byte[below])
            if needs < 0:
                valid[place] = False
                needs = 0
            path[level] = needs
            below += 1
    return count


@numba.njit(cache=True, nogil=True)
def _utf8_step(needs, byte):  # type: ignore[no-untyped-def]
    """Well-formed UTF-8 (Unicode, table 3-7): ``needs`` is how many bytes must follow, plus 4 times a case of the next:
    1 at least ``A0``, 2 at most ``9F``, 3 at least ``90``, 4 at most ``8F``; :data:`NONE`: not well-formed."""
    if needs == 0:
        if byte < 0x80:
            return 0
        if byte < 0xC2 or byte > 0xF4:
            return NONE
        if byte < 0xE0:
            return 1
        if byte < 0xF0:
            return 2 + 4 * (1 if byte == 0xE0 else 2 if byte == 0xED else 0)
        return 3 + 4 * (3 if byte == 0xF0 else 4 if byte == 0xF4 else 0)
    low, high = 0x80, 0xBF
    case = needs >> 2
    if case == 1:
        low = 0xA0
    elif case == 2:
        high = 0x9F
    elif case == 3:
        low = 0x90
    elif case == 4:
        high = 0x8F
    return (needs & 3) - 1 if low <= byte <= high else NONE


@numba.njit(cache=True, nogil=True)
def find_loops(delta, classes, kind, state, loop):  # type: ignore[no-untyped-def]
    """Note the ASCII bytes on which a state stays where it is, and whether all other characters lead back to it."""
    loop[state, 0] = loop[state, 1] = np.uint64(0)
    for byte in range(128):
        if delta[state, classes[byte]] == state:
            loop[state, byte >> 6] |= np.uint64(1) << np.uint64(byte & 63)
    back = True
    states = np.zeros(4, np.int32)
    needs = np.zeros(4, np.int32)
    bytes_ = np.zeros(4, np.int32)
    # Runs of bytes that mean the same are tried by their first byte only, so few of a million characters are.
    for lead in range(0xC2, 0xF5):
        if not back:
            break
        target = delta[state, classes[lead]]
        if target == NONE or kind[target] != INSIDE:
            back = False
            break
        states[1], needs[1] = target, _utf8_step(0, lead)
        same = delta[state, classes[lead]] == delta[state, classes[lead - 1]]
        if same and lead > 0xC2 and lead not in (0xE0, 0xE1, 0xED, 0xEE, 0xF0, 0xF1, 0xF4):
            continue
        level = 1
        bytes_[1] = 0x80
        while level:
            byte = bytes_[level]
            if byte == 0xC0:
                level -= 1
                continue
            bytes_[level] += 1
            after = _utf8_step(needs[level], byte)
            if after < 0:
                continue
            target = delta[states[level], classes[byte]]
            if target == NONE or kind[target] != INSIDE or (after == 0 and target != state):
                back = False
                break
            if after == 0:
                continue
            same = delta[states[level], classes[byte]] == delta[states[level], classes[byte - 1]]
            if same and byte > 0x80 and _utf8_step(needs[level], byte - 1) == after:
                continue
            level += 1
            states[level], needs[level], bytes_[level] = target, after, 0x80
    loop[state, 2] = np.uint64(1) if back else np.uint64(0)


@numba.njit(cache=True, nogil=True)
def find_runs(delta, classes, kind, state, found_out, stamp):  # type: ignore[no-untyped-def]
    """Note the ASCII bytes that go on from a state, and how many of these in a row do, whichever they are.

    A lexeme with a greatest length has a state for each length so far, which allow the same until the end is near.
    """
    _, run, steps, _ = found_out
    columns, weights, count_of = _ascii_columns(delta.shape[1], classes)
    allowed = np.zeros(count_of, np.bool_)
    for c in range(count_of):
        target = delta[state, columns[c]]
        allowed[c] = target != NONE and kind[target] == INSIDE
    # States, and a column that leads to each.
    here = np.empty((2, _MAX_SIDE_BY_SIDE), np.int32)
    following = np.empty((2, _MAX_SIDE_BY_SIDE), np.int32)
    chain = np.empty(MAX_RUN, np.int32)
    here[0, 0], here[1, 0] = state, NONE
    count, straight, length = 1, 0, 0
    while length < MAX_RUN:
        if count == 1 and straight == length:
            chain[length] = here[0, 0]
            straight += 1
        found = _following(delta, columns, weights, kind, allowed, here, count, following)
        if found == _SOME_DIE:  # begin again, without these
            here[0, 0], here[1, 0] = state, NONE
            count, straight, length = 1, 0, 0
            continue
        if found <= 0:
            break
        length += 1
        count = found
        here[:, :found] = following[:, :found]
    for byte in range(128):
        for c in range(count_of):
            if columns[c] == classes[byte] and allowed[c]:
                run[state, byte >> 6] |= np.uint64(1) << np.uint64(byte & 63)
    steps[state] = length
    for k in range(1, min(straight, length)):
        touch(found_out, chain[k], stamp)
        if steps[chain[k]] == NONE:
            run[chain[k]] = run[state]
            steps[chain[k]] = length - k


@numba.njit(cache=True, nogil=True)
def _ascii_columns(width, classes):  # type: ignore[no-untyped-def]
    """The columns of a table that ASCII bytes stand for, how many bytes each, and how many there are."""
    place = np.full(width, NONE, np.int32)
    columns = np.empty(width, np.int32)
    weights = np.zeros(width, np.int32)
    count = 0
    for byte in range(128):
        column = classes[byte]
        if place[column] == NONE:
            place[column] = count
            columns[count] = column
            count += 1
        weights[place[column]] += 1
    return columns, weights, count


@numba.njit(cache=True, nogil=True)
def _following(delta, columns, weights, kind, allowed, here, count, following):  # type: ignore[no-untyped-def]
    """The states after any of the allowed bytes from any of some states: how many.

    :data:`NONE` if there are too many or most of the bytes do not go on from one of them; :data:`_SOME_DIE` if few do
    not: they are then not allowed any more. Nor is a byte that leads to a state from which most do not go on, as a
    backslash does in a string.
    """
    found = total = left = 0
    for c in range(allowed.shape[0]):
        if allowed[c]:
            total += weights[c]
    alive = allowed.copy()
    for k in range(count):
        dying = 0
        for c in range(allowed.shape[0]):
            if not allowed[c]:
                continue
            target = delta[here[0, k], columns[c]]
            if target == NONE or kind[target] != INSIDE:
                alive[c] = False
                dying += weights[c]
                continue
            known = False
            for other in range(min(found, _MAX_SIDE_BY_SIDE)):
                if following[0, other] == target:
                    known = True
                    break
            if not known:
                if found < _MAX_SIDE_BY_SIDE:
                    following[0, found], following[1, found] = target, c
                found += 1
        if 2 * dying > total and here[1, k] != NONE:
            allowed[here[1, k]] = False
            return _SOME_DIE
    for c in range(allowed.shape[0]):
        if alive[c]:
            left += weights[c]
    if left < total:
        if 2 * left <= total:
            return NONE
        allowed[:] = alive
        return _SOME_DIE
    return found if found <= _MAX_SIDE_BY_SIDE else NONE


@numba.njit(cache=True, nogil=True)
def touch(found_out, state, stamp):  # type: ignore[no-untyped-def]
    """Forget what another walk found out about a state: cheaper than to do so for all states beforehand."""
    loop, run, steps, stamps = found_out
    if stamps[state] != stamp:
        stamps[state] = stamp
        loop[state, 2] = UNKNOWN
        run[state, 0] = run[state, 1] = np.uint64(0)
        steps[state] = NONE
