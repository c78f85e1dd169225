"""Compiled: the mask of a configuration, out of plans, walks and what is ready."""

from __future__ import annotations

import numba

from latticework.structured.runtime.answers import stops
from latticework.structured.runtime.layout import (
    ENDED,
    FAR,
    LOOPS,
    MAX_CHAIN,
    MAX_SUSPECTS,
    NEVER,
    NONE,
    UNKNOWN,
    WIDE,
)
from latticework.structured.runtime.lexing import group_of, is_closed, next_state, result_at
from latticework.structured.runtime.memory import load_i32, load_i64, load_u8, row_at, store_u8
from latticework.structured.runtime.planned import fill_planned
from latticework.structured.runtime.plans import plan_for
from latticework.structured.runtime.ready import keep, restore
from latticework.structured.runtime.records import machine_at, plan_at, tables_of
from latticework.structured.runtime.steps import begin, ends, pop, viable
from latticework.structured.runtime.walks import (
    NO_BUDGET,
    clear_tokens,
    descend,
    from_floor,
    set_tokens,
    suspect,
    vocabulary_of,
    walk_below,
)

#: A state from where a walk descends to more than ``HOT`` trie nodes gets a lexeme mask when it was seen so many times.
HOT = 256


HOT_VISITS = 3


@numba.njit(cache=True)
def fill(block, row, configuration):  # type: ignore[no-untyped-def]
    """Write the mask of a configuration to ``row`` (``int32[>= words]``).

    Returns:
        How many tokens there are in ``suspects``: they are allowed if :func:`~.accepting.accept` takes them, whatever
        the row says. Or :data:`UNKNOWN` if answers are missing; :data:`FULL`; :data:`LOOPS`; or :data:`WIDE` if there
        must first be a plan for the base state ``asked_state`` of table ``asked_table`` and the base results
        ``wanted``. The row is not complete then.
    """
    machine = machine_at(block)
    if restore(machine, row, configuration):
        return 0
    begin(block)
    tables = tables_of(machine)
    number = load_i64(machine.configurations, 3 * configuration)
    state = load_i64(machine.configurations, 3 * configuration + 1)
    node = load_i64(machine.configurations, 3 * configuration + 2)
    machine.floor, machine.floor_seen = machine.node_top, 0
    machine.base = 0
    code = 0
    if number >= 0:
        code = _fill_from(machine, tables, row, number, state, node)
    else:
        row[:] = 0
    if code >= 0:
        code = _finish(machine, tables, row, number, state, node)
    if code == 0:
        keep(machine, row, configuration)
    return code


@numba.njit(cache=True)
def _fill_from(machine, tables, row, number, state, node):  # type: ignore[no-untyped-def]
    """The tokens with text at a position: 0 or a code of :func:`fill`.

    Where a lexeme may be over before any byte, what follows it is next, for the tokens that its own first bytes leave.
    """
    code, plan = _fill_lexeme(machine, tables, row, number, state, node)
    if code < 0 or plan == 0:
        return code
    table = tables[number]
    base = machine.base
    from_floor(machine)
    after, after_state, after_node = pop(machine, tables, node, result_at(table, table.result, state), False)
    if after < 0:
        return after if stops(after) else 0
    inner = machine.inner
    if not _is_wide(tables[after], after_state):
        code = _go_on(machine, tables, number, state, node, after, after_state, after_node, row)
        if code != WIDE:
            return min(code, 0)
    if inner:
        machine.suspect_count = MAX_SUSPECTS + 1
    left, spare = row_at(machine.keep, machine.words), row_at(machine.spare, machine.words)
    for word in range(machine.words):
        left[word] = -1
    for _ in range(MAX_CHAIN):
        outside = row_at(plan_at(plan).outside, machine.words)
        for word in range(machine.words):
            left[word] &= outside[word]
        machine.floor, machine.floor_seen = machine.node_top, machine.seen
        code, plan = _fill_lexeme(machine, tables, spare, after, after_state, after_node)
        machine.base = base
        if code < 0:
            return code
        for word in range(machine.words):
            row[word] |= spare[word] & left[word]
        if plan == 0:
            return 0
        table = tables[after]
        result = result_at(table, table.result, after_state)
        from_floor(machine)
        after, after_state, after_node = pop(machine, tables, after_node, result, False)
        if after < 0:
            return after if stops(after) else 0
        if machine.inner:
            machine.suspect_count = MAX_SUSPECTS + 1
    return LOOPS


@numba.njit(cache=True)
def _is_wide(table, state):  # type: ignore[no-untyped-def]
    return load_u8(table.wide, state if table.groups == 0 else state % table.states) != 0


