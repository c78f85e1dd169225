"""Compiled walks of a trie: from a position to the tokens allowed there.

A walk descends as long as the bytes step (:func:`~.steps.step`), and sets the bits of the tokens it passes. Both tries
it may be given have the layout of :mod:`latticework.structured.trie`: that of the vocabulary, and the small ones of
what is left of the tokens that end a lexeme (:mod:`.lexeme_masks`).
"""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.answers import stops
from latticework.structured.runtime.layout import ENDED, MANY, MAX_SUSPECTS, NONE, WIDE
from latticework.structured.runtime.memory import load_i32, load_i64, load_u8, store_i64
from latticework.structured.runtime.steps import step

#: For walks that are known to end soon.
NO_BUDGET = 1 << 40


@numba.njit(cache=True)
def set_tokens(row, ids, low, high):  # type: ignore[no-untyped-def]
    """Allow the tokens at these places of ``ids``."""
    for place in range(low, high):
        token = load_i32(ids, place)
        row[token >> 5] |= np.int32(np.uint32(1) << np.uint32(token & 31))


@numba.njit(cache=True)
def clear_tokens(row, ids, low, high):  # type: ignore[no-untyped-def]
    """Forbid the tokens at these places of ``ids``."""
    for place in range(low, high):
        token = load_i32(ids, place)
        row[token >> 5] &= ~np.int32(np.uint32(1) << np.uint32(token & 31))


@numba.njit(cache=True)
def suspect(machine, ids, low, high, level):  # type: ignore[no-untyped-def]
    """Hold tokens back for an exact look. ``level``: how many bytes were read since ``position`` 0, or :data:`NONE`."""
    for place in range(low, high):
        if machine.suspect_count <= MAX_SUSPECTS:
            token = numba.int64(load_i32(ids, place))
            if machine.inner == 3 and level != NONE:
                token = -1 - (token | (level - machine.held_position) << 32 | machine.held_result << 48)
            store_i64(machine.suspects, machine.suspect_count, token)
            machine.suspect_count += 1


@numba.njit(cache=True)
def hold_back(machine, first, ids, place, after, level):  # type: ignore[no-untyped-def]
    """Hold back the tokens at a trie node, and leave ``machine.inner`` set for those below; or all of these at once."""
    if machine.inner == 1 or machine.inner == 3:
        suspect(machine, ids, load_i32(first, place), load_i32(first, place + 1), level)
    elif machine.inner == 2:
        suspect(machine, ids, load_i32(first, place), load_i32(first, after), level)
        machine.inner = 0


