"""Terminals as Moore machines over *bytes* (code points 0 to 255): label 1 for their texts, never for the empty text.

Machines over characters would be smaller, but where many terminals run side by side, each of their states would spell
the same large classes of Unicode again.
"""

from __future__ import annotations

import numpy as np

from latticework.structured.automata.moore import Moore, minimal
from latticework.structured.automata.regex_machine import node_machine
from latticework.structured.automata.regex_syntax import Node
from latticework.structured.automata.spelling import raw_table
from latticework.structured.cfg.positions import FIELD
from latticework.structured.pushdown.table import DEAD


def machine_of(node: Node, *, shortest: bool, max_states: int) -> tuple[Moore, bool]:
    """The machine of a terminal without the empty text, and whether it had the empty text.

    Args:
        node: Its texts.
        shortest: Leave out texts that begin with another one.
        max_states: Bound on its states.

    Raises:
        BudgetExceededError: It needs more states.
    """
    machine = node_machine(node, field=FIELD, search=False, max_states=max_states)
    if shortest:
        machine = _shortest(machine)
    nullable = bool(machine.label[0])
    if nullable:
        machine = _nonempty(machine)
    return (_spelled(machine, max_states) if writes(machine) else machine), nullable


def writes(machine: Moore) -> bool:
    """Whether there is a text at all. A minimal machine has only states that a text reaches."""
    return bool(machine.label.any())


def _spelled(machine: Moore, max_states: int) -> Moore:
    table = raw_table(machine, field=FIELD, max_states=8 * max_states)
    sink = len(table.delta)
    delta = np.vstack([table.delta, np.full((1, table.delta.shape[1]), sink, np.int32)])
    delta[delta == DEAD] = sink
    starts = np.flatnonzero(np.append(True, table.classes[1:] != table.classes[:-1]))
    label = np.append(table.result + 1, 0).astype(np.int32)
    kinds = table.classes[starts].astype(np.int32)
    return minimal(Moore(starts.astype(np.int32), kinds, delta.astype(np.int32), label))


def _shortest(machine: Moore) -> Moore:
    delta = np.vstack([machine.delta, np.full((1, machine.delta.shape[1]), len(machine.delta), np.int32)])
    label = np.append(machine.label, 0).astype(np.int32)
    delta[np.flatnonzero(label)] = len(machine.delta)
    return minimal(Moore(machine.cuts, machine.kinds, delta.astype(np.int32), label))


def _nonempty(machine: Moore) -> Moore:
    """A copy of the start state takes its place in the middle of texts."""
    copy = len(machine.delta)
    delta = np.vstack([machine.delta, machine.delta[:1]])
    delta[delta == 0] = copy
    label = np.append(machine.label, machine.label[:1]).astype(np.int32)
    label[0] = 0
    return minimal(Moore(machine.cuts, machine.kinds, delta.astype(np.int32), label))
