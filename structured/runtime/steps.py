"""Compiled steps of a pushdown source: what follows a byte or a result. Nothing here allocates or calls Python.

Semantics are those of :class:`latticework.structured.pushdown.automaton.PushdownAutomaton`, which the tests compare
with. What a kernel does not know it writes down (:data:`~.layout.UNKNOWN`), and the caller asks the source and calls
again. ``machine`` is the one record of :data:`.layout.MACHINE`, ``tables`` the grammar's :data:`.layout.TABLE` records.
"""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.answers import find_answer, stops
from latticework.structured.runtime.layout import (
    CAPTURE,
    DEAD,
    DEPENDING,
    ENDED,
    ENTERS,
    FULL,
    LOOPS,
    MAX_CHAIN,
    MAX_LENGTH,
    NONE,
    REFUSES,
    RETURNED,
    UNKNOWN,
)
from latticework.structured.runtime.lexing import group_of, has_bit, is_closed, next_state, result_at
from latticework.structured.runtime.members import grown
from latticework.structured.runtime.memory import load_i64, load_u64, store_i64, store_u64
from latticework.structured.runtime.records import machine_at

_ONE = np.uint64(1)


@numba.njit(cache=True)
def begin(block):  # type: ignore[no-untyped-def]
    """Before any work: nothing is missing, nothing is held back, and no stack node is temporary."""
    machine = machine_at(block)
    machine.missing_count = 0
    machine.node_top = machine.node_count
    machine.scratch_count = 0
    machine.suspect_count = 0
    machine.seen = 0
    machine.inner = 0
    machine.consumed = 0
    machine.position = 0
    machine.start_count = 0
    machine.popped = 0
    machine.skip = 0
    return machine


@numba.njit(cache=True)
def follow(machine, tables, answer, node, source, exact):  # type: ignore[no-untyped-def]
    """Do what an answer says on the stack ``node``: a position, or ``(RETURNED, result, node)``.

    ``source``: the symbol that goes on, whose set the symbols of families take over.
    """
    row = 5 * answer
    kind = load_i64(machine.answers, row)
    if kind == REFUSES:
        return DEAD, NONE, NONE
    first = load_i64(machine.answers, row + 3)
    for place in range(first, first + load_i64(machine.answers, row + 4)):
        symbol = load_i64(machine.pushes, 2 * place)
        add = load_i64(machine.pushes, 2 * place + 1)
        if add != NONE:
            symbol = grown(machine, symbol, source, add)
            if symbol == FULL:
                return FULL, NONE, NONE
        top = machine.node_top
        if top == machine.node_capacity:
            return FULL, NONE, NONE
        store_i64(machine.nodes, 4 * top, node)
        store_i64(machine.nodes, 4 * top + 1, symbol)
        store_i64(machine.nodes, 4 * top + 2, NONE)
        store_i64(machine.nodes, 4 * top + 3, machine.position + machine.consumed)
        machine.node_top = top + 1
        node = top
        if exact and load_i64(machine.symbols, 5 * symbol + 2):
            store_i64(machine.starts, machine.start_count, machine.position + machine.consumed)
            machine.start_count += 1
    value = load_i64(machine.answers, row + 2)
    if kind == ENTERS:
        number = load_i64(machine.answers, row + 1)
        table = tables[number]
        if not is_closed(table, value):
            return number, value, node
        value = result_at(table, table.result, value)
    return RETURNED, value, node


