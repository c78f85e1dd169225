"""What must be known of an item that is being read because later items may have to be equal to it, or different.

Equal to it: then it is asked whether it satisfies what later items must. Different: then it matters whether it takes
away one of few values that later items may have.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from latticework.structured.json_machine.array_search import Asked, most_items, rounded
from latticework.structured.json_machine.array_shape import ArrayShape
from latticework.structured.json_machine.atoms import AtLeast, Contains, Elements, Unevaluated
from latticework.structured.json_machine.diagrams import FALSE, TRUE, Cube
from latticework.structured.json_machine.object_shape import NOTHING
from latticework.structured.json_machine.satisfiable import NO_NEGATIVES, Negatives
from latticework.structured.json_schema.ir import Schema
from latticework.structured.json_schema.values import exact_json, json_key

if TYPE_CHECKING:
    from latticework.structured.json_machine.source import JsonMachine

#: Schemas that are asked about together.
_Group = frozenset[Schema]


@dataclass(frozen=True, slots=True)
class Repeat:
    """Questions about one item.

    Attributes:
        same: What later items may have to satisfy; ``None``: none has to be equal to this one.
        values: The values that later items may need, each with a text of it.
    """

    same: tuple[_Group, ...] | None = None
    values: Mapping[_Group, bytes] = field(default_factory=dict)

    def groups(self) -> Iterator[_Group]:
        """All that is to be asked."""
        yield from self.same or ()
        yield from self.values

    def last(self, verdicts: Mapping[_Group, bool]) -> Asked | None:
        """What is known of the item where a later one may have to be equal to it."""
        if self.same is None:
            return None
        holds = NOTHING.union(*(group for group in self.same if verdicts[group]))
        return holds, frozenset(group for group in self.same if not verdicts[group])

    def text(self, verdicts: Mapping[_Group, bool]) -> bytes | None:
        """A text of the item if it is one of the values."""
        return next((text for group, text in self.values.items() if verdicts[group]), None)


_NOTHING_TO_ASK = Repeat()


class Repeats:
    """Of the arrays of one frame.

    Args:
        machine: The grammar.
        shape: Knows the assertions.
        room: How deep items may nest.
    """

    def __init__(self, machine: JsonMachine, shape: ArrayShape, room: int) -> None:
        self._machine = machine
        self._shape = shape
        self._room = room

    def asked(
        self, accepted: int, count: int, wanted: int, texts: frozenset[bytes], conditions: tuple[int, ...]
    ) -> Repeat:
        """What is to be asked of the item at index ``count``.

        Args:
            accepted: What must come to hold.
            count: Items before it.
            wanted: Matches of ``contains`` schemas that may still be wanted.
            texts: The items before it, as they were written.
            conditions: What is left of the shape's conditions.
        """
        diagrams, unique = self._machine.formulas.diagrams, self._shape.unique
        if unique is None or unique not in diagrams.support(accepted):
            return _NOTHING_TO_ASK
        variables, cube = self._in_play(accepted, conditions)
        same = None
        if diagrams.replace(accepted, {unique: FALSE}) != FALSE:
            same = tuple(self._groups(variables, range(count + 1, max(self._shape.width, count + 1) + 1), conditions))
        values: dict[_Group, bytes] = {}
        most = self._most(cube, count + 1, wanted)
        if most and diagrams.replace(accepted, {unique: TRUE}) != FALSE:
            listed = {json_key(exact_json(text)) for text in texts}
            certain = [v for v in variables if diagrams.replace(accepted, {v: FALSE}) == FALSE]
            for text in self._needed(certain, variables, count + 1, most, listed, conditions).values():
                values[frozenset((self._machine.only(text),))] = text
        return Repeat(same, values)

    def _in_play(self, accepted: int, conditions: tuple[int, ...]) -> tuple[tuple[int, ...], Cube]:
        """The variables that matter, and those that may have to hold and to fail."""
        diagrams, atoms = self._machine.formulas.diagrams, self._machine.formulas.atoms
        variables = diagrams.support(accepted)
        if not any(isinstance(atoms[v], Unevaluated) for v in variables):
            return variables, diagrams.cube(accepted) or (variables, variables)
        variables = tuple(sorted({*variables, *(v for condition in conditions for v in diagrams.support(condition))}))
        return variables, (variables, variables)

    def _most(self, cube: Cube, count: int, wanted: int) -> int:
        """How many items are needed from index ``count`` on, at most."""
        atoms, (holds, fails) = self._machine.formulas.atoms, cube
        low = max((atom.count for v in holds if isinstance(atom := atoms[v], AtLeast)), default=0)
        tasks = wanted if any(isinstance(atoms[v], Contains) for v in holds) else 0
        tasks += sum(isinstance(atoms[v], Elements | Unevaluated) for v in fails)
        return most_items(self._shape, low, count, tasks)

    def _groups(self, variables: Iterable[int], indices: range, conditions: tuple[int, ...]) -> dict[_Group, None]:
        """All that assertions may ask of later items."""
        atoms = self._machine.formulas.atoms
        found: dict[_Group, None] = {}
        for variable in variables:
            atom = atoms[variable]
            parts: list[Schema | None] = []
            if isinstance(atom, Elements):
                needs = (self._shape.need(variable, index) for index in indices)
                found.update(dict.fromkeys(need for need in needs if need))
            elif isinstance(atom, Contains):
                parts = [atom.schema]
            elif isinstance(atom, Unevaluated):
                parts = [atom.schema.unevaluated_items]
                parts += [part for _, part in self._shape.matched(variable, conditions)]
            found.update((frozenset((part,)), None) for part in parts if part is not None and part.constant is None)
        return found

    def _needed(
        self,
        certain: Sequence[int],
        variables: Sequence[int],
        count: int,
        most: int,
        listed: set[Hashable],
        conditions: tuple[int, ...],
    ) -> dict[Hashable, bytes]:
        """The values of which there may be too few for ``most`` items from index ``count`` on."""
        atoms, shape = self._machine.formulas.atoms, self._shape
        certain = [v for v in certain if isinstance(atoms[v], Elements)]
        found: dict[Hashable, bytes] = {}
        for index in range(count, min(count + most, max(shape.width, count) + 1)):
            need = shape.needs(certain, index)
            if need is not None:
                others = (v for v in variables if v not in certain)
                groups = list(self._groups(others, range(index, index + 1), conditions))
                self._split(groups, need, NO_NEGATIVES, most, listed, found)
        return found

    def _split(
        self,
        groups: list[_Group],
        holds: _Group,
        fails: Negatives,
        most: int,
        listed: set[Hashable],
        found: dict[Hashable, bytes],
    ) -> None:
        """What an item may be asked is a union of cases of all groups: the few values of each case."""
        if (holds or fails) and self._machine.satisfier.height(holds, fails, self._room) is None:
            return
        if self._add((holds, fails), most, listed, found) or not groups:
            return
        self._split(groups[1:], holds | groups[0], fails, most, listed, found)
        self._split(groups[1:], holds, fails | {groups[0]}, most, listed, found)

    def _add(self, asked: Asked, most: int, listed: set[Hashable], found: dict[Hashable, bytes]) -> bool:
        """Add the values that an item may have, if they are no more than ``most``."""
        few = self._machine.arrays.values.few(*asked, self._room, rounded(most + len(listed)))
        if few is None or len(few.keys() - listed) > most:
            return False
        found.update((value, text) for value, text in few.items() if value not in listed)
        return True
