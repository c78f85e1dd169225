"""Compiled loops that find out what a lexeme alone says about every token: see :mod:`.lexeme_masks`."""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.layout import NONE
from latticework.structured.runtime.subtrees import (
    CLOSED,
    DEAD,
    INSIDE,
    MAX_RUN,
    UNKNOWN,
    find_loops,
    find_runs,
    touch,
)

#: Larger subtrees of the vocabulary are not copied into the trie of rests, but walked where they are.
MAX_COPIED = 64


@numba.njit(cache=True, nogil=True)
def shape(classes, delta, result, end, advance, outcomes, state, depth, order, numbers):  # type: ignore[no-untyped-def]
    """The part of a table that so many bytes can reach from a state, in a form that depends on nothing else.

    Args:
        classes, delta, result, end, advance, outcomes: The table's arrays; ``advance`` all zero where it does not
            count.
        state: Where to begin.
        depth: How many bytes. States that so many lead to, and no fewer, are told apart by their own results, the
            possible ones, and whether they go on.
        order: ``int32[.]``, filled with the states in the order in which bytes first lead to them.
        numbers: ``int32[.]``, filled with the results in the order in which they first occur.

    Returns:
        ``(states, results, key)``: how many there are, and equal keys for states that behave alike, up to the numbers
        of results. No states: there are more than ``order`` has room for.
    """
    number = np.full(delta.shape[0], NONE, np.int32)
    number[state] = 0
    order[0] = state
    count = 1
    k = level = 0
    level_end = 1
    seen = np.zeros(delta.shape[1], np.bool_)
    columns = np.zeros(delta.shape[1], np.int32)  # in the order of the first byte of each
    column_count = 0
    for byte in range(256):
        if not seen[classes[byte]]:
            seen[classes[byte]] = True
            columns[column_count] = classes[byte]
            column_count += 1
    while k < count:
        if k == level_end:
            level, level_end = level + 1, count
        if level == depth:
            break
        for c in range(column_count):
            target = delta[order[k], columns[c]]
            if target != NONE and number[target] == NONE:
                if count == order.shape[0]:
                    return 0, 0, np.zeros(0, np.int32)
                number[target] = count
                order[count] = target
                count += 1
        k += 1
    inner = k
    own = np.zeros(delta.shape[1], np.int32)
    kept = np.zeros(delta.shape[1], np.int32)
    kept_count = 0
    for c in range(column_count):
        column = columns[c]
        found = NONE
        for other in range(kept_count):
            same = True
            for k in range(inner):
                if (
                    delta[order[k], column] != delta[order[k], kept[other]]
                    or advance[order[k], column] != advance[order[k], kept[other]]
                ):
                    same = False
                    break
            if same:
                found = other
                break
        if found == NONE:
            kept[kept_count] = column
            found = kept_count
            kept_count += 1
        own[column] = found
    results = 0
    bits = outcomes.shape[1] * 64
    key = np.zeros(256 + inner * (kept_count + 2) + (count - inner) * (bits + 4) + 2, np.int32)
    for byte in range(256):
        key[byte] = own[classes[byte]]
    place = 256
    for k in range(count):
        here = order[k]
        for value in (result[here], end[here]):
            key[place] = _number_of(numbers, results, value)
            results = max(results, key[place] + 1)
            place += 1
        if k < inner:
            for c in range(kept_count):
                target = delta[here, kept[c]]
                if target != NONE:
                    target = 2 * number[target] + advance[here, kept[c]]
                key[place] = target
                place += 1
            continue
        for value in range(bits):
            if outcomes[here, value >> 6] >> np.uint64(value & 63) & np.uint64(1):
                key[place] = _number_of(numbers, results, value)
                results = max(results, key[place] + 1)
                place += 1
        key[place], key[place + 1] = NONE, (delta[here] != NONE).any()
        place += 2
    if results > numbers.shape[0]:
        return 0, 0, np.zeros(0, np.int32)
    key[place], key[place + 1] = kept_count, inner
    return count, results, key[: place + 2]


@numba.njit(cache=True, nogil=True)
def _number_of(numbers, count, value):  # type: ignore[no-untyped-def]
    """The place of a value among ``count``: behind them if it is new, where it is written if there is room for it.

    :data:`NONE` is its own.
    """
    if value == NONE:
        return NONE
    known = min(count, numbers.shape[0])
    for place in range(known):
        if numbers[place] == value:
            return place
    if known < numbers.shape[0]:
        numbers[known] = value
    return known


