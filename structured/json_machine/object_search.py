"""Whether an object that is partly written can be completed so that a function of its assertions holds."""

from __future__ import annotations

from collections.abc import Iterator

from latticework.structured.json_machine.diagrams import FALSE
from latticework.structured.json_machine.formulas import Formulas
from latticework.structured.json_machine.object_completion import Completion, Written
from latticework.structured.json_machine.object_shape import ObjectShape
from latticework.structured.json_machine.satisfiable import Satisfier


class ObjectSearch:
    """Completions of objects of one grammar."""

    def __init__(self, formulas: Formulas, satisfier: Satisfier) -> None:
        self.formulas = formulas
        self._satisfier = satisfier
        self._shapes: dict[tuple[int, ...], ObjectShape] = {}

    def shape(self, variables: tuple[int, ...]) -> ObjectShape:
        """The shape of these assertions, made once."""
        shape = self._shapes.get(variables)
        if shape is None:
            shape = self._shapes[variables] = ObjectShape(self.formulas, variables)
        return shape

    def height(self, function: int, room: int) -> int | None:
        """See :class:`~.satisfiable.Parts`."""
        shape = self.shape(self.formulas.diagrams.support(function))
        return self.completion(shape, function, Written(conditions=shape.conditions), room)

    def completion(
        self, shape: ObjectShape, function: int, written: Written, room: int, forced: int | None = None
    ) -> int | None:
        """How deep the parts still to be written must nest; ``None`` if more than ``room``, or if there is no way.

        Args:
            shape: Knows at least the variables of the function.
            function: What must hold in the end. What is decided has been put in.
            written: What is there already.
            room: How deep the parts may nest.
            forced: A class of keys of which one must be added.
        """
        if function == FALSE:
            return None
        return self._satisfier.solve(
            function,
            lambda holds, fails: self.way(shape, written, room, holds, fails, forced).height(),
            written.conditions,
        )

    def ways(self, shape: ObjectShape, function: int, written: Written, room: int) -> Iterator[Completion]:
        """For each case of the function a search that succeeded; none for the cases that cannot come about."""
        found: list[Completion] = []

        def feasible(holds: tuple[int, ...], fails: tuple[int, ...]) -> int | None:
            found[:] = [self.way(shape, written, room, holds, fails)]
            return found[0].height()

        for _ in self._satisfier.solutions(function, feasible):
            yield found[0]

    def way(
        self,
        shape: ObjectShape,
        written: Written,
        room: int,
        holds: tuple[int, ...],
        fails: tuple[int, ...],
        forced: int | None = None,
    ) -> Completion:
        """The search for a completion in which these assertions hold and those fail."""
        return Completion(self.formulas, self._satisfier, shape, written, room, holds, fails, forced)
