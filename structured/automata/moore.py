"""Moore machines over characters: complete deterministic automata whose states carry a label.

Predicates on strings become machines with labels 0 and 1; machines are combined, made minimal, and only at the end
spelled as bytes (:mod:`latticework.structured.automata.spelling`), so every operation works on a handful of character
classes and never on UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latticework.structured.automata import moore_kernels as kernels
from latticework.structured.automata.codepoints import CodePoints
from latticework.structured.errors import BudgetExceededError

Ints = npt.NDArray[np.int32]

#: Bound on the states of one machine.
MAX_STATES = 50_000


@dataclass(frozen=True, eq=False, slots=True)
class Moore:
    """A complete deterministic machine; ``n`` states, ``k`` character classes, ``m`` runs; state 0 is the start.

    Attributes:
        cuts: ``int32[m]``, the first code point of each run, rising from 0. Surrogates may be in any class.
        kinds: ``int32[m]``, the class of the characters of each run.
        delta: ``int32[n, k]``, the state after a character of that class.
        label: ``int32[n]``, what is known of a text that ends in this state.
    """

    cuts: Ints
    kinds: Ints
    delta: Ints
    label: Ints

    def read(self, text: str) -> int:
        """The label of a text: for tests and messages, not for hot paths."""
        state = 0
        for character in text:
            run = int(np.searchsorted(self.cuts, ord(character), side="right")) - 1
            state = int(self.delta[state, self.kinds[run]])
        return int(self.label[state])


def partition(sets: Sequence[CodePoints]) -> tuple[Ints, Ints, list[list[int]]]:
    """The coarsest classes of which every set is a union.

    Returns:
        ``cuts`` and ``kinds`` as in :class:`Moore`, and the classes that make up each set.
    """
    members: dict[frozenset[int], int] = {}
    events: dict[int, list[int]] = {0: []}
    for index, points in enumerate(sets):
        for first, last in points:
            events.setdefault(first, []).append(index)
            events.setdefault(last + 1, []).append(~index)
    events.pop(0x110000, None)
    cuts: list[int] = []
    kinds: list[int] = []
    active: frozenset[int] = frozenset()
    for cut in sorted(events):
        # At one cut a set may end and begin again; what begins wins.
        ends = {~event for event in events[cut] if event < 0}
        active = (active - ends) | {event for event in events[cut] if event >= 0}
        kind = members.setdefault(active, len(members))
        if not kinds or kinds[-1] != kind:
            cuts.append(cut)
            kinds.append(kind)
    classes: list[list[int]] = [[] for _ in sets]
    for holders, kind in members.items():
        for index in holders:
            classes[index].append(kind)
    return np.array(cuts, np.int32), np.array(kinds, np.int32), classes


def minimal(machine: Moore) -> Moore:
    """The smallest machine with the same labels; states in breadth-first order, equal classes joined."""
    block, count = kernels.coarsest(machine.delta, machine.label)
    delta, label = kernels.quotient(machine.delta, machine.label, block, count)
    first, inverse = _alike(delta)
    if len(first) == delta.shape[1]:
        return Moore(machine.cuts, machine.kinds, delta, label)
    kinds = inverse[machine.kinds]
    keep = np.ones(len(kinds), np.bool_)
    keep[1:] = kinds[1:] != kinds[:-1]
    return Moore(machine.cuts[keep], kinds[keep], np.ascontiguousarray(delta[:, first]), label)


def _alike(delta: Ints) -> tuple[list[int], Ints]:
    """The first of every group of equal columns, and the group of each column."""
    groups: dict[bytes, int] = {}
    first: list[int] = []
    inverse = np.empty(delta.shape[1], np.int32)
    for column, content in enumerate(np.ascontiguousarray(delta.T)):
        group = groups.setdefault(content.tobytes(), len(first))
        if group == len(first):
            first.append(column)
        inverse[column] = group
    return first, inverse


def product(first: Moore, second: Moore, *, field: str, max_states: int = MAX_STATES) -> Moore:
    """Both at once: the label is ``first``'s times the number of ``second``'s labels plus ``second``'s.

    Raises:
        BudgetExceededError: More than ``max_states`` states.
    """
    cuts = np.union1d(first.cuts, second.cuts).astype(np.int32)
    one = first.kinds[np.searchsorted(first.cuts, cuts, side="right") - 1]
    two = second.kinds[np.searchsorted(second.cuts, cuts, side="right") - 1]
    width = second.delta.shape[1]
    pairs, kinds = np.unique(one.astype(np.int64) * width + two, return_inverse=True)
    states, delta = kernels.product(
        np.ascontiguousarray(first.delta[:, pairs // width]),
        np.ascontiguousarray(second.delta[:, pairs % width]),
        max_states,
    )
    if len(delta) == 0:
        raise BudgetExceededError(field, f"needs more than {max_states} states")
    labels = first.label[states[:, 0]] * (int(second.label.max()) + 1) + second.label[states[:, 1]]
    return Moore(cuts, kinds.reshape(-1).astype(np.int32), delta, labels.astype(np.int32))


def relabelled(machine: Moore, labels: Iterable[int]) -> Moore:
    """The machine with label ``i`` replaced by the ``i``-th of ``labels``, made minimal."""
    table = np.fromiter(labels, np.int32)
    return minimal(Moore(machine.cuts, machine.kinds, machine.delta, table[machine.label]))


def combined(
    machines: Sequence[Moore], *, field: str, max_states: int = MAX_STATES
) -> tuple[Moore, tuple[tuple[int, ...], ...]]:
    """All machines at once, minimal.

    Returns:
        The machine, and per label of it the labels of ``machines``; exactly those that some text has.

    Raises:
        BudgetExceededError: More than ``max_states`` states.
    """
    whole, present = _compact(minimal(machines[0]))
    vectors: list[tuple[int, ...]] = [(label,) for label in present]
    for machine in machines[1:]:
        width = int(machine.label.max()) + 1
        whole, present = _compact(minimal(product(whole, machine, field=field, max_states=max_states)))
        vectors = [(*vectors[pair // width], pair % width) for pair in present]
    return whole, tuple(vectors)


def _compact(machine: Moore) -> tuple[Moore, list[int]]:
    """The machine with its labels renumbered to leave no gaps, and what they were."""
    present, label = np.unique(machine.label, return_inverse=True)
    renumbered: Ints = label.reshape(-1).astype(np.int32)
    return Moore(machine.cuts, machine.kinds, machine.delta, renumbered), [int(old) for old in present]


def constant(label: int) -> Moore:
    """One state, for every text the same label."""
    zero = np.zeros(1, np.int32)
    return Moore(zero, zero, np.zeros((1, 1), np.int32), np.array([label], np.int32))