@numba.njit(cache=True, nogil=True)
def judge(result, closed, outcomes, wanted):  # type: ignore[no-untyped-def]
    """The results of a table that are wanted, :data:`NONE` for others, and what its states are to a walk.

    Args:
        result, closed, outcomes: The table's arrays.
        wanted: ``int32[.]``, results.
    """
    goal = np.zeros(outcomes.shape[1], np.uint64)
    for value in wanted:
        goal[value >> 6] |= np.uint64(1) << np.uint64(value & 63)
    own = np.full(result.shape[0], NONE, np.int32)
    kind = np.full(result.shape[0], DEAD, np.uint8)
    for state in range(result.shape[0]):
        value = result[state]
        if value != NONE and goal[value >> 6] >> np.uint64(value & 63) & np.uint64(1):
            own[state] = value
        if closed[state]:
            kind[state] = CLOSED if own[state] != NONE else DEAD
            continue
        for word in range(goal.shape[0]):
            if outcomes[state, word] & goal[word]:
                kind[state] = INSIDE
    return own, kind


@numba.njit(cache=True, nogil=True)
def examine(  # type: ignore[no-untyped-def]
    classes, delta, result, advance, kind, counts, state, most, trie, summaries, found_out, stamp, mask, tokens, steps,
    walked, rests, roots, nodes, members, every, ranges,
):  # fmt: skip
    """Walk the vocabulary from a state of a lexeme.

    Args:
        classes, delta, advance: The table.
        result: ``int32[states]``, its results, :data:`NONE` for those that are not wanted.
        kind: ``uint8[states]``: :data:`DEAD`, :data:`INSIDE` or :data:`CLOSED`.
        counts: Whether the table counts.
        state: Where to begin.
        most: What is found depends on what so many bytes lead to and on nothing behind: longer tokens are to be walked
            where they are, except where the lexeme goes on in a loop.
        trie: ``byte, depth, end, first_id, ids`` of the vocabulary.
        summaries: What :func:`~.subtrees.summarize` found out about it.
        found_out: Memory for what is found out about states: ``uint64[., 3], uint64[., 2], int32[.], int64[.]``.
        stamp: What is in the last of these is from this walk if it is this number.
        mask: ``uint32[words]``, filled with the tokens that stay inside the lexeme.
        tokens, steps: ``int32[V]``: if it counts, those tokens, and how many of their steps count.
        walked: ``int32[3, .]``: subtrees to be walked where they are: trie node, state above it, steps that counted.
        rests: ``int32[., 4]``: trees of what is left of tokens that end the lexeme: byte, parent, the node's first
            child, its next sibling.
        roots: ``int32[3, .]``: their roots, with the result of the lexeme and the steps that counted.
        nodes, members: ``int32[V]``: which token has which rest.
        every: ``uint32[words]``: all tokens of the trie.
        ranges: ``int32[2, V]``: working memory.

    Returns:
        ``(inside, walked, rests, roots, members, longest, flags)``: how many of each were written; the most steps that
        counted. Flags: bit 0: the lexeme may end at once; bit 1: it counts and a state inside may end; -1: an array is
        too small.
    """
    byte, depth, end, first, ids = trie
    summary, ascii, valid, height = summaries
    path = np.zeros(1024, np.int32)
    counted = np.zeros(1024, np.int32)
    map_ = np.zeros(1024, np.int32)
    loop, run, steps_of, _ = found_out
    inside = walked_count = root_count = rests_count = member_count = longest = range_count = 0
    flags = numba.int64(result[state] != NONE)
    path[0] = state
    place = 1
    while place < byte.shape[0]:
        level = depth[place]
        own = path[level - 1]
        beyond = level > most
        column = classes[byte[place]]
        target = delta[own, column]
        what = kind[target] if target != NONE else DEAD
        after = end[place]
        ending = result[own]
        if what == INSIDE and not beyond:
            if ending != NONE and level > 1:
                flags |= 2
            if counts:
                counted[level] = counted[level - 1] + advance[own, column]
                for t in range(first[place], first[place + 1]):
                    tokens[inside], steps[inside] = ids[t], counted[level]
                    inside += 1
                longest = max(longest, counted[level])
            elif summary[place] != NONE:
                touch(found_out, target, stamp)
                if loop[target, 2] == UNKNOWN:
                    find_loops(delta, classes, kind, target, loop)
                found = summary[place]
                # A loop is seen four bytes further, where a character is over.
                whole = (
                    not ascii[found, 0] & ~loop[target, 0]
                    and not ascii[found, 1] & ~loop[target, 1]
                    and valid[found]
                    and loop[target, 2]
                    and (level + 4 <= most or level + height[found] <= most)
                )
                if not whole and height[found] <= min(MAX_RUN, most - level):
                    if steps_of[target] == NONE:
                        find_runs(delta, classes, kind, target, found_out, stamp)
                    whole = (
                        not ascii[found, 0] & ~run[target, 0]
                        and not ascii[found, 1] & ~run[target, 1]
                        and height[found] <= steps_of[target]
                    )
                if whole:
                    range_count = _extend(ranges, range_count, first[place], first[after])
                    place = after
                    continue
            range_count = _extend(ranges, range_count, first[place], first[place + 1])
            path[level] = target
            place += 1
            continue
        if what == DEAD and not beyond and (ending == NONE or level == 1):
            place = after
            continue
        steps_here = counted[level - 1]
        if beyond or (ending != NONE and what == CLOSED) or after - place > MAX_COPIED:
            if walked_count == walked.shape[1]:
                return inside, walked_count, rests_count, root_count, member_count, longest, -1
            walked[0, walked_count], walked[1, walked_count], walked[2, walked_count] = place, own, steps_here
            walked_count += 1
            place = after
            continue
        # What is left of these tokens begins after this byte if it closes the lexeme, else with it.
        value, taken = ending, steps_here
        if what == CLOSED:
            value, taken = result[target], steps_here + advance[own, column]
        root = NONE
        for r in range(root_count):
            if roots[1, r] == value and roots[2, r] == taken:
                root = roots[0, r]
        if rests_count + after - place + 1 > rests.shape[0] or root_count == roots.shape[1]:
            return inside, walked_count, rests_count, root_count, member_count, longest, -1
        if root == NONE:
            root = rests_count
            rests[root, 0], rests[root, 1], rests[root, 2], rests[root, 3] = 0, NONE, NONE, NONE
            roots[0, root_count], roots[1, root_count], roots[2, root_count] = root, value, taken
            root_count += 1
            rests_count += 1
        for at in range(place, after):
            here = depth[at] - level
            if at == place and what == CLOSED:
                node = root
            else:
                parent = root if at == place else map_[here - 1]
                letter = numba.int32(byte[at])
                node = rests[parent, 2]
                while node != NONE and rests[node, 0] != letter:
                    node = rests[node, 3]
                if node == NONE:
                    node = rests_count
                    rests[node, 0], rests[node, 1], rests[node, 2] = letter, parent, NONE
                    rests[node, 3] = rests[parent, 2]
                    rests[parent, 2] = node
                    rests_count += 1
            map_[here] = node
            for t in range(first[at], first[at + 1]):
                nodes[member_count], members[member_count] = node, ids[t]
                member_count += 1
        place = after
    _write(mask, every, ids, ranges, range_count)
    return inside, walked_count, rests_count, root_count, member_count, longest, flags