@numba.njit(cache=True)
def pop(machine, tables, node, result, exact):  # type: ignore[no-untyped-def]
    """Give ``result`` to the symbol on top of ``node``, and so on up to the next lexeme.

    Returns:
        The position, or one of the codes of :mod:`.layout` with two numbers. With ``exact``, a symbol that captures
        stops it: ``(CAPTURE, result, node)``. Without, captured texts are left out of account; ``machine.seen`` notes
        that one ended, and ``machine.inner`` that less may follow (1: it began in the same token and might be refused,
        or what follows depends on it; 3: only what follows one that began before depends on it) or other things (2).
    """
    for _ in range(MAX_CHAIN):
        if node == NONE:
            return ENDED, NONE, NONE
        symbol = load_i64(machine.nodes, 4 * node + 1)
        goal = load_i64(machine.symbols, 5 * symbol)
        if goal != NONE and not has_bit(machine.goals + 8 * goal, load_i64(machine.symbols, 5 * symbol + 1), result):
            return DEAD, NONE, NONE
        captures = load_i64(machine.symbols, 5 * symbol + 2)
        if captures:
            if exact:
                return CAPTURE, result, node
            if captures == NONE:
                machine.inner = 2
            elif machine.inner != 1 and machine.inner != 2:
                differs = _may_differ(machine, symbol, captures, result, node)
                if differs == 3 and machine.inner == 0:
                    machine.held_position, machine.held_result = machine.position + machine.consumed, result
                if differs == 1 or machine.inner == 0:
                    machine.inner = differs
            machine.seen = 1
        answer = find_answer(machine, load_i64(machine.symbols, 5 * symbol + 3), result)
        if answer == NONE:
            return UNKNOWN, NONE, NONE
        table, state, node = follow(machine, tables, answer, load_i64(machine.nodes, 4 * node), symbol, exact)
        if table != RETURNED:
            return table, state, node
        result = state
    return LOOPS, NONE, NONE


@numba.njit(cache=True)
def _may_differ(machine, symbol, captures, result, node):  # type: ignore[no-untyped-def]
    """Whether less may follow a captured text than without it: 0, or as ``machine.inner`` has it."""
    if captures < 0 and (result >= DEPENDING or captures >> result & 1 != 0):
        return 3 if node < machine.node_count and result < DEPENDING else 1
    if node < machine.node_count:
        return 0
    return numba.int64(machine.seen != 0 or (captures > 0 and _may_be_refused(machine, symbol, node)))


@numba.njit(cache=True)
def _may_be_refused(machine, symbol, node):  # type: ignore[no-untyped-def]
    """Whether a symbol refuses a text as long as that since ``node`` was pushed."""
    length = machine.position + machine.consumed - load_i64(machine.nodes, 4 * node + 3)
    return load_i64(machine.symbols, 5 * symbol + 2) >> (1 + min(length, MAX_LENGTH)) & 1 != 0


@numba.njit(cache=True)
def viable(machine, tables, number, state, node):  # type: ignore[no-untyped-def]
    """Whether the lexeme can still end in a result that the stack takes: 1, 0, or a code."""
    table = tables[number]
    symbol = load_i64(machine.nodes, 4 * node + 1)
    goal = load_i64(machine.symbols, 5 * symbol)
    if goal == NONE:
        return _viable_below(machine, tables, number, state, node)
    if table.groups != 0:
        return _viable_counted(machine, table, state, goal, load_i64(machine.symbols, 5 * symbol + 1))
    words = min(table.words, load_i64(machine.symbols, 5 * symbol + 1))
    for word in range(words):
        if load_u64(table.outcomes, state * table.words + word) & load_u64(machine.goals, goal + word):
            return 1
    return 0


