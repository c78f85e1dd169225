"""Compiled: the symbols of a family (:mod:`latticework.structured.pushdown.family`) and their sets, numbered.

A set is interned, so that equal sets have one number; number 0 is the empty one. A symbol is found by its family and
its set, and made when it is first needed, with its goal. Nothing here calls Python.
"""

from __future__ import annotations

from collections.abc import Collection

import numba
import numpy as np

from latticework.structured.pushdown.family import Kind
from latticework.structured.runtime.hashing import mix, mix_words, put
from latticework.structured.runtime.layout import DEPENDING, FULL, MAX_LENGTH, NONE
from latticework.structured.runtime.memory import load_i64, load_u64, store_i64, store_u64
from latticework.structured.runtime.records import machine_at

_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_CARRY, _GAP = int(Kind.CARRY), int(Kind.GAP)


@numba.njit(cache=True)
def grown(machine, anchor, symbol, add):  # type: ignore[no-untyped-def]
    """The symbol of a family with the set of ``symbol`` and the set number ``add``, or :data:`FULL`."""
    own = load_i64(machine.symbols, 5 * symbol + 4)
    if own != add and add != 0:
        own = _union(machine, own, add) if own != 0 else add
        if own == FULL:
            return FULL
    return member(machine, anchor, own)


@numba.njit(cache=True)
def member(machine, anchor, own):  # type: ignore[no-untyped-def]
    """The symbol of a family with a set, or :data:`FULL`. ``anchor``: the number that stands for the family."""
    slot = mix(anchor, own) & (machine.member_slots - 1)
    while True:
        found = load_i64(machine.member_index, slot)
        if found == NONE:
            break
        if load_i64(machine.symbols, 5 * found + 3) == anchor and load_i64(machine.symbols, 5 * found + 4) == own:
            return found
        slot = (slot + 1) & (machine.member_slots - 1)
    family = load_i64(machine.symbols, 5 * anchor)
    words = load_i64(machine.families, 5 * family + 1)
    found = machine.symbol_count
    if found == machine.symbol_capacity or machine.goal_count + words > machine.goal_capacity:
        return FULL
    row = 5 * found
    store_i64(machine.symbols, row, machine.goal_count)
    store_i64(machine.symbols, row + 1, words)
    store_i64(machine.symbols, row + 2, _write_goal(machine, family, own))
    store_i64(machine.symbols, row + 3, anchor)
    store_i64(machine.symbols, row + 4, own)
    machine.symbol_count += 1
    machine.goal_count += words
    store_i64(machine.member_index, slot, found)
    return found


@numba.njit(cache=True)
def _write_goal(machine, family, own):  # type: ignore[no-untyped-def]
    """Write the goal of a family's symbol (:meth:`~.family.Rule.goal`) to the end of ``goals``; what it captures."""
    row = 5 * family
    kind, words = load_i64(machine.families, row), load_i64(machine.families, row + 1)
    span, first = load_i64(machine.families, row + 2), load_i64(machine.families, row + 3)
    goal = machine.goals + 8 * machine.goal_count
    left, capturing, complete, over = False, False, True, False
    for word in range(span):
        members = _word_of(machine, own, word)
        usable, ordered = load_u64(machine.rules, first + word), load_u64(machine.rules, first + span + word)
        complete &= load_u64(machine.rules, first + 2 * span + word) & ~members == _ZERO
        if kind != _CARRY:
            usable = _ZERO if over else usable & ~members
            missing = ordered & ~members
            if missing != _ZERO and not over:
                lowest = missing & (~missing + _ONE)
                usable &= lowest | (lowest - _ONE)
                over = True
        left |= usable != _ZERO
        capturing |= usable & load_u64(machine.rules, first + 3 * span + word) != _ZERO
        if kind != _GAP and word < words:
            store_u64(goal, word, usable)
    if kind == _GAP:
        store_u64(goal, 0, numba.uint64(left) | numba.uint64(complete) << _ONE)
        return numba.int64(0)
    return load_i64(machine.families, row + 4) if capturing else numba.int64(0)