@numba.njit(cache=True, nogil=True)
def _extend(ranges, count, start, stop):  # type: ignore[no-untyped-def]
    """Add a range behind the others, or to the last one if they touch; how many there are then."""
    if start == stop:
        return count
    if count and ranges[1, count - 1] == start:
        ranges[1, count - 1] = stop
        return count
    ranges[0, count], ranges[1, count] = start, stop
    return count + 1


@numba.njit(cache=True, nogil=True)
def _write(mask, every, ids, ranges, count):  # type: ignore[no-untyped-def]
    """Fill the mask with the tokens in ranges of ``ids``: token by token, or without the others if these are fewer."""
    total = 0
    for place in range(count):
        total += ranges[1, place] - ranges[0, place]
    if 2 * total <= ids.shape[0]:
        mask[:] = 0
        for place in range(count):
            for t in range(ranges[0, place], ranges[1, place]):
                mask[ids[t] >> 5] |= np.uint32(1) << np.uint32(ids[t] & 31)
        return
    mask[:] = every
    start = 0
    for place in range(count + 1):
        stop = ranges[0, place] if place < count else ids.shape[0]
        for t in range(start, stop):
            mask[ids[t] >> 5] &= ~(np.uint32(1) << np.uint32(ids[t] & 31))
        if place < count:
            start = ranges[1, place]
