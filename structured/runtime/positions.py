"""Compiled: stack nodes and configurations, which are numbered when a text first comes to them."""

from __future__ import annotations

import numba

from latticework.structured.runtime.hashing import mix, put
from latticework.structured.runtime.layout import FULL, NONE
from latticework.structured.runtime.members import member
from latticework.structured.runtime.memory import load_i64, store_i64
from latticework.structured.runtime.records import machine_at
from latticework.structured.runtime.steps import begin


@numba.njit(cache=True)
def intern_position(machine, number, state, node):  # type: ignore[no-untyped-def]
    """The number of a position, a new one if needed, or :data:`FULL`. Temporary stack nodes become lasting ones."""
    count = 0
    while node >= machine.node_count:
        store_i64(machine.chain, count, load_i64(machine.nodes, 4 * node + 1))
        count += 1
        node = load_i64(machine.nodes, 4 * node)
    while count:
        count -= 1
        node = _lasting_node(machine, node, load_i64(machine.chain, count))
        if node == FULL:
            return FULL
    slot = _mix_position(number, state, node) & (machine.configuration_slots - 1)
    while True:
        found = load_i64(machine.configuration_index, slot)
        if found == NONE:
            break
        if (
            load_i64(machine.configurations, 3 * found) == number
            and load_i64(machine.configurations, 3 * found + 1) == state
            and load_i64(machine.configurations, 3 * found + 2) == node
        ):
            return found
        slot = (slot + 1) & (machine.configuration_slots - 1)
    found = machine.configuration_count
    if found == machine.configuration_capacity:
        return FULL
    machine.configuration_count += 1
    store_i64(machine.configuration_index, slot, found)
    store_i64(machine.configurations, 3 * found, number)
    store_i64(machine.configurations, 3 * found + 1, state)
    store_i64(machine.configurations, 3 * found + 2, node)
    return found


@numba.njit(cache=True)
def _mix_position(number, state, node):  # type: ignore[no-untyped-def]
    return mix(number + (node << 20), state)


@numba.njit(cache=True)
def adopt(block, number, state, symbols):  # type: ignore[no-untyped-def]
    """The configuration of a table, a state and a stack of ``symbols``, the lowest first: ``int64[., 2]`` as in
    ``pushes``."""
    machine = begin(block)
    node = numba.int64(NONE)
    for place in range(symbols.shape[0]):
        symbol = symbols[place, 0]
        if symbols[place, 1] != NONE:
            symbol = member(machine, symbol, symbols[place, 1])
            if symbol == FULL:
                return FULL
        node = _lasting_node(machine, node, symbol)
        if node == FULL:
            return FULL
    return intern_position(machine, number, state, node)


@numba.njit(cache=True)
def _lasting_node(machine, below, symbol):  # type: ignore[no-untyped-def]
    slot = mix(below, symbol) & (machine.node_slots - 1)
    while True:
        found = load_i64(machine.node_index, slot)
        if found == NONE:
            break
        if load_i64(machine.nodes, 4 * found) == below and load_i64(machine.nodes, 4 * found + 1) == symbol:
            return found
        slot = (slot + 1) & (machine.node_slots - 1)
    found = machine.node_count
    if found == machine.node_capacity:
        return FULL
    machine.node_count += 1
    store_i64(machine.node_index, slot, found)
    store_i64(machine.nodes, 4 * found, below)
    store_i64(machine.nodes, 4 * found + 1, symbol)
    store_i64(machine.nodes, 4 * found + 2, NONE)
    return found


@numba.njit(cache=True)
def reindex_positions(block):  # type: ignore[no-untyped-def]
    """Put all nodes and configurations into new, empty indexes."""
    machine = machine_at(block)
    for node in range(machine.node_count):
        mixed = mix(load_i64(machine.nodes, 4 * node), load_i64(machine.nodes, 4 * node + 1))
        put(machine.node_index, machine.node_slots, mixed, node)
    for found in range(machine.configuration_count):
        number, state = load_i64(machine.configurations, 3 * found), load_i64(machine.configurations, 3 * found + 1)
        node = load_i64(machine.configurations, 3 * found + 2)
        put(machine.configuration_index, machine.configuration_slots, _mix_position(number, state, node), found)