@numba.njit(cache=True)
def _word_of(machine, own, word):  # type: ignore[no-untyped-def]
    """64 members of a set."""
    if word >= load_i64(machine.sets, 2 * own + 1):
        return _ZERO
    return load_u64(machine.set_words, load_i64(machine.sets, 2 * own) + word)


@numba.njit(cache=True)
def _union(machine, one, other):  # type: ignore[no-untyped-def]
    """The number of the union of two sets, or :data:`FULL`."""
    words = max(load_i64(machine.sets, 2 * one + 1), load_i64(machine.sets, 2 * other + 1))
    first = machine.set_word_count
    if first + words > machine.set_word_capacity:
        return FULL
    for word in range(words):
        store_u64(machine.set_words, first + word, _word_of(machine, one, word) | _word_of(machine, other, word))
    return intern_set(machine, words)


@numba.njit(cache=True)
def intern_set(machine, words):  # type: ignore[no-untyped-def]
    """The number of the set of so many words, the last not empty, at the end of ``set_words``; :data:`FULL`."""
    first = machine.set_word_count
    slot = mix_words(words, machine.set_words, first, words) & (machine.set_slots - 1)
    while True:
        found = load_i64(machine.set_index, slot)
        if found == NONE:
            break
        if load_i64(machine.sets, 2 * found + 1) == words:
            same = True
            for word in range(words):
                own = load_i64(machine.set_words, load_i64(machine.sets, 2 * found) + word)
                same &= own == load_i64(machine.set_words, first + word)
            if same:
                return found
        slot = (slot + 1) & (machine.set_slots - 1)
    found = machine.set_count
    if found == machine.set_capacity:
        return FULL
    machine.set_count += 1
    machine.set_word_count += words
    store_i64(machine.sets, 2 * found, first)
    store_i64(machine.sets, 2 * found + 1, words)
    store_i64(machine.set_index, slot, found)
    return found


@numba.njit(cache=True)
def add_set(block, bits):  # type: ignore[no-untyped-def]
    """The number of a set, ``uint64[.]`` without empty words at its end, or :data:`FULL`."""
    machine = machine_at(block)
    if machine.set_word_count + bits.shape[0] > machine.set_word_capacity:
        return FULL
    for word in range(bits.shape[0]):
        store_u64(machine.set_words, machine.set_word_count + word, bits[word])
    return intern_set(machine, bits.shape[0])


@numba.njit(cache=True)
def find_member(block, anchor, own):  # type: ignore[no-untyped-def]
    """:func:`member`, called from Python."""
    return member(machine_at(block), anchor, own)


@numba.njit(cache=True)
def reindex_members(block):  # type: ignore[no-untyped-def]
    """Put all sets and all symbols of families into new, empty indexes."""
    machine = machine_at(block)
    for number in range(machine.set_count):
        words, first = load_i64(machine.sets, 2 * number + 1), load_i64(machine.sets, 2 * number)
        put(machine.set_index, machine.set_slots, mix_words(words, machine.set_words, first, words), number)
    for number in range(machine.symbol_count):
        anchor, own = load_i64(machine.symbols, 5 * number + 3), load_i64(machine.symbols, 5 * number + 4)
        if anchor != number:
            put(machine.member_index, machine.member_slots, mix(anchor, own), number)


def captures_of(refused: Collection[bytes], depends: int = 0) -> int:
    """What a capturing symbol has in its row.

    That is 1 and, from bit 1 on, the lengths of the texts that it refuses. Or the sign, if for some results what
    follows depends on the text, and the bits of those results; -1 for all of them, or if it refuses texts besides.
    """
    if depends:
        return -1 if refused or depends == -1 else (depends & (1 << DEPENDING) - 1) - (1 << 63)
    lengths = {min(len(text), MAX_LENGTH) for text in refused}
    return 1 | sum(2 << length for length in lengths)
