"""Compiled: finding the plan (:class:`.lexeme_masks.Plan`) for a state of a lexeme and what the stack wants of it."""

from __future__ import annotations

import numba
import numpy as np

from latticework.structured.runtime.answers import stops
from latticework.structured.runtime.hashing import mix_words, put
from latticework.structured.runtime.layout import FULL, NONE, UNKNOWN, WIDE
from latticework.structured.runtime.lexing import has_bit
from latticework.structured.runtime.memory import load_i64, load_u64, store_i64, store_u64
from latticework.structured.runtime.records import machine_at, tables_of
from latticework.structured.runtime.steps import begin, wants


@numba.njit(cache=True)
def plan_for(machine, tables, number, base, node):  # type: ignore[no-untyped-def]
    """The address of the plan for a base state and what the stack wants of it, or a code; 0 for a plain walk, also if
    it wants nothing."""
    table = tables[number]
    words = table.words
    some = False
    for word in range(words):
        store_u64(machine.wanted, word, np.uint64(0))
    for result in range(64 * words):
        if has_bit(table.outcomes + 8 * base * words, words, result):
            for group in range(table.groups + 1):
                found = wants(machine, tables, number, node, result * (table.groups + 1) + group)
                if stops(found):
                    return found
                if found == 1:
                    some = True
                    old = load_u64(machine.wanted, result >> 6)
                    store_u64(machine.wanted, result >> 6, old | np.uint64(1) << np.uint64(result & 63))
                    break
    if machine.missing_count:
        return UNKNOWN
    if not some:
        return 0
    slot = _mix_plan(number, base, machine.wanted, 0, words) & (machine.plan_slots - 1)
    while True:
        found = load_i64(machine.plan_index, slot)
        if found == NONE:
            machine.asked_table, machine.asked_state = number, base
            return WIDE
        if _is_plan(machine, found, number, base, words):
            return load_i64(machine.plans, 5 * found + 4)
        slot = (slot + 1) & (machine.plan_slots - 1)


@numba.njit(cache=True)
def find_plan(block, number, state, symbol):  # type: ignore[no-untyped-def]
    """Ask for the plan of a base state with ``symbol`` on top of the stack: :data:`WIDE` if there is none yet."""
    machine = begin(block)
    top = machine.node_top
    if top == machine.node_capacity:
        return FULL
    store_i64(machine.nodes, 4 * top, NONE)
    store_i64(machine.nodes, 4 * top + 1, symbol)
    store_i64(machine.nodes, 4 * top + 2, NONE)
    store_i64(machine.nodes, 4 * top + 3, 0)
    machine.node_top = top + 1
    return plan_for(machine, tables_of(machine), number, state, top)


@numba.njit(cache=True)
def _is_plan(machine, plan, number, base, words):  # type: ignore[no-untyped-def]
    same = True
    if load_i64(machine.plans, 5 * plan) != number or load_i64(machine.plans, 5 * plan + 1) != base:
        return False
    first = load_i64(machine.plans, 5 * plan + 2)
    for word in range(words):
        same &= load_i64(machine.plan_words, first + word) == load_i64(machine.wanted, word)
    return same


@numba.njit(cache=True)
def add_plan(block, number, base, words, address):  # type: ignore[no-untyped-def]
    """Answer :data:`WIDE`: the plan for what was asked."""
    machine = machine_at(block)
    plan = machine.plan_count
    first = numba.int64(0)
    if plan:
        first = load_i64(machine.plans, 5 * plan - 3) + load_i64(machine.plans, 5 * plan - 2)
    store_i64(machine.plans, 5 * plan, number)
    store_i64(machine.plans, 5 * plan + 1, base)
    store_i64(machine.plans, 5 * plan + 2, first)
    store_i64(machine.plans, 5 * plan + 3, words)
    store_i64(machine.plans, 5 * plan + 4, address)
    for word in range(words):
        store_i64(machine.plan_words, first + word, load_i64(machine.wanted, word))
    machine.plan_count += 1
    _index_plan(machine, plan)


@numba.njit(cache=True)
def reindex_plans(block):  # type: ignore[no-untyped-def]
    """Put all plans into a new, empty index."""
    machine = machine_at(block)
    for plan in range(machine.plan_count):
        _index_plan(machine, plan)


@numba.njit(cache=True)
def _index_plan(machine, plan):  # type: ignore[no-untyped-def]
    number, base = load_i64(machine.plans, 5 * plan), load_i64(machine.plans, 5 * plan + 1)
    first, words = load_i64(machine.plans, 5 * plan + 2), load_i64(machine.plans, 5 * plan + 3)
    put(machine.plan_index, machine.plan_slots, _mix_plan(number, base, machine.plan_words, first, words), plan)


@numba.njit(cache=True)
def _mix_plan(number, base, address, first, words):  # type: ignore[no-untyped-def]
    return mix_words(number + (base << 20), address, first, words)