@numba.njit(cache=True)
def walk(machine, tables, trie, root, number, state, node, row, budget, read):  # type: ignore[no-untyped-def]
    """Allow the tokens below the trie node ``root``, which was reached at a position.

    Args:
        machine, tables: See :mod:`.steps`.
        trie: Addresses of ``byte, depth, end, first_id, ids``.
        root: Where to begin.
        number, state, node: The position there.
        row: ``int32[words]``, written in place.
        budget: How many trie nodes may be descended to.
        read: How many bytes of the tokens were read on the stack at hand: 0, or 1 by :func:`descend`.

    Returns:
        What is left of the budget, or :data:`WIDE`, :data:`FULL`, :data:`LOOPS`.
    """
    byte, depth, end, first, ids = trie
    base = load_i32(depth, root) - read
    store_i64(machine.path_table, read, number)
    store_i64(machine.path_state, read, state)
    store_i64(machine.path_node, read, node)
    store_i64(machine.path_top, read, machine.node_top)
    store_i64(machine.path_seen, read, machine.seen | machine.inner << 1)
    place = root + 1
    stop = load_i32(end, root)
    skipped = 0
    while place < stop:
        depth_here = load_i32(depth, place)
        level = depth_here - base
        number, state = load_i64(machine.path_table, level - 1), load_i64(machine.path_state, level - 1)
        table = tables[number]
        if table.groups == 0 and load_i32(table.result, state) == NONE:
            # Most siblings have no transition: find the next that has.
            row_of_state = table.delta + 4 * state * table.columns
            while load_i32(row_of_state, load_u8(table.classes, load_u8(byte, place))) == NONE:
                place = load_i32(end, place)
                skipped += 1
                if place >= stop or load_i32(depth, place) != depth_here:
                    break
            if place >= stop or load_i32(depth, place) != depth_here:
                continue
        machine.node_top = load_i64(machine.path_top, level - 1)
        seen = load_i64(machine.path_seen, level - 1)
        machine.seen, machine.inner = seen & 1, seen >> 1
        node = load_i64(machine.path_node, level - 1)
        machine.position = level - 1
        number, state, node = step(machine, tables, number, state, node, load_u8(byte, place))
        after = load_i32(end, place)
        if number < ENDED:
            if stops(number):
                return number
            skipped += 1
            place = after
            continue
        if budget == 0:
            return WIDE
        budget -= 1
        machine.live += 1
        set_tokens(row, ids, load_i32(first, place), load_i32(first, place + 1))
        hold_back(machine, first, ids, place, after, level)
        if number == ENDED:
            place = after
            continue
        store_i64(machine.path_table, level, number)
        store_i64(machine.path_state, level, state)
        store_i64(machine.path_node, level, node)
        store_i64(machine.path_top, level, machine.node_top)
        store_i64(machine.path_seen, level, machine.seen | machine.inner << 1)
        place += 1
    machine.skipped += skipped
    return budget


@numba.njit(cache=True)
def descend(machine, tables, trie, place, number, state, node, row, budget):  # type: ignore[no-untyped-def]
    """Step over the byte of one trie node, then :func:`walk` what is below it.

    With ``machine.inner`` set all tokens are held back (:func:`suspect`).
    """
    byte, _, end, first, ids = trie
    machine.position = 0
    number, state, node = step(machine, tables, number, state, node, load_u8(byte, place))
    if number < ENDED:
        machine.skipped += 1
        return number if stops(number) else budget
    if budget == 0:
        return WIDE
    budget -= 1
    machine.live += 1
    set_tokens(row, ids, load_i32(first, place), load_i32(first, place + 1))
    hold_back(machine, first, ids, place, load_i32(end, place), 1)
    if number == ENDED:
        return budget
    return walk(machine, tables, trie, place, number, state, node, row, budget, 1)


@numba.njit(cache=True)
def walk_below(machine, tables, trie, children, root, number, state, node, row, budget):  # type: ignore[no-untyped-def]
    """:func:`walk` that sees only the bytes that go on, where these are few.

    ``children``: the address of the child of ``root`` for each byte.
    """
    table = tables[number]
    if table.groups != 0 or load_i32(table.result, state) != NONE or load_u8(table.few, 16 * state) == MANY:
        return walk(machine, tables, trie, root, number, state, node, row, budget, 0)
    top, seen, inner = machine.node_top, machine.seen, machine.inner
    for place in range(16 * state + 1, 16 * state + 1 + load_u8(table.few, 16 * state)):
        child = load_i32(children, load_u8(table.few, place))
        if child:
            machine.node_top, machine.seen, machine.inner = top, seen, inner
            budget = descend(machine, tables, trie, child, number, state, node, row, budget)
            if budget < 0:
                return budget
    return budget


@numba.njit(cache=True)
def vocabulary_of(machine):  # type: ignore[no-untyped-def]
    """The vocabulary's trie, as walks take it."""
    return machine.trie_byte, machine.trie_depth, machine.trie_end, machine.trie_first, machine.trie_ids


@numba.njit(cache=True)
def from_floor(machine):  # type: ignore[no-untyped-def]
    """Go back to where the walk of a lexeme begins."""
    machine.node_top, machine.seen, machine.inner = machine.floor, machine.floor_seen, 0
    machine.position = 0
