"""Compiled: what follows a token, exactly. Between bytes a kernel can stop to ask, and go on."""

from __future__ import annotations

import numba

from latticework.structured.runtime.layout import (
    CAPTURE,
    DEAD,
    END,
    ENDED,
    FOLLOW,
    FULL,
    LOOPS,
    MAX_CHAIN,
    NONE,
    POP,
    READ,
    RETURNED,
    START,
    WHOLE,
)
from latticework.structured.runtime.lexing import group_of, is_closed, next_state, result_at
from latticework.structured.runtime.memory import load_i32, load_i64, load_u8, store_i64
from latticework.structured.runtime.positions import intern_position
from latticework.structured.runtime.records import machine_at, tables_of
from latticework.structured.runtime.steps import begin, follow, pop, viable


@numba.njit(cache=True)
def accept(block, configuration, token, length):  # type: ignore[no-untyped-def]
    """The configuration after a token with text, exactly; or after a special token ``-2 - token``.

    Of a longer token only the first ``length`` bytes are read, and the answer is 0 if they are allowed.

    :data:`~.layout.END` stands for the end of the text, after which there is no configuration but :data:`ENDED`, and
    :data:`~.layout.START` for the beginning, with :data:`FOLLOW` set up by the caller.

    Returns:
        The configuration, with bit 40 set if the captured texts do not just grow by the token: then ``popped`` of them
        ended, and texts began at the ``start_count`` places ``starts`` in the token. Or a code: after :data:`UNKNOWN`
        and, with ``answer`` set, after :data:`CAPTURE`, :func:`resume_accept` goes on.
    """
    machine = begin(block)
    machine.table = load_i64(machine.configurations, 3 * configuration)
    machine.state = load_i64(machine.configurations, 3 * configuration + 1)
    machine.node = load_i64(machine.configurations, 3 * configuration + 2)
    machine.mode = READ
    machine.token = token
    machine.length = length
    return _spell(machine, tables_of(machine))


@numba.njit(cache=True)
def start(block, answer):  # type: ignore[no-untyped-def]
    """The first configuration: what ``answer`` says on the stack under node 0. See :func:`accept`."""
    machine = begin(block)
    machine.pending_node = 0
    machine.answer = answer
    machine.mode = FOLLOW
    machine.token = START
    machine.length = WHOLE
    return _spell(machine, tables_of(machine))


@numba.njit(cache=True)
def resume_accept(block):  # type: ignore[no-untyped-def]
    """Go on with :func:`accept` or :func:`start`."""
    machine = machine_at(block)
    machine.missing_count = 0
    return _spell(machine, tables_of(machine))


@numba.njit(cache=True)
def _spell(machine, tables):  # type: ignore[no-untyped-def]
    """Read ``machine.token``: its bytes, the end of the text, a special token or nothing.

    What is done next is in ``machine.mode``: read a byte or the end, give a result to the stack, follow an answer that
    the caller brings. Between bytes everything is in ``machine``, so that the caller can stop and go on.
    """
    token = machine.token
    begins = load_i64(machine.offset, token) if token >= 0 else 0
    stop = load_i64(machine.offset, token + 1) - begins if token >= 0 else numba.int64(token != START)
    whole = stop <= machine.length
    stop = min(stop, machine.length)
    for _ in range(MAX_CHAIN):
        if machine.mode == READ:
            if machine.position == stop:
                if not whole:
                    return 0
                break
            if machine.table < 0:
                return ENDED if token == END and machine.table == ENDED else DEAD
            code = _read(machine, tables, begins, token)
            if code < 0:
                return code
            if machine.mode == READ:
                continue
        if machine.mode == FOLLOW:
            table, state, node = DEAD, NONE, NONE
            if machine.answer != NONE:
                below = load_i64(machine.nodes, 4 * machine.pending_node)
                source = load_i64(machine.nodes, 4 * machine.pending_node + 1)
                table, state, node = follow(machine, tables, machine.answer, below, source, True)
            if table == FULL:
                return FULL
            if table == RETURNED:
                machine.pending_result, machine.pending_node = state, node
                machine.mode = POP
        if machine.mode == POP:
            top = machine.node_top
            table, state, node = pop(machine, tables, machine.pending_node, machine.pending_result, True)
            if table == CAPTURE:
                machine.pending_result, machine.pending_node = state, node
                machine.mode = FOLLOW
                return CAPTURE
            if table < DEAD:
                machine.node_top = top
                return table
        if table == DEAD:
            if machine.consumed == 0:
                return DEAD
            machine.skip = 1  # the transition leads nowhere; perhaps the lexeme ends before this byte
            machine.node_top = machine.top
            machine.popped = machine.saved_popped
            machine.start_count = machine.saved_start_count
            for place in range(machine.start_count):
                store_i64(machine.starts, place, load_i64(machine.saved_starts, place))
        else:
            machine.table, machine.state, machine.node = table, state, node
            machine.position += machine.consumed
            machine.skip = 0
        machine.consumed = 0
        machine.mode = READ
    if machine.position != stop:
        return LOOPS
    found = intern_position(machine, machine.table, machine.state, machine.node)
    if found >= 0 and (machine.popped != 0 or machine.start_count != 0):
        return found | 1 << 40
    return found


@numba.njit(cache=True)
def _read(machine, tables, begins, token):  # type: ignore[no-untyped-def]
    """One move of :func:`_spell` within the lexeme: a transition, or the result that the stack is to take."""
    table = tables[machine.table]
    if token >= 0 and not machine.skip:
        target = next_state(table, machine.state, load_u8(machine.text, begins + machine.position))
        if target != NONE and is_closed(table, target):
            machine.consumed = 1
            return _end_lexeme(machine, result_at(table, table.result, target))
        if target != NONE:
            found = viable(machine, tables, machine.table, target, machine.node)
            if found < 0:
                return found
            if found:
                machine.state = target
                machine.position += 1
                return 0
    if token < END and not machine.skip:
        row = machine.state if table.groups == 0 else machine.state % table.states
        for place in range(table.special_count):
            if load_i32(table.specials, 3 * place) == row and load_i32(table.specials, 3 * place + 1) == -2 - token:
                result = numba.int64(load_i32(table.specials, 3 * place + 2))
                if table.groups != 0:
                    result = result * (table.groups + 1) + group_of(table, machine.state // table.states)
                machine.consumed = 1
                return _end_lexeme(machine, result)
    result = result_at(table, table.end if token == END else table.result, machine.state)
    if result == NONE:
        return DEAD
    return _end_lexeme(machine, result)


@numba.njit(cache=True)
def _end_lexeme(machine, result):  # type: ignore[no-untyped-def]
    machine.pending_result, machine.pending_node = result, machine.node
    machine.top = machine.node_top
    machine.saved_popped = machine.popped
    machine.saved_start_count = machine.start_count
    for place in range(machine.start_count):
        store_i64(machine.saved_starts, place, load_i64(machine.starts, place))
    machine.mode = POP
    return 0
