"""Compiled: a mask by a plan, for a state itself or by comparison with one that differs little."""

from __future__ import annotations

import numba

from latticework.structured.runtime.answers import stops
from latticework.structured.runtime.layout import ENDED, FAR, MANY, NONE, WIDE
from latticework.structured.runtime.lexing import group_of, is_closed, next_state
from latticework.structured.runtime.memory import load_i32, load_i64, load_u8, store_i64
from latticework.structured.runtime.records import plan_at
from latticework.structured.runtime.steps import pop, viable, wants
from latticework.structured.runtime.walks import (
    NO_BUDGET,
    clear_tokens,
    descend,
    from_floor,
    hold_back,
    set_tokens,
    vocabulary_of,
    walk_below,
)


@numba.njit(cache=True)
def fill_planned(machine, tables, address, row, number, state, node, fallback):  # type: ignore[no-untyped-def]
    """A mask by a plan, for ``state`` itself or by comparison with ``fallback``: 0 or a code. Besides those of
    :func:`~.fills.fill`, :data:`~.layout.FAR`: the comparison takes too long."""
    plan = plan_at(address)
    table = tables[number]
    count = state // table.states if table.groups != 0 else 0
    code = _copy_inside(machine, tables, plan, row, number, node, count)
    if code < 0:
        return code
    trie = plan.byte, plan.depth, plan.end, plan.first, plan.ids
    for group in range(plan.groups):
        result = numba.int64(load_i32(plan.results, load_i32(plan.group_results, group)))
        if table.groups != 0:
            total = min(count + load_i32(plan.group_advances, group), table.last)
            result = result * (table.groups + 1) + group_of(table, total)
        from_floor(machine)
        after, after_state, after_node = pop(machine, tables, node, result, False)
        if after < ENDED:
            if stops(after):
                return after
            continue
        root = load_i32(plan.group_roots, group)
        hold_back(machine, plan.first, plan.ids, root, load_i32(plan.end, root), 0)
        set_tokens(row, plan.ids, load_i32(plan.first, root), load_i32(plan.first, root + 1))
        if after != ENDED:
            children = plan.group_children + 1024 * group
            code = walk_below(
                machine, tables, trie, children, root, after, after_state, after_node, row, NO_BUDGET
            )
            if code < 0:
                return code
    for place in range(plan.walked):
        own = numba.int64(load_i32(plan.states, load_i32(plan.walked_states, place)))
        if table.groups != 0:
            own += min(count + load_i32(plan.walked_advances, place), table.last) * table.states
        from_floor(machine)
        start = load_i32(plan.walked_nodes, place)
        code = descend(machine, tables, vocabulary_of(machine), start, number, own, node, row, NO_BUDGET)
        if code < 0:
            return code
    if fallback != NONE:
        code = _overlay(machine, tables, number, state, fallback, node, row, machine.budget)
        return FAR if code == WIDE else min(code, 0)
    return 0


@numba.njit(cache=True)
def _copy_inside(machine, tables, plan, row, number, node, count):  # type: ignore[no-untyped-def]
    """The tokens that stay inside the lexeme. A counting table allows those that do not count too far."""
    room = plan.longest
    if tables[number].groups != 0:
        room = min(plan.longest, _room(machine, tables, plan, number, node, count))
        if room < NONE:
            return room
    inside, fitting = load_i32(plan.token_first, plan.longest + 1), load_i32(plan.token_first, room + 1)
    if 2 * fitting < inside:
        row[:] = 0
        machine.base = 0
        set_tokens(row, plan.tokens, 0, fitting)
        return 0
    machine.base = plan.mask
    for word in range(machine.words):
        row[word] = load_i32(plan.mask, word)
    for word in range(machine.words, row.shape[0]):
        row[word] = 0
    clear_tokens(row, plan.tokens, fitting, inside)
    return 0


