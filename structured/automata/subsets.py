"""The subset construction, compiled: from a nondeterministic automaton over character classes to a Moore machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latticework.structured.automata.codepoints import ANY, CodePoints
from latticework.structured.automata.moore import MAX_STATES, Moore, minimal, partition
from latticework.structured.automata.subsets_kernels import determinize
from latticework.structured.errors import BudgetExceededError


class CharacterNfa:
    """Thompson construction over characters. States are numbers; free moves read nothing."""

    def __init__(self, field: str, max_states: int) -> None:
        self.field = field
        self.max_states = max_states
        self.states = 0
        #: Triples ``source, target, when``: 0 always, 1 only before the first character, 2 only after the last.
        self.free: list[int] = []
        #: Triples ``source, target, index of the set``.
        self.reads: list[int] = []
        self.sets: dict[CodePoints, int] = {}

    def state(self) -> int:
        """A new state."""
        if self.states >= self.max_states:
            raise BudgetExceededError(self.field, f"needs more than {self.max_states} states; lower the repeat counts")
        self.states += 1
        return self.states - 1

    def move(self, source: int, target: int, when: int = 0) -> None:
        """A move without reading."""
        self.free += (source, target, when)

    def read(self, points: CodePoints, source: int, target: int) -> None:
        """Read one character of ``points``."""
        self.reads += (source, target, self.sets.setdefault(points, len(self.sets)))

    def machine(
        self, start: int, final: int, *, search: bool, anchored: bool = False, max_states: int = MAX_STATES
    ) -> Moore:
        """The minimal machine whose label is 1 for the texts that lead from ``start`` to ``final``.

        Args:
            start: The first state.
            final: The last state; nothing leads on from it.
            search: Whether any part of the text may lead from ``start`` to ``final``; otherwise all of it must.
            anchored: Whether nothing but the start of the text leads on from ``start``.
            max_states: Bound on the states before minimising.

        Raises:
            BudgetExceededError: More than ``max_states`` states.
        """
        if search and not anchored:
            first, again = self.state(), self.state()
            self.read(ANY, first, again)
            self.read(ANY, again, again)
            self.move(first, start)
            self.move(again, start)
            start = first
        cuts, kinds, classes = partition(list(self.sets))
        delta, label = determinize(
            self.states,
            _triples(self.free),
            _triples(self.reads),
            np.cumsum([0, *map(len, classes)]).astype(np.int32),
            np.array([kind for members in classes for kind in members], np.int32),
            int(kinds.max()) + 1,
            start,
            final,
            search,
            max_states,
        )
        if len(delta) == 0:
            raise BudgetExceededError(self.field, f"needs more than {max_states} states, or too much work to find them")
        return minimal(Moore(cuts, kinds, delta, label))


def _triples(flat: Sequence[int]) -> npt.NDArray[np.int32]:
    return np.array(flat, np.int32).reshape(-1, 3)
