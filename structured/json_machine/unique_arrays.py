"""Arrays of different strings, where there are enough of them: what was listed is refused when it is written again.

What else can always go on is in :mod:`.unique_values`. Everything else that must be unique is tracked with what it was
(:mod:`.tracked_arrays`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from latticework.structured.json_machine.arrays import PlainArray
from latticework.structured.json_machine.atoms import AtLeast, Elements, Unique
from latticework.structured.json_machine.demand import Demand
from latticework.structured.json_machine.diagrams import FALSE
from latticework.structured.json_machine.frame import NONE_USED, State, writings
from latticework.structured.json_machine.operation import Operation, Place
from latticework.structured.json_machine.unique_values import UniqueValues, can_go_on, only_strings_that_go_on
from latticework.structured.json_schema.ir import Schema
from latticework.structured.pushdown.protocol import Action

if TYPE_CHECKING:
    from latticework.structured.json_machine.source import JsonMachine


def plain_array(machine: JsonMachine, function: int, depth: int) -> PlainArray | None:
    """The frame for arrays that satisfy a function, or ``None`` if there is more to track than positions and texts."""
    formulas = machine.formulas
    cube = formulas.diagrams.cube(function)
    if cube is None or not all(isinstance(formulas.atoms[v], AtLeast) for v in cube[1]):
        return None
    holds = [formulas.atoms[variable] for variable in cube[0]]
    if not all(isinstance(atom, AtLeast | Elements | Unique) for atom in holds):
        return None
    if not any(isinstance(atom, Unique) for atom in holds):
        return PlainArray(machine, function, depth)
    shape = machine.arrays.shape(formulas.diagrams.support(function))
    listing = [variable for variable in cube[0] if isinstance(formulas.atoms[variable], Elements)]
    needs = [need for index in range(shape.width + 1) if (need := shape.needs(listing, index)) is not None]
    if all(only_strings_that_go_on(machine, need) for need in needs):
        return UniqueArray(machine, function, depth)
    if all(can_go_on(machine, need, depth + 1) for need in needs):
        numbers = any(formulas.conjunction(need, "number") != FALSE for need in needs)
        return UniqueValues(machine, function, depth, numbers=numbers)
    return None


class UniqueArray(PlainArray):
    """A frame. Its state is ``(items so far, how they were written)``."""

    def after(self) -> Operation:
        """See :class:`ArrayFrame`."""
        return _After(self)

    def first(self) -> State:
        """The state of an empty array."""
        return (0, NONE_USED)

    def take(self, state: State) -> tuple[Demand, State]:
        """See :class:`ArrayFrame`."""
        demand, (count,) = super().take(state[:1])
        return demand, (count, state[1])

    def child(self, need: frozenset[Schema]) -> Demand:
        """See :class:`PlainArray`."""
        return self.machine.child((need,), self.depth, canonical=True)


class _After(Operation):
    """Under an item."""

    def __init__(self, frame: UniqueArray) -> None:
        self._frame = frame

    def captures(self, symbol: Place) -> bool:
        """See :class:`Operation`."""
        return True

    def refused(self, symbol: Place) -> Collection[bytes]:
        """See :class:`Operation`."""
        return writings(symbol[2])

    def resume(self, symbol: Place, result: int) -> Action:
        """See :class:`Operation`."""
        return self._frame.next(symbol[1:])

    def resume_text(self, symbol: Place, result: int, text: bytes) -> Action:
        """See :class:`Operation`."""
        return self._frame.next((symbol[1], symbol[2] | {text}))
