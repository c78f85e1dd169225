"""Compiled: the answers of a source that are known, and writing down those that are missing."""

from __future__ import annotations

import numba

from latticework.structured.runtime.hashing import mix, put
from latticework.structured.runtime.layout import FULL, LOOPS, MAX_MISSING, NONE
from latticework.structured.runtime.memory import load_i64, store_i64
from latticework.structured.runtime.records import machine_at


@numba.njit(cache=True)
def stops(code):  # type: ignore[no-untyped-def]
    """Whether a kernel cannot go on at all."""
    return code in (FULL, LOOPS)


@numba.njit(cache=True)
def find_answer(machine, symbol, result):  # type: ignore[no-untyped-def]
    """The number of the answer to ``(symbol, result)``; :data:`NONE`, and written down, if it is not known."""
    key = symbol << 32 | result
    slot = mix(symbol, result) & (machine.answer_slots - 1)
    while True:
        found = load_i64(machine.answer_keys, slot)
        if found == key:
            return load_i64(machine.answer_values, slot)
        if found == NONE:
            break
        slot = (slot + 1) & (machine.answer_slots - 1)
    for index in range(machine.missing_count):
        if load_i64(machine.missing, index) == key:
            return NONE
    if machine.missing_count < MAX_MISSING:
        store_i64(machine.missing, machine.missing_count, key)
        machine.missing_count += 1
    return NONE


@numba.njit(cache=True)
def index_answer(block, key, answer):  # type: ignore[no-untyped-def]
    """Let an answer be found by :func:`find_answer`."""
    _index_answer(machine_at(block), key, answer)


@numba.njit(cache=True)
def _index_answer(machine, key, answer):  # type: ignore[no-untyped-def]
    slot = put(machine.answer_keys, machine.answer_slots, mix(key >> 32, key & 0xFFFFFFFF), key)
    store_i64(machine.answer_values, slot, answer)


@numba.njit(cache=True)
def reindex_answers(block, keys, values):  # type: ignore[no-untyped-def]
    """Put the answers of an old index into a new, empty one."""
    machine = machine_at(block)
    for place in range(keys.shape[0]):
        if keys[place] != NONE:
            _index_answer(machine, keys[place], values[place])
