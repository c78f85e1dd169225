"""Terminals read side by side: one deterministic machine over bytes for several of them.

A state is the set of terminals that a text may still become, each with the state of its own machine. Few of them are
alive after a byte or two, so that states are small and few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latticework.structured.automata.moore import Moore
from latticework.structured.cfg.positions import FIELD
from latticework.structured.errors import BudgetExceededError
from latticework.structured.pushdown.table import DEAD

_Ints = npt.NDArray[np.int32]
#: Pairs of a terminal and the state of its machine.
_Alive = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Parallel:
    """``n`` states; state 0 is the start, and nothing leads back to it.

    Attributes:
        delta: ``int32[n, letters]``, the state after a letter or ``DEAD``. A letter is a class of bytes.
        accepted: Per state, the terminals of which a text ends there.
        alive: Per state, the terminals that the text is, or may still become.
    """

    delta: _Ints
    accepted: tuple[frozenset[int], ...]
    alive: tuple[frozenset[int], ...]


class SideBySide:
    """Runs machines of terminals (:mod:`.machines`) together.

    Attributes:
        like: ``bytes[256]``, for each byte the least of those that no terminal tells apart from it.
        letters: Those least bytes, rising.
        classes: ``uint8[256]``, the letter of each byte, by its place in ``letters``.
    """

    def __init__(self, machines: Sequence[Moore], priorities: Sequence[int]) -> None:
        self._priorities = priorities
        kinds = [_byte_classes(machine) for machine in machines]
        stacked = np.stack([np.zeros(256, np.int32), *kinds])
        _, first, inverse = np.unique(stacked, axis=1, return_index=True, return_inverse=True)
        self.like = bytes(first[inverse.reshape(-1)].tolist())
        self.letters = sorted(set(self.like))
        self.classes = np.searchsorted(self.letters, np.frombuffer(self.like, np.uint8)).astype(np.uint8)
        #: Per terminal, ``int32[states, letters]`` without moves to where no text is left.
        self._rows = [_live_rows(m, kind[self.letters]) for m, kind in zip(machines, kinds, strict=True)]
        self._accepts = [machine.label != 0 for machine in machines]

    def alphabet(self) -> frozenset[int]:
        """The bytes that occur in texts."""
        used = np.zeros(len(self.letters), np.bool_)
        for rows in self._rows:
            used |= (rows != DEAD).any(axis=0)
        return frozenset(np.flatnonzero(used[self.classes]).tolist())

    def run(self, terminals: Iterable[int], max_states: int, *, ranked: bool = True) -> Parallel:
        """The machine of ``terminals``. ``ranked``: one of higher priority ends those that have not ended before it.

        Raises:
            BudgetExceededError: More than ``max_states`` states.
        """
        states: list[_Alive] = [tuple((terminal, 0) for terminal in sorted(terminals))]
        accepted: list[frozenset[int]] = [frozenset()]
        numbers: dict[_Alive, int] = {}
        delta: list[list[int]] = []
        for alive in states:  # grows while it is read
            known: dict[bytes, int] = {}
            row = []
            columns = np.stack([self._rows[t][state] for t, state in alive], axis=1) if alive else np.zeros((0, 0))
            for column in columns:
                key = column.tobytes()
                target = known.get(key)
                if target is None:
                    reached, ended = self._after(alive, column.tolist(), ranked)
                    target = numbers.get(reached, len(states)) if reached else DEAD
                    if target == len(states):
                        if target >= max_states:
                            raise BudgetExceededError(FIELD, f"the lexer needs more than {max_states} states")
                        numbers[reached] = target
                        states.append(reached)
                        accepted.append(ended)
                    known[key] = target
                row.append(target)
            delta.append(row or [DEAD] * len(self.letters))
        return Parallel(
            np.array(delta, np.int32).reshape(len(states), len(self.letters)),
            tuple(accepted),
            tuple(frozenset(terminal for terminal, _ in alive) for alive in states),
        )

    def _after(self, alive: _Alive, column: Sequence[int], ranked: bool) -> tuple[_Alive, frozenset[int]]:
        reached = [(t, state) for (t, _), state in zip(alive, column, strict=True) if state != DEAD]
        ended = [t for t, state in reached if self._accepts[t][state]]
        if ended and ranked:
            top = max(self._priorities[t] for t in ended)
            reached = [(t, state) for t, state in reached if self._priorities[t] >= top]
            ended = [t for t in ended if self._priorities[t] >= top]
        return tuple(reached), frozenset(ended)


def _byte_classes(machine: Moore) -> _Ints:
    return machine.kinds[np.searchsorted(machine.cuts, np.arange(256), side="right") - 1]


def _live_rows(machine: Moore, kinds: _Ints) -> _Ints:
    """A minimal machine has at most one state that leads nowhere: it leads to itself only, and ends nothing."""
    dead = (machine.label == 0) & (machine.delta == np.arange(len(machine.delta))[:, None]).all(axis=1)
    rows = machine.delta[:, kinds]
    return np.where(dead[rows], DEAD, rows).astype(np.int32)
