"""One way to complete an object that is partly written: which keys to add, and what their values satisfy or break."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from latticework.structured.bitset import bits
from latticework.structured.json_machine.atoms import AtLeast, Has, Unevaluated
from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.formulas import Formulas
from latticework.structured.json_machine.keys import UNBOUNDED
from latticework.structured.json_machine.object_shape import NOTHING, Need, ObjectShape
from latticework.structured.json_machine.satisfiable import NO_NEGATIVES, Negatives, Satisfier

#: ``(class of keys, number)``: the number tells several keys of one class apart.
_Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Written:
    """What an object has so far.

    Attributes:
        seen: The names used, as a bit set of the shape.
        count: How many properties there are.
        others: How many of them are in each class of other keys; empty where there are enough keys of every class.
        closed: Names that can no longer be used, though they were not.
        conditions: What is left of the shape's conditions.
    """

    seen: int = 0
    count: int = 0
    others: tuple[int, ...] = ()
    closed: int = 0
    conditions: tuple[int, ...] = ()


@dataclass(slots=True)
class _Task:
    """A conjunction of literals, sorted by what they ask for."""

    low: int = 0
    high: int = UNBOUNDED
    required: int = 0
    values: list[int] = field(default_factory=list)
    unevaluated: list[int] = field(default_factory=list)
    absent: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)


class Completion:
    """A search for keys that make given assertions hold and others fail.

    Args:
        formulas: The grammar's functions.
        satisfier: Knows what values there are.
        shape: Knows the assertions.
        written: What is there already.
        room: How deep the parts may nest.
        holds: The assertions that must hold, as variables.
        fails: Those that must fail.
        forced: A class of keys of which one must be added.
    """

    def __init__(
        self,
        formulas: Formulas,
        satisfier: Satisfier,
        shape: ObjectShape,
        written: Written,
        room: int,
        holds: tuple[int, ...],
        fails: tuple[int, ...],
        forced: int | None = None,
    ) -> None:
        self._formulas = formulas
        self._satisfier = satisfier
        self._shape = shape
        self._names = len(shape.names)
        self._written = written
        self._room = room
        self._forced = forced
        self._conditions = {**dict.fromkeys(holds, TRUE), **dict.fromkeys(fails, FALSE)}
        self._task = self._sorted(holds, fails)
        self._left_out = 0
        self._added: tuple[int, ...] = ()
        self._total = 0

    def height(self) -> int | None:
        """How deep the parts still to be written must nest; ``None`` if more than the room, or if there is no way."""
        task = self._task
        if task is None or task.low > task.high or self._written.count > task.high:
            return None
        # Keys are independent of each other, but for their number: what cannot be done alone cannot be done at all.
        needed = bits(task.required) if self._forced is None else [*bits(task.required), self._forced]
        if any(self._value(task, key, NO_NEGATIVES) is None for key in needed):
            return None
        alone: dict[_Key, Negatives] = {}
        for variable in task.broken:
            way = self._alone(task, variable)
            if way is None:
                return None
            alone[way[0]] = alone.get(way[0], NO_NEGATIVES) | way[1]
        if len(task.broken) > 1:
            found = self._together(task, alone)
            if found is not None:
                return found
        return self._without(task, 0, 0)

    def _together(self, task: _Task, chosen: dict[_Key, Negatives]) -> int | None:
        """Try what can be done alone all at once, which usually is possible just as well."""
        taken = task.required | sum(1 << key for key in {key for key, _ in chosen} if key < self._names)
        forbidden = 0
        for missing in task.absent:
            if not missing & forbidden:
                free = missing & ~taken
                forbidden |= free & -free
                if not free:
                    return None
        if self._forced is not None and self._forced >= self._names:
            chosen = {(self._forced, 0): NO_NEGATIVES, **chosen}
        return self._finished(task, forbidden, chosen)

    def breakable(self, variable: int) -> bool:
        """Whether an assertion about values or names can be made to fail, without regard to the others that must."""
        return self._task is not None and self._alone(self._task, variable) is not None

    def _alone(self, task: _Task, variable: int) -> tuple[_Key, Negatives] | None:
        """A key with what its value must break for the assertion to fail."""
        for key in self._candidates(task, variable, 0, {}, 0):
            self._satisfier.budget.work()
            broken = self._broken_at(variable, key[0])
            if broken is not None and self._value(task, key[0], broken) is not None:
                return key, broken
        return None

    def takes(self, key: int, closed: int) -> bool:
        """Whether what :meth:`height` found goes with one more key of this class. ``False`` may mean "not known".

        Args:
            key: The class.
            closed: Names that can then no longer be used.
        """
        task = self._task
        assert task is not None
        if any(added < self._names and closed >> added & 1 for added in self._added):
            return False
        if key in self._added and key < self._names:
            return True
        if key < self._names:
            if self._left_out >> key & 1:
                return False
        elif self._shape.supply(key).count < UNBOUNDED:
            return False
        return self._total < task.high and self._value(task, key, NO_NEGATIVES) is not None

    def _sorted(self, holds: tuple[int, ...], fails: tuple[int, ...]) -> _Task | None:
        task, atoms, shape = _Task(), self._formulas.atoms, self._shape
        for variable in holds:
            atom = atoms[variable]
            if isinstance(atom, AtLeast):
                task.low = max(task.low, atom.count)
            elif isinstance(atom, Has):
                task.required |= shape.mask(atom.names) & ~self._written.seen
            elif isinstance(atom, Unevaluated):
                task.unevaluated.append(variable)
            else:
                task.values.append(variable)
        for variable in fails:
            atom = atoms[variable]
            if isinstance(atom, AtLeast):
                task.high = min(task.high, atom.count - 1)
            elif isinstance(atom, Has):
                missing = shape.mask(atom.names) & ~self._written.seen
                if not missing:
                    return None
                task.absent.append(missing)
            else:
                task.broken.append(variable)
        if self._forced is not None and self._forced < len(shape.names):
            task.required |= 1 << self._forced
        if task.required & self._written.closed:
            return None
        return task

    def _without(self, task: _Task, number: int, forbidden: int) -> int | None:
        """Choose a name to leave out for each assertion that some names are missing."""
        if number == len(task.absent):
            if task.required & forbidden:
                return None
            forced = self._forced is not None and self._forced >= self._names
            return self._breaking(task, 0, forbidden, {(self._forced or 0, 0): NO_NEGATIVES} if forced else {})
        missing = task.absent[number]
        if missing & forbidden:
            return self._without(task, number + 1, forbidden)
        for bit in bits(missing & ~task.required):
            found = self._without(task, number + 1, forbidden | 1 << bit)
            if found is not None:
                return found
        return None

    def _breaking(self, task: _Task, number: int, forbidden: int, chosen: dict[_Key, Negatives]) -> int | None:
        """Choose a key for each assertion about values or names that must fail."""
        if number == len(task.broken):
            return self._finished(task, forbidden, chosen)
        variable = task.broken[number]
        for key in self._candidates(task, variable, forbidden, chosen, number):
            broken = self._broken_at(variable, key[0])
            if broken is None:
                continue
            self._satisfier.budget.ask()
            fails = chosen.get(key, NO_NEGATIVES) | broken
            if self._value(task, key[0], fails) is None:
                continue
            found = self._breaking(task, number + 1, forbidden, {**chosen, key: fails})
            if found is not None:
                return found
        return None

    def _broken_at(self, variable: int, key: int) -> Negatives | None:
        """What a key's value must break so that the assertion fails; ``None`` if this key cannot make it fail."""
        atom = self._formulas.atoms[variable]
        if isinstance(atom, Unevaluated):
            clause = self._clause(variable, key)
            schema = atom.schema.unevaluated_properties
            if clause != FALSE or schema is None or schema.constant is True:
                return None
            return NO_NEGATIVES if schema.constant is False else frozenset((frozenset((schema,)),))
        need = self._shape.need(variable, key)
        if need is None:
            return NO_NEGATIVES
        return frozenset((need,)) if need else None

    def _candidates(
        self, task: _Task, variable: int, forbidden: int, chosen: dict[_Key, Negatives], number: int
    ) -> Iterator[_Key]:
        """Keys that might make the assertion fail: first those that are there anyway, then those it does not allow."""
        required = bits(task.required)
        yield from ((key, 0) for key in required)
        yield from (key for key in chosen if not (key[1] == 0 and task.required >> key[0] & 1))
        free = ~(forbidden | self._written.seen | self._written.closed | task.required)
        rest: list[_Key] = []
        for key in range(self._shape.classes):
            place = (key, 0) if key < self._names else (key, number + 1)
            if place in chosen or (key < self._names and not free >> key & 1):
                continue
            if self._shape.need(variable, key) is None:
                yield place
            else:
                rest.append(place)
        yield from rest

    def _finished(self, task: _Task, forbidden: int, chosen: dict[_Key, Negatives]) -> int | None:
        """Whether the keys that must be there can be, and enough others to reach the least number."""
        height = 0
        keys = dict.fromkeys((key, 0) for key in bits(task.required))
        keys.update(dict.fromkeys(chosen))
        total = self._written.count + len(keys)
        if total > task.high:
            return None
        for key, number in keys:
            inner = self._value(task, key, chosen.get((key, number), NO_NEGATIVES))
            if inner is None:
                return None
            height = max(height, inner)
        others_matter = task.low > total or len(keys) > task.required.bit_count()
        for key in range(self._names, self._shape.classes) if others_matter else ():
            mine = sum(1 for used, _ in chosen if used == key)
            supply = self._shape.supply(key).count
            supply -= self._written.others[key - self._names] if self._written.others else 0
            if mine > supply:
                return None
            if task.low > total:
                inner = self._value(task, key, NO_NEGATIVES)
                if inner is not None:
                    height = max(height, inner)
                    total += min(supply - mine, task.low - total)
        added = [key for key, _ in keys]
        free = ~(forbidden | self._written.seen | self._written.closed | task.required)
        for key in range(self._names) if task.low > total else ():
            if free >> key & 1 and (key, 0) not in chosen and total < task.low:
                inner = self._value(task, key, NO_NEGATIVES)
                if inner is not None:
                    height = max(height, inner)
                    total += 1
                    added.append(key)
        self._left_out, self._added, self._total = forbidden, tuple(added), total
        return height if total >= task.low else None

    def _clause(self, variable: int, key: int) -> int:
        """Under which condition the key is evaluated, given what is assumed."""
        clause = self._shape.clause(variable, key, self._written.conditions)
        return self._formulas.diagrams.replace(clause, self._conditions)

    def _value(self, task: _Task, key: int, fails: Negatives) -> int | None:
        """How deep the value under a key must nest."""
        need: Need = self._shape.needs(task.values, key)
        if need is None:
            return None
        for variable in task.unevaluated:
            clause = self._clause(variable, key)
            if clause != TRUE:
                schema = self._formulas.atoms[variable].schema.unevaluated_properties  # type: ignore[attr-defined]
                if schema.constant is False:
                    return None
                need = need | {schema} if schema.constant is None else need
        if need == NOTHING and not fails:
            return 0
        return self._satisfier.height(need, fails, self._room)
