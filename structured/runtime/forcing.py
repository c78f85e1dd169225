"""Compiled: the bytes that leave no choice."""

from __future__ import annotations

import numba

from latticework.structured.runtime.answers import stops
from latticework.structured.runtime.layout import DEAD, ENDED, MAX_CHAIN, NONE, UNKNOWN
from latticework.structured.runtime.lexing import result_at
from latticework.structured.runtime.memory import load_i32, load_i64
from latticework.structured.runtime.records import tables_of
from latticework.structured.runtime.steps import begin, ends, pop, step


@numba.njit(cache=True)
def forced(block, configuration, text):  # type: ignore[no-untyped-def]
    """Write to ``text`` (``uint8[.]``) the bytes that leave no choice.

    Returns:
        ``(how many, 0 or a code)``; :data:`UNKNOWN`: more may follow.
    """
    machine = begin(block)
    tables = tables_of(machine)
    number = load_i64(machine.configurations, 3 * configuration)
    state = load_i64(machine.configurations, 3 * configuration + 1)
    node = load_i64(machine.configurations, 3 * configuration + 2)
    count = 0
    while count < text.shape[0] and number >= 0:
        end_code = ends(machine, tables, number, state, node)
        special = _any_special(machine, tables, number, state, node)
        allowed, byte, top = 0, 0, machine.node_top
        position = DEAD, NONE, NONE
        for candidate in range(256):
            machine.node_top = top
            found = step(machine, tables, number, state, node, candidate)
            if stops(found[0]):
                return count, found[0]
            if found[0] >= ENDED:
                allowed += 1
                byte, position, top = candidate, found, machine.node_top
            if allowed > 1:
                return count, 0
        if machine.missing_count:
            return count, UNKNOWN
        if allowed == 0 or special or end_code != 0:
            break
        machine.node_top = top
        text[count] = byte
        count += 1
        number, state, node = position
    return count, 0


@numba.njit(cache=True)
def _any_special(machine, tables, number, state, node):  # type: ignore[no-untyped-def]
    for _ in range(MAX_CHAIN):
        if number < 0:
            return False
        table = tables[number]
        own = state if table.groups == 0 else state % table.states
        for place in range(table.special_count):
            if load_i32(table.specials, 3 * place) == own:
                return True
        result = result_at(table, table.result, state)
        if result == NONE:
            return False
        number, state, node = pop(machine, tables, node, result, False)
    return True
