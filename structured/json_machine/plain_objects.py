"""Objects of which everything demanded must hold: no alternatives to keep track of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from latticework.structured.json_machine.atoms import AtLeast, Has, Unevaluated
from latticework.structured.json_machine.demand import RETURNS, Demand
from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.frame import NONE_USED, ObjectFrame, State, Used
from latticework.structured.json_machine.keys import UNBOUNDED
from latticework.structured.json_machine.object_families import ObjectFamily, rules
from latticework.structured.json_machine.object_shape import NOTHING, Need, ObjectShape
from latticework.structured.json_machine.satisfiable import NO_NEGATIVES
from latticework.structured.pushdown.family import CLOSE, GO_ON, Family, Kind
from latticework.structured.pushdown.protocol import Return

if TYPE_CHECKING:
    from latticework.structured.json_machine.source import JsonMachine


def plain_object(machine: JsonMachine, function: int, depth: int) -> PlainObject | None:
    """The frame for objects that satisfy a function, or ``None`` if it leaves alternatives open."""
    formulas = machine.formulas
    cube = formulas.diagrams.cube(function)
    if cube is None:
        return None
    holds, fails = cube
    atoms = formulas.atoms
    for variable in fails:
        atom = atoms[variable]
        if not isinstance(atom, AtLeast) and not (isinstance(atom, Has) and len(atom.names) == 1):
            return None
    if any(isinstance(atoms[variable], Unevaluated) for variable in holds):
        shape = machine.objects.shape(formulas.diagrams.support(function))
        known = {**dict.fromkeys(holds, TRUE), **dict.fromkeys(fails, FALSE)}
        for variable in holds:
            clauses = range(shape.classes) if isinstance(atoms[variable], Unevaluated) else ()
            for key in clauses:
                if formulas.diagrams.replace(shape.clause(variable, key, shape.conditions), known) > TRUE:
                    return None
    return PlainObject(machine, function, depth)


class PlainObject(ObjectFrame):
    """A frame. Its state is ``(names used, properties so far, other keys used)``.

    The names used are a bit set; in declared order, those that were passed over count as used. The properties are
    counted only as far as it matters.

    Attributes:
        rules: What the symbols of its families can be completed with.
        endless: Whether any number of members can always be added.
    """

    value_results = 1

    def __init__(self, machine: JsonMachine, function: int, depth: int) -> None:
        formulas = machine.formulas
        shape = machine.objects.shape(formulas.diagrams.support(function))
        cube = formulas.diagrams.cube(function)
        assert cube is not None
        self._values = [v for v in cube[0] if not isinstance(formulas.atoms[v], AtLeast | Has)]
        self._depth = depth
        self._low, self._high = 0, UNBOUNDED
        self._required = forbidden = 0
        for variable in cube[0]:
            atom = formulas.atoms[variable]
            if isinstance(atom, AtLeast):
                self._low = max(self._low, atom.count)
            elif isinstance(atom, Has):
                self._required |= shape.mask(atom.names)
        for variable in cube[1]:
            atom = formulas.atoms[variable]
            if isinstance(atom, AtLeast):
                self._high = min(self._high, atom.count - 1)
            elif isinstance(atom, Has):
                forbidden |= shape.mask(atom.names)
        known = {**dict.fromkeys(cube[0], TRUE), **dict.fromkeys(cube[1], FALSE)}
        self._unevaluated = [v for v in self._values if isinstance(formulas.atoms[v], Unevaluated)]
        self._known = known
        usable = 0
        room = machine.room(depth) - 1
        self._needs: dict[int, Need] = {}
        height = machine.satisfier.height
        for key in range(shape.classes):
            if forbidden >> key & 1:
                continue
            need = self._need_of(machine, shape, key)
            need = self._needs[key] = machine.leaves.same(need) if need else need
            if need is not None and (need == NOTHING or height(need, NO_NEGATIVES, room) is not None):
                usable |= 1 << key
        self._usable = usable
        names = len(shape.names)
        super().__init__(machine, shape, bool(usable >> names))
        self._own = (1 << names) - 1
        self._spare = 0
        if self._low:
            self._spare = min(UNBOUNDED, sum(shape.supply(k).count for k in self._classes if usable >> k & 1))
        self._counting = bool(self._low or self._high < UNBOUNDED)
        self.endless = self._others and self.ample and self._high == UNBOUNDED
        self._demands: dict[int, Demand] = {}
        ordered = self._required & shape.declared if machine.declared else 0
        captured = usable & ~self._own if self._others else 0
        self.rules = rules(usable, ordered, self._required, captured)

    def first(self) -> State:
        """The state of an empty object."""
        return (0, 0, NONE_USED)

    def entered(self, names: Iterable[str], count: int, used: Used) -> State:
        """The state of an object that has ``count`` properties already.

        Args:
            names: Which it has or can have no more; of those that are none of the names here, other keys.
            count: See above.
            used: The other keys that it has besides.
        """
        seen, others = 0, set(used)
        for name in names:
            key = self.shape.index.get(name)
            if key is not None:
                seen |= 1 << key
            else:
                others.add(json.dumps(name, ensure_ascii=False).encode())
        if not self._counting:
            count = 0
        elif self._high >= UNBOUNDED:
            count = min(count, self._low)
        return (seen, count, frozenset(others) if self._others else NONE_USED)

    def family(self, kind: Kind, state: State) -> tuple[Family, int] | None:
        """See :class:`Frame`."""
        if self._counting or not self.ample:
            return None
        seen, _, used = state
        return ObjectFamily(self, kind, used), seen  # type: ignore[return-value, arg-type]

    def ways(self, state: State) -> int:
        """See :class:`Frame`."""
        seen, count, _ = state
        close = not self._required & ~seen and count >= self._low  # type: ignore[operator]
        return (1 << GO_ON if self.allowed(state) else 0) | (close << CLOSE)

    def close(self, state: State) -> Return:
        """See :class:`Frame`."""
        return RETURNS[0]

    def allowed(self, state: State) -> int:
        """See :class:`ObjectFrame`."""
        seen: int = state[0]  # type: ignore[assignment]
        keys = self.rules[Kind.CHOOSE].goal(seen)
        if not self._counting:
            return self._left(state, keys)
        count: int = state[1]  # type: ignore[assignment]
        if self._high < UNBOUNDED:
            missing = self._required & ~seen
            free = self._high - count - missing.bit_count()
            if free <= 0:
                keys &= missing
        if self.machine.declared and self._low > count:
            keys = self._reaching(state, keys)
        return self._left(state, keys)

    def take(self, state: State, key: int, text: bytes | None) -> tuple[Demand, State]:
        """See :class:`ObjectFrame`."""
        seen, count, used = state
        if self._counting:
            count = count + 1  # type: ignore[operator]
            if self._high >= UNBOUNDED:
                count = min(count, self._low)
        if self.machine.declared:
            seen = seen | ((1 << key) - 1 & self.shape.declared)  # type: ignore[operator]
        if key < self._names:
            seen = seen | 1 << key  # type: ignore[operator]
        elif text is not None:
            used = used | {text}  # type: ignore[operator]
        demand = self._demands.get(key)
        if demand is None:
            need = self._needs[key]
            assert need is not None
            demand = self._demands[key] = self.machine.child((need,), self._depth)
        return demand, (seen, count, used)

    def _left(self, state: State, keys: int) -> int:
        """Without the other keys of which none is left."""
        others = keys >> self._names
        if not others or self.ample:
            return keys
        lexeme, added = self.lexeme(state)
        if not added:
            return keys
        left = 0
        outcomes = lexeme.table.outcome_set(lexeme.table.start)
        for j, vector in enumerate(lexeme.vectors):
            if outcomes >> self._names + added + j & 1:
                left |= 1 << self._names + self.shape.vectors.index(vector)
        return keys & (self._own | left)

    def _reaching(self, state: State, keys: int) -> int:
        """The keys after which enough others are left, where those passed over are lost."""
        seen, count, used = state
        spare = self._spare - (len(used) if self._spare < UNBOUNDED else 0)  # type: ignore[arg-type]
        free = (self._usable & self._own & ~self.shape.declared & ~seen).bit_count()  # type: ignore[operator]
        result = keys & ~self._own if count + free + spare >= self._low else 0
        for key in range(self._names):
            if keys >> key & 1:
                ordered = self._usable & self.shape.declared & ~((1 << key + 1) - 1)
                after = ordered.bit_count() + free - (not self.shape.declared >> key & 1)
                if count + 1 + after + spare >= self._low:  # type: ignore[operator]
                    result |= 1 << key
        return result

    def _need_of(self, machine: JsonMachine, shape: ObjectShape, key: int) -> Need:
        need = shape.needs(self._values, key)
        for variable in self._unevaluated if need is not None else ():
            clause = machine.formulas.diagrams.replace(shape.clause(variable, key, shape.conditions), self._known)
            schema = machine.formulas.atoms[variable].schema.unevaluated_properties  # type: ignore[attr-defined]
            if clause == FALSE and need is not None:
                need = None if schema.constant is False else need | {schema} if schema.constant is None else need
        return need