@numba.njit(cache=True)
def _viable_counted(machine, table, state, goal, words):  # type: ignore[no-untyped-def]
    row = (state % table.states) * table.words
    first = group_of(table, state // table.states)
    for result in range(64 * table.words):
        if has_bit(table.outcomes + 8 * row, table.words, result):
            for group in range(first, table.groups + 1):
                if has_bit(machine.goals + 8 * goal, words, result * (table.groups + 1) + group):
                    return 1
    return 0


@numba.njit(cache=True)
def _viable_below(machine, tables, number, state, node):  # type: ignore[no-untyped-def]
    """:func:`viable` where the goal depends on the stack: follow the chain of answers of each result, once a node."""
    table = tables[number]
    row = (state % table.states) * table.words
    first = group_of(table, state // table.states)
    unknown = 0
    for result in range(64 * table.words):
        if has_bit(table.outcomes + 8 * row, table.words, result):
            for group in range(first, table.groups + 1):
                found = takes(machine, tables, node, result * (table.groups + 1) + group, table)
                if found == 1 or stops(found):
                    return found
                if found == UNKNOWN:
                    unknown = UNKNOWN
    return unknown


@numba.njit(cache=True)
def takes(machine, tables, node, result, table):  # type: ignore[no-untyped-def]
    """Whether the stack ``node`` takes ``result``, whatever was captured: 1, 0 or a code. The answer is noted."""
    words = table.words * (table.groups + 1)
    place = load_i64(machine.nodes, 4 * node + 2)
    address, first = machine.noted, place
    if place < NONE:
        address, first = machine.scratch, -2 - place
    if place == NONE or numba.int64(load_u64(address, first)) < words:
        if node < machine.node_count:
            address, first = machine.noted, machine.noted_count
            if first + 2 * words + 1 > machine.noted_capacity:
                return FULL
            machine.noted_count += 2 * words + 1
            store_i64(machine.nodes, 4 * node + 2, first)
        else:
            address, first = machine.scratch, machine.scratch_count
            if first + 2 * words + 1 > machine.scratch_capacity:
                return FULL
            machine.scratch_count += 2 * words + 1
            store_i64(machine.nodes, 4 * node + 2, -2 - first)
        store_u64(address, first, numba.uint64(words))
        for word in range(first + 1, first + 1 + 2 * words):
            store_u64(address, word, np.uint64(0))
    words = numba.int64(load_u64(address, first))
    known, good = address + 8 * (first + 1), address + 8 * (first + 1 + words)
    if has_bit(known, words, result):
        return numba.int64(has_bit(good, words, result))
    top, seen, inner = machine.node_top, machine.seen, machine.inner
    code, _, _ = pop(machine, tables, node, result, False)
    machine.node_top, machine.seen, machine.inner = top, seen, inner
    if code < DEAD:
        return code
    bit = _ONE << np.uint64(result & 63)
    store_u64(known, result >> 6, load_u64(known, result >> 6) | bit)
    if code == DEAD:
        return 0
    store_u64(good, result >> 6, load_u64(good, result >> 6) | bit)
    return 1


@numba.njit(cache=True)
def wants(machine, tables, number, node, result):  # type: ignore[no-untyped-def]
    """Whether the symbol on top can be completed with ``result``: 1, 0 or a code."""
    symbol = load_i64(machine.nodes, 4 * node + 1)
    goal = load_i64(machine.symbols, 5 * symbol)
    if goal == NONE:
        return takes(machine, tables, node, result, tables[number])
    return numba.int64(has_bit(machine.goals + 8 * goal, load_i64(machine.symbols, 5 * symbol + 1), result))


@numba.njit(cache=True)
def step(machine, tables, number, state, node, byte):  # type: ignore[no-untyped-def]
    """The position after ``byte``, captured texts left out of account, or a code. It is the token's byte number
    ``machine.position``."""
    for _ in range(MAX_CHAIN):
        if number < 0:
            return DEAD, NONE, NONE
        table = tables[number]
        target = next_state(table, state, byte)
        if target != NONE:
            if is_closed(table, target):
                result = result_at(table, table.result, target)
                machine.consumed = 1
                after, after_state, after_node = pop(machine, tables, node, result, False)
                machine.consumed = 0
                if after != DEAD:
                    return after, after_state, after_node
            else:
                found = viable(machine, tables, number, target, node)
                if found == 1:
                    return number, target, node
                if found != 0:
                    return found, NONE, NONE
        result = result_at(table, table.result, state)
        if result == NONE:
            return DEAD, NONE, NONE
        number, state, node = pop(machine, tables, node, result, False)
        if number < ENDED:
            return number, NONE, NONE
    return LOOPS, NONE, NONE


@numba.njit(cache=True)
def ends(machine, tables, number, state, node):  # type: ignore[no-untyped-def]
    """Whether the text may end at a position, captured texts left out of account: 1, 0 or a code."""
    for _ in range(MAX_CHAIN):
        if number == ENDED:
            return 1
        table = tables[number]
        result = result_at(table, table.end, state)
        if result == NONE:
            return 0
        number, state, node = pop(machine, tables, node, result, False)
        if number < ENDED:
            return 0 if number == DEAD else number
    return LOOPS
