"""The course of an open array: ``[``, items, ``]``; the arrays of which everything demanded must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latticework.structured.json_machine.atoms import AtLeast, Elements
from latticework.structured.json_machine.demand import RETURNS, Demand
from latticework.structured.json_machine.frame import Frame, Gap, State
from latticework.structured.json_machine.keys import UNBOUNDED
from latticework.structured.json_machine.operation import Operation, Place
from latticework.structured.json_machine.satisfiable import NO_NEGATIVES
from latticework.structured.json_schema.ir import Schema
from latticework.structured.pushdown.family import CLOSE, GO_ON
from latticework.structured.pushdown.protocol import Action, Enter, Return

if TYPE_CHECKING:
    from latticework.structured.json_machine.source import JsonMachine


class ArrayFrame(Frame):
    """An open array."""

    def __init__(self, machine: JsonMachine) -> None:
        self.machine = machine
        self._gap = Gap(self)
        self._after = self.after()

    def after(self) -> Operation:
        """The operation that waits under an item."""
        return _After(self)

    def begin(self, state: State) -> Enter:
        """The array's ``[`` was read."""
        punctuation = self.machine.punctuation
        if punctuation.transparent and not self.ways(state) >> CLOSE & 1:
            return self.go_on(state, ())
        table = punctuation.first_item
        return Enter(((self._gap, *state),), table, table.start)

    def go_on(self, state: State, push: tuple[Place, ...]) -> Enter:
        """See :class:`Frame`."""
        demand, after = self.take(state)
        return demand.enter((*push, (self._after, *after)))

    def next(self, state: State) -> Enter:
        """An item was read."""
        table = self.machine.punctuation.next_item
        return Enter(((self._gap, *state),), table, table.start)

    def take(self, state: State) -> tuple[Demand, State]:
        """An item follows: what it must satisfy, and the state until it ends."""
        raise NotImplementedError

    def settle(self, state: State, result: int) -> State:
        """An item was read. ``state`` is as :meth:`take` gave it."""
        return state


class _After(Operation):
    """Under an item."""

    def __init__(self, frame: ArrayFrame) -> None:
        self._frame = frame

    def resume(self, symbol: Place, result: int) -> Action:
        """See :class:`Operation`."""
        return self._frame.next(self._frame.settle(symbol[1:], result))


class PlainArray(ArrayFrame):
    """A frame. Its state is ``(items so far,)``, counted as far as it matters."""

    def __init__(self, machine: JsonMachine, function: int, depth: int) -> None:
        super().__init__(machine)
        formulas = machine.formulas
        cube = formulas.diagrams.cube(function)
        assert cube is not None
        self._shape = machine.arrays.shape(formulas.diagrams.support(function))
        self._values = [v for v in cube[0] if isinstance(formulas.atoms[v], Elements)]
        self.depth = depth
        self._low, self._high = 0, UNBOUNDED
        for variable in cube[0]:
            atom = formulas.atoms[variable]
            if isinstance(atom, AtLeast):
                self._low = max(self._low, atom.count)
        for variable in cube[1]:
            atom = formulas.atoms[variable]
            if isinstance(atom, AtLeast):
                self._high = min(self._high, atom.count - 1)
        room = machine.room(depth) - 1
        for index in range(min(self._shape.width + 1, self._high)):
            need = self._shape.needs(self._values, index)
            if need is None or machine.satisfier.height(need, NO_NEGATIVES, room) is None:
                self._high = index
                break
        self._cap = self._high if self._high < UNBOUNDED else max(self._low, self._shape.width)
        self._demands: dict[int, Demand] = {}
        self._ways = [self._find_ways(count) for count in range(min(self._cap, 64) + 1)]

    def first(self) -> State:
        """The state of an empty array."""
        return (0,)

    def ways(self, state: State) -> int:
        """See :class:`Frame`."""
        count: int = state[0]  # type: ignore[assignment]
        return self._ways[count] if count < len(self._ways) else self._find_ways(count)

    def close(self, state: State) -> Return:
        """See :class:`Frame`."""
        return RETURNS[0]

    def take(self, state: State) -> tuple[Demand, State]:
        """See :class:`ArrayFrame`."""
        count: int = state[0]  # type: ignore[assignment]
        place = min(count, self._shape.width)
        demand = self._demands.get(place)
        if demand is None:
            need = self._shape.needs(self._values, place)
            assert need is not None
            demand = self._demands[place] = self.child(need)
        return demand, (min(count + 1, self._cap),)

    def child(self, need: frozenset[Schema]) -> Demand:
        """The demand on an item."""
        return self.machine.child((need,), self.depth)

    def _find_ways(self, count: int) -> int:
        return (count < self._high) << GO_ON | (count >= self._low) << CLOSE
