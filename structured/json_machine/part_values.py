"""The objects and arrays that satisfy some schemas where they are few.

That there are many is usually seen at once: one part of them has many values. Otherwise a document is written by the
grammar's own machine, then one that is not this one, and so on.
"""

from __future__ import annotations

import json
import random
from collections.abc import Hashable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from latticework.structured.errors import BudgetExceededError
from latticework.structured.json_machine.atoms import AtLeast, Elements, Has, Members, Names
from latticework.structured.json_machine.cardinality import Few, Question, Values
from latticework.structured.json_machine.demand import Demand
from latticework.structured.json_machine.diagrams import FALSE, Cube
from latticework.structured.json_machine.goals import Cases
from latticework.structured.json_machine.keys import UNBOUNDED
from latticework.structured.json_machine.satisfiable import NO_NEGATIVES
from latticework.structured.json_schema.ir import Schema
from latticework.structured.json_schema.values import exact_json, json_key
from latticework.structured.pushdown.automaton import PushdownAutomaton
from latticework.structured.pushdown.steering import Steering

if TYPE_CHECKING:
    from latticework.structured.json_machine.source import JsonMachine

_LONGEST = 20_000
#: Alternatives of which it is looked whether one alone has many values.
_MAX_CUBES = 32
_PARTED = Schema(types=frozenset(("object", "array")))


def _listed_in(schemas: Iterable[Schema]) -> list[bytes] | None:
    """The objects and arrays that some schema lists, of which the values are some; ``None`` if none lists any."""
    for schema in schemas:
        if schema.enum is not None:
            return [json.dumps(value).encode() for value in schema.enum if isinstance(value, dict | list)]
        listed = _listed_in((*schema.refs, *schema.all_of))
        if listed is not None:
            return listed
    return None


class PartValues:
    """Lists for one grammar."""

    def __init__(self, machine: JsonMachine) -> None:
        self._machine = machine

    def few(self, values: Values, question: Question) -> Few | None:
        """See :meth:`Values.few`, of objects and arrays only."""
        holds, fails, room, limit = question
        listed = _listed_in(holds)
        if listed is not None:
            return self._of(listed, values, question)
        possible = False
        for kind, parts in (("object", self._machine.objects), ("array", self._machine.arrays)):
            function = values.satisfier.function(holds, fails, kind)
            if function == FALSE or parts.height(function, room - 1) is None:
                continue
            possible = True
            many = self._many_objects if kind == "object" else self._many_arrays
            diagrams = values.formulas.diagrams
            for cube in islice(diagrams.cubes(function), _MAX_CUBES):
                own = diagrams.conjunction(cube)
                possibly = own == function or parts.height(own, room - 1) is not None
                if possibly and many(values, cube, room - 1, limit):
                    return None
        return self._one_by_one(question) if possible else {}

    def _of(self, listed: list[bytes], values: Values, question: Question) -> Few | None:
        """Those of listed ones."""
        holds, fails, room, limit = question
        found: dict[Hashable, bytes] = {}
        for text in listed:
            if values.satisfier.height(holds | {self._machine.only(text)}, fails, room) is not None:
                found[json_key(exact_json(text))] = text
                if len(found) > limit:
                    return None
        return found

    def _one_by_one(self, question: Question) -> Few | None:
        """One by one, each with those before it left out."""
        holds, fails, room, limit = question
        items = [holds | {_PARTED}, *fails]
        found: dict[Hashable, bytes] = {}
        while len(found) <= limit:
            self._machine.budget.ask()
            goal = Cases([(1, (1 << len(items)) - 2)])
            demand = Demand(self._machine, tuple(items), goal, self._machine.depth(room))
            if not demand.possible:
                return found
            text = self._written(demand)
            value = exact_json(text)
            found[json_key(value)] = text
            items.append(frozenset((self._machine.only(text),)))
        return None

    def _written(self, demand: Demand) -> bytes:
        automaton = PushdownAutomaton(self._machine.part(demand))
        text = Steering(automaton).to_an_end(automaton.start(), random.Random(0), _LONGEST)
        if text is None:
            raise BudgetExceededError(self._machine.budget.field, "items that must be different are too long to list")
        return text

    def _many_arrays(self, values: Values, cube: Cube, room: int, limit: int) -> bool:
        """Whether it is seen at once that there are many arrays."""
        atoms = values.formulas.atoms
        holds, fails = [atoms[v] for v in cube[0]], [atoms[v] for v in cube[1]]
        if not all(isinstance(atom, Elements | AtLeast) for atom in holds):
            return False
        high = UNBOUNDED
        for atom in fails:
            if not isinstance(atom, AtLeast):
                return False
            high = min(high, atom.count - 1)
        shape = self._machine.arrays.shape((*cube[0], *cube[1]))
        for index in range(min(high, shape.width + 1)):
            need = shape.needs(cube[0], index)
            if need is None or values.satisfier.height(need, NO_NEGATIVES, room) is None:
                return False
            if values.few(need, NO_NEGATIVES, room, limit) is None:
                return True
        return high == UNBOUNDED

    def _many_objects(self, values: Values, cube: Cube, room: int, limit: int) -> bool:
        """Whether it is seen at once that there are many objects."""
        atoms = values.formulas.atoms
        holds, fails = [atoms[v] for v in cube[0]], [atoms[v] for v in cube[1]]
        if not all(isinstance(atom, Members | Names | Has | AtLeast) for atom in holds):
            return False
        if not all(isinstance(atom, AtLeast | Has | Names) for atom in fails):  # none says anything of a value
            return False
        shape = self._machine.objects.shape((*cube[0], *cube[1]))
        required = {shape.index[name] for atom in holds if isinstance(atom, Has) for name in atom.names}
        for key in required if fails else range(shape.classes):
            need = shape.needs(cube[0], key)
            if need is None or values.satisfier.height(need, NO_NEGATIVES, room) is None:
                continue
            if key >= len(shape.names) and shape.supply(key).count > limit:
                return True
            if key < len(shape.names) and values.few(need, NO_NEGATIVES, room, limit) is None:
                return True
        return False