@numba.njit(cache=True)
def _room(machine, tables, plan, number, node, count):  # type: ignore[no-untyped-def]
    """How many more steps may count, at least :data:`NONE`, or a code."""
    table = tables[number]
    result = numba.int64(load_i32(plan.results, plan.counted))
    for group in range(table.groups, -1, -1):
        found = wants(machine, tables, number, node, result * (table.groups + 1) + group)
        if found < 0:
            return found
        if found:
            return NO_BUDGET if group == table.groups else max(NONE, load_i32(table.thresholds, group) - 1 - count)
    return NONE


@numba.njit(cache=True)
def _overlay(machine, tables, number, state, fallback, node, row, budget):  # type: ignore[no-untyped-def]
    """Turn the mask of state ``fallback`` into that of ``state`` by walking only where the two differ."""
    table = tables[number]
    store_i64(machine.path_near, 0, state)
    store_i64(machine.path_far, 0, fallback)
    apart = load_u8(table.apart, 16 * state)
    if apart == MANY:
        return _overlay_part(machine, tables, number, node, row, budget, 1, machine.trie_nodes)
    for place in range(16 * state + 1, 16 * state + 1 + apart):
        child = load_i32(machine.trie_children, load_u8(table.apart, place))
        if child:
            stop = load_i32(machine.trie_end, child)
            budget = _overlay_part(machine, tables, number, node, row, budget, child, stop)
            if budget < 0:
                return budget
    return budget


@numba.njit(cache=True)
def _overlay_part(machine, tables, number, node, row, budget, place, stop):  # type: ignore[no-untyped-def]
    """:func:`_overlay` for a part of the trie, of which the states above are in ``path_near`` and ``path_far``."""
    table = tables[number]
    trie = vocabulary_of(machine)
    byte, depth, end, first, ids = trie
    while place < stop:
        level = load_i32(depth, place)
        near, far = load_i64(machine.path_near, level - 1), load_i64(machine.path_far, level - 1)
        if load_i32(table.result, near) == load_i32(table.result, far):
            place = _where_they_differ(machine, table, near, far, place, stop)
            if place >= stop or load_i32(depth, place) != level:
                continue
        letter = load_u8(byte, place)
        target, other = next_state(table, near, letter), next_state(table, far, letter)
        after = load_i32(end, place)
        if budget == 0:
            return WIDE
        budget -= 1
        machine.live += 1
        if target != NONE and other != NONE and not is_closed(table, target) and not is_closed(table, other):
            found = viable(machine, tables, number, target, node)
            if found == 1 and target != other:
                found = viable(machine, tables, number, other, node)
            if stops(found):
                return found
            if found == 1 and target == other:
                place = after
                continue
            if found == 1:
                set_tokens(row, ids, load_i32(first, place), load_i32(first, place + 1))
                store_i64(machine.path_near, level, target)
                store_i64(machine.path_far, level, other)
                place += 1
                continue
        clear_tokens(row, ids, load_i32(first, place), load_i32(first, after))
        machine.node_top, machine.inner = machine.floor, 0
        budget = descend(machine, tables, trie, place, number, near, node, row, budget)
        if budget < 0:
            return budget
        place = after
    return budget


@numba.njit(cache=True)
def _where_they_differ(machine, table, near, far, place, stop):  # type: ignore[no-untyped-def]
    """The next sibling of a trie node on whose byte two states differ, or what follows the last one."""
    byte, depth, end = machine.trie_byte, machine.trie_depth, machine.trie_end
    level = load_i32(depth, place)
    near_row, far_row = table.delta + 4 * near * table.columns, table.delta + 4 * far * table.columns
    skipped = 0
    while place < stop and load_i32(depth, place) == level:
        column = load_u8(table.classes, load_u8(byte, place))
        if load_i32(near_row, column) != load_i32(far_row, column):
            break
        place = load_i32(end, place)
        skipped += 1
    machine.skipped += skipped
    return place