@numba.njit(cache=True)
def _fill_lexeme(machine, tables, row, number, state, node):  # type: ignore[no-untyped-def]
    """The tokens at a position, except for those before which the lexeme is over if there is a plan for it.

    Returns:
        0 or a code of :func:`fill`; the address of the plan if those tokens are left to do, otherwise 0.
    """
    table = tables[number]
    base = state if table.groups == 0 else state % table.states
    fallback = numba.int64(NONE)
    if not load_u8(table.wide, base) and load_i32(table.alike, base) != NONE:
        base = fallback = numba.int64(load_i32(table.alike, base))
    plan = numba.int64(0)
    if load_u8(table.wide, base):
        plan = plan_for(machine, tables, number, base, node)
        if plan < 0:
            return plan, 0
    if plan and not (fallback != NONE and plan_at(plan).lookahead):
        code = fill_planned(machine, tables, plan, row, number, state, node, fallback)
        if code != FAR:
            return code, plan if plan_at(plan).lookahead else 0
    if fallback != NONE:
        base = state
    heat = load_u8(table.heat, base)
    row[:] = 0
    machine.base = 0
    from_floor(machine)
    live = machine.live
    budget = NO_BUDGET if load_u8(table.wide, base) or heat == NEVER else machine.budget
    left = walk_below(
        machine, tables, vocabulary_of(machine), machine.trie_children, 0, number, state, node, row, budget
    )
    if left == WIDE:
        return plan_for(machine, tables, number, base, node), 0
    if machine.live - live > HOT and heat < NEVER and not machine.missing_count:
        store_u8(table.heat, base, heat + 1)
        if heat + 1 >= HOT_VISITS:
            store_u8(table.wide, base, 1)
    return min(left, 0), 0


@numba.njit(cache=True)
def _go_on(machine, tables, number, state, node, after, after_state, after_node, row):  # type: ignore[no-untyped-def]
    """Add the tokens whose first byte leaves a lexeme that may be over, by a walk: what is left of its budget, or a
    code."""
    byte, end = machine.trie_byte, machine.trie_end
    top, seen, inner = machine.node_top, machine.seen, machine.inner
    budget = machine.budget
    place = 1
    while place < machine.trie_nodes:
        if leaves(machine, tables, number, state, node, load_u8(byte, place)):
            machine.node_top, machine.seen, machine.inner = top, seen, inner
            budget = descend(
                machine, tables, vocabulary_of(machine), place, after, after_state, after_node, row, budget
            )
            if budget < 0:
                return budget
        place = load_i32(end, place)
    return budget


@numba.njit(cache=True)
def leaves(machine, tables, number, state, node, byte):  # type: ignore[no-untyped-def]
    """Whether no transition on ``byte`` can be taken (those that close the lexeme are looked at elsewhere)."""
    target = next_state(tables[number], state, byte)
    if target == NONE:
        return True
    if is_closed(tables[number], target):
        return False
    return viable(machine, tables, number, target, node) == 0


@numba.njit(cache=True)
def _finish(machine, tables, row, number, state, node):  # type: ignore[no-untyped-def]
    """Special tokens and the end of the text."""
    machine.node_top, machine.seen, machine.inner, machine.position = machine.node_count, 0, 0, 0
    for place in range(machine.eos_count):
        clear_tokens(row, machine.eos, place, place + 1)
    code = _set_specials(machine, tables, row, number, state, node)
    if code < 0:
        return code
    machine.node_top, machine.seen, machine.inner, machine.position = machine.node_count, 0, 0, 0
    code = ends(machine, tables, number, state, node)
    if code == 1:
        set_tokens(row, machine.eos, 0, machine.eos_count)
        if machine.inner:
            suspect(machine, machine.eos, 0, machine.eos_count, NONE)
    if code < 0:
        return code
    return UNKNOWN if machine.missing_count else machine.suspect_count


@numba.njit(cache=True)
def _set_specials(machine, tables, row, number, state, node):  # type: ignore[no-untyped-def]
    for _ in range(MAX_CHAIN):
        if number < 0:
            return number if stops(number) else 0
        table = tables[number]
        own = state if table.groups == 0 else state % table.states
        top, seen = machine.node_top, machine.seen
        for place in range(table.special_count):
            if load_i32(table.specials, 3 * place) == own:
                result = numba.int64(load_i32(table.specials, 3 * place + 2))
                if table.groups != 0:
                    result = result * (table.groups + 1) + group_of(table, state // table.states)
                code, _, _ = pop(machine, tables, node, result, False)
                if stops(code):
                    return code
                if code >= ENDED:
                    set_tokens(row, table.specials, 3 * place + 1, 3 * place + 2)
                    if machine.inner:
                        suspect(machine, table.specials, 3 * place + 1, 3 * place + 2, NONE)
                machine.node_top, machine.seen = top, seen
        result = result_at(table, table.result, state)
        if result == NONE:
            return 0
        number, state, node = pop(machine, tables, node, result, False)
    return LOOPS
