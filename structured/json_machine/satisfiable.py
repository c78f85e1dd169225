"""Whether anything satisfies a set of schemas, and how deep it must nest: so that nothing enters a dead end.

The least fixpoint comes from the depth bound: a schema that needs itself needs one level more than it needs, so the
question ends at the bound. Answers are kept with the room that they need or lacked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from latticework.structured.json_machine.atoms import Unevaluated
from latticework.structured.json_machine.budget import WorkBudget
from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.formulas import CONSTANTS, Formulas
from latticework.structured.json_machine.scalars import possible
from latticework.structured.json_schema.ir import Schema

#: Schemas of which at least one must fail, several times.
Negatives = frozenset[frozenset[Schema]]

NO_NEGATIVES: Negatives = frozenset()

#: Given what must hold and what must fail (variables): how deep the parts must nest, or ``None`` if it cannot be.
Feasible = Callable[[tuple[int, ...], tuple[int, ...]], int | None]

_PRUNE_FROM = 6
_LITTLE_ROOM = (1, 4)


class Parts(Protocol):
    """Knows whether an object or array with given properties exists."""

    def height(self, function: int, room: int) -> int | None:
        """How deep the parts of a value that satisfies the function must nest; ``None`` if more than ``room``."""
        ...


class Satisfier:
    """Answers for one grammar.

    Attributes:
        objects, arrays: Set by whoever makes the satisfier.
    """

    objects: Parts
    arrays: Parts

    def __init__(self, formulas: Formulas, budget: WorkBudget) -> None:
        self._formulas = formulas
        self.budget = budget
        self._heights: dict[object, int] = {}
        self._lacked: dict[object, int] = {}

    def height(self, holds: frozenset[Schema], fails: Negatives, room: int) -> int | None:
        """How deep brackets must nest in a value where all of ``holds`` hold and of each of ``fails`` one fails.

        Returns:
            0 for a value without parts, at most ``room``; ``None`` if there is no such value within ``room``.

        Raises:
            BudgetExceededError: Too many questions.
        """
        if not holds and not fails:
            return 0 if room >= 0 else None
        # Little room first: most schemas need no more, and recursive ones would use all that there is.
        for less in _LITTLE_ROOM:
            found = self._within(holds, fails, less) if less < room else None
            if found is not None:
                return found
        return self._within(holds, fails, room)

    def _within(self, holds: frozenset[Schema], fails: Negatives, room: int) -> int | None:
        key = (holds, fails) if fails else holds
        known = self._heights.get(key)
        if known is not None and known <= room:
            return known
        if room < 0 or self._lacked.get(key, -1) >= room:
            return None
        self.budget.ask()
        found = self._search(holds, fails, room)
        if found is None:
            self._lacked[key] = room
        else:
            self._heights[key] = found
        return found

    def function(self, holds: Iterable[Schema], fails: Negatives, kind: str) -> int:
        """The function of values of one kind that satisfy the question."""
        formulas = self._formulas
        result = formulas.conjunction(holds, kind)
        for group in fails:
            if result == FALSE:
                break
            result = formulas.diagrams.both(result, formulas.diagrams.negate(formulas.conjunction(group, kind)))
        return result

    def _search(self, holds: frozenset[Schema], fails: Negatives, room: int) -> int | None:
        for kind in CONSTANTS:
            if self.function(holds, fails, kind) == TRUE:
                return 0
        for kind in ("number", "string"):
            if possible(self._formulas, self.function(holds, fails, kind), kind):
                return 0
        if room < 1:
            return None
        for kind, parts in (("array", self.arrays), ("object", self.objects)):
            function = self.function(holds, fails, kind)
            if function != FALSE:
                inner = parts.height(function, room - 1)
                if inner is not None:
                    return inner + 1
        return None

    def solve(self, function: int, feasible: Feasible, conditions: tuple[int, ...] = ()) -> int | None:
        """The height of some way to make the function true, out of those that are feasible; ``None`` if none is.

        Args:
            function: What must be true.
            feasible: See :data:`Feasible`.
            conditions: Functions that a way must decide if it says anything of what is evaluated.
        """
        diagrams, atoms = self._formulas.diagrams, self._formulas.atoms
        if any(isinstance(atoms[variable], Unevaluated) for variable in diagrams.support(function)):
            for decided in self._deciding(function, [condition for condition in conditions if condition > TRUE]):
                for holds, fails in diagrams.cubes(decided):
                    self.budget.ask()
                    height = feasible(holds, fails)
                    if height is not None:
                        return height
            return None
        return next((height for height in self.solutions(function, feasible)), None)

    def solutions(self, function: int, feasible: Feasible) -> Iterator[int]:
        """The heights of the ways that are feasible. There may be very many."""
        diagrams = self._formulas.diagrams
        cube = diagrams.cube(function)
        if cube is not None:
            height = feasible(*cube)
            if height is not None:
                yield height
            return
        todo: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = [(function, (), ())]
        while todo:
            node, holds, fails = todo.pop()
            if node == FALSE:
                continue
            decided = len(holds) + len(fails)
            if node == TRUE or (decided >= _PRUNE_FROM and decided % 2 == 0):
                self.budget.ask()
                height = feasible(holds, fails)
                if height is None:
                    continue
                if node == TRUE:
                    yield height
                    continue
            for rest, one, other in diagrams.branches(node):
                todo.append((
                    rest, holds if one is None else (*holds, one), fails if other is None else (*fails, other)
                ))  # fmt: skip

    def _deciding(self, function: int, conditions: list[int]) -> Iterator[int]:
        """Functions whose disjunction is ``function``, each of which implies every condition or its negation."""
        if function == FALSE:
            return
        if not conditions:
            yield function
            return
        diagrams = self._formulas.diagrams
        for case in (conditions[0], diagrams.negate(conditions[0])):
            yield from self._deciding(diagrams.both(function, case), conditions[1:])
