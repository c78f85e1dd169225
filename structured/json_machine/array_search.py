"""Whether an array that is partly written can be completed so that given assertions hold and others fail."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from latticework.structured.json_machine.array_shape import ArrayShape
from latticework.structured.json_machine.atoms import AtLeast, Contains, Elements, Unevaluated, Unique
from latticework.structured.json_machine.cardinality import Values, assignable
from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.formulas import Formulas
from latticework.structured.json_machine.keys import UNBOUNDED
from latticework.structured.json_machine.object_shape import NOTHING
from latticework.structured.json_machine.satisfiable import NO_NEGATIVES, Negatives, Satisfier
from latticework.structured.json_schema.ir import Schema
from latticework.structured.json_schema.values import json_key

#: What holds of an item and what fails: see :meth:`~.satisfiable.Satisfier.height`.
Asked = tuple[frozenset[Schema], Negatives]


@dataclass(frozen=True, slots=True)
class Listed:
    """What an array has so far.

    Attributes:
        count: How many items there are.
        matches: How many items match each of the shape's ``contains`` schemas.
        fresh: Says of an item that it is none of those there, where that matters.
        conditions: What is left of the shape's conditions.
        last: What holds and what fails of the last item where ``fresh`` does not know it yet, but an equal one may
            follow.
    """

    count: int = 0
    matches: tuple[int, ...] = ()
    fresh: Schema | None = None
    conditions: tuple[int, ...] = ()
    last: Asked | None = None


@dataclass(slots=True)
class _Task:
    """A conjunction of literals, sorted by what they ask for."""

    low: int = 0
    high: int = UNBOUNDED
    values: list[int] = field(default_factory=list)
    unevaluated: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    unique: bool = False
    wanted: list[int] = field(default_factory=list)
    allowed: list[int] = field(default_factory=list)


#: Values that an item must be one of.
_Domain = frozenset[Hashable]


@dataclass(frozen=True, slots=True)
class _Place:
    """A state of the search over items.

    Attributes:
        count: Items so far, as far as it matters.
        wanted: Matches still wanted, of each of the shape's ``contains`` schemas.
        allowed: Matches still allowed.
        broken: Assertions still to be broken, items that are equal left out.
        twin: Of an item to which a later one may be equal; ``None`` if none is chosen.
        equal: Whether two items must become equal.
        domains: Of the items that must be different: the few values that each may have.
    """

    count: int
    wanted: tuple[int, ...]
    allowed: tuple[int, ...]
    broken: frozenset[int]
    twin: Asked | None
    equal: bool
    domains: tuple[_Domain, ...] = ()


class ArraySearch:
    """Completions of arrays of one grammar.

    Attributes:
        values: Set by whoever makes the search.
    """

    values: Values

    def __init__(self, formulas: Formulas, satisfier: Satisfier) -> None:
        self.formulas = formulas
        self.satisfier = satisfier
        self._shapes: dict[tuple[int, ...], ArrayShape] = {}
        self._options: dict[tuple[Schema, ...], Schema] = {}

    def shape(self, variables: tuple[int, ...]) -> ArrayShape:
        """The shape of these assertions, made once."""
        shape = self._shapes.get(variables)
        if shape is None:
            shape = self._shapes[variables] = ArrayShape(self.formulas, variables)
        return shape

    def height(self, function: int, room: int) -> int | None:
        """See :class:`~.satisfiable.Parts`."""
        shape = self.shape(self.formulas.diagrams.support(function))
        return self.completion(shape, function, Listed(0, (0,) * len(shape.contains), None, shape.conditions), room)

    def any_of(self, options: tuple[Schema, ...]) -> Schema:
        """The schema of what satisfies one of the options, made once."""
        schema = self._options.get(options)
        if schema is None:
            schema = self._options[options] = Schema(options[0].path, any_of=options)
        return schema

    def completion(
        self, shape: ArrayShape, function: int, listed: Listed, room: int, *, more: bool = False
    ) -> int | None:
        """How deep the items still to be written must nest. As :meth:`~.object_search.ObjectSearch.completion`.

        Args:
            more: At least one more item must follow.
        """
        if function == FALSE:
            return None
        least = listed.count + more
        return self.satisfier.solve(
            function,
            lambda holds, fails: _Completion(self, shape, listed, room, least).height(holds, fails),
            listed.conditions,
        )


class _Completion:
    """One search: which items to add."""

    def __init__(self, search: ArraySearch, shape: ArrayShape, listed: Listed, room: int, least: int) -> None:
        self._search = search
        self._shape = shape
        self._listed = listed
        self._room = room
        self._least = least
        self._conditions: dict[int, int] = {}

    def height(self, holds: tuple[int, ...], fails: tuple[int, ...]) -> int | None:
        """See :class:`~.satisfiable.Feasible`."""
        task = self._sorted(holds, fails)
        if task.low > task.high or self._listed.count > task.high or min(task.allowed, default=0) < 0:
            return None
        if any(want > allow for want, allow in zip(task.wanted, task.allowed, strict=True)):
            return None
        bounded = any(allow < UNBOUNDED for allow in task.allowed)
        if task.broken or any(task.wanted) or (bounded and task.low > self._listed.count):
            return self._steps(task)
        return self._plain(task)

    def _sorted(self, holds: tuple[int, ...], fails: tuple[int, ...]) -> _Task:
        task, atoms, shape = _Task(self._least), self._search.formulas.atoms, self._shape
        task.wanted = [0] * len(shape.contains)
        task.allowed = [UNBOUNDED] * len(shape.contains)
        for variable in holds:
            atom = atoms[variable]
            if isinstance(atom, AtLeast):
                task.low = max(task.low, atom.count)
            elif isinstance(atom, Contains):
                at = shape.contains.index(atom.schema)
                task.wanted[at] = max(task.wanted[at], atom.count - self._listed.matches[at])
            elif isinstance(atom, Unique):
                task.unique = True
            elif isinstance(atom, Unevaluated):
                task.unevaluated.append(variable)
            else:
                task.values.append(variable)
        for variable in fails:
            atom = atoms[variable]
            if isinstance(atom, AtLeast):
                task.high = min(task.high, atom.count - 1)
            elif isinstance(atom, Contains):
                at = shape.contains.index(atom.schema)
                task.allowed[at] = min(task.allowed[at], atom.count - 1 - self._listed.matches[at])
            else:
                task.broken.append(variable)
        self._conditions = {**dict.fromkeys(holds, TRUE), **dict.fromkeys(fails, FALSE)}
        return task

    def _plain(self, task: _Task) -> int | None:
        """Nothing to reach but the least number of items: they are alike from the shape's width on."""
        height, width, count = 0, self._shape.width, self._listed.count
        missing = task.low - count
        needs: dict[Asked, int] = {}
        for index in range(count, min(task.low, max(width, count) + 1)):
            asked = self._asked(task, index, NOTHING, NO_NEGATIVES)
            inner = None if asked is None else self._height(asked)
            if asked is None or inner is None:
                return None
            height = max(height, inner)
            needs[asked] = needs.get(asked, 0) + (1 if index < width else task.low - index)
        if not task.unique or missing < 2:
            return height
        domains: list[_Domain] = []
        for asked, number in needs.items():
            domain = self._domain(asked, missing)
            if domain is not None and len(domain) < number:
                return None
            domains += [domain] * number if domain is not None else []
        return self._room if assignable(domains) else None

    def _steps(self, task: _Task) -> int | None:
        """Breadth-first over items until everything wanted has come about."""
        unique = self._shape.unique
        broken = frozenset(task.broken) - {unique}
        equal = unique in task.broken
        start = _Place(self._listed.count, tuple(task.wanted), tuple(task.allowed), broken, self._listed.last, equal)
        cap = max(self._shape.width, task.low)
        most = most_items(self._shape, task.low, start.count, sum(task.wanted) + len(task.broken))
        places: dict[_Place, int] = {start: 0}
        front, length = [start], 0
        while front and (length <= most or not task.unique):
            length += 1
            ahead: list[_Place] = []
            for place in front:
                if place.count >= task.low and not any(place.wanted) and not place.broken and not place.equal:
                    return self._room if place.domains else places[place]
                for target, height in self._moves(task, place, most):
                    self._search.satisfier.budget.work()
                    if target.count > task.high:
                        continue
                    if task.high >= UNBOUNDED and target.count > cap:
                        target = replace(target, count=cap)
                    if target not in places:
                        places[target] = max(places[place], height)
                        ahead.append(target)
            front = ahead
        return None

    def _moves(self, task: _Task, place: _Place, most: int) -> Iterator[tuple[_Place, int]]:
        """What the next item can bring about."""
        wanted, allowed = place.wanted, place.allowed
        matters = [i for i, (want, allow) in enumerate(zip(wanted, allowed, strict=True)) if want or allow < UNBOUNDED]
        for size in range(len(matters), -1, -1):
            for matched in combinations(matters, size):
                if any(allowed[i] == 0 for i in matched):
                    continue
                holds = frozenset(self._shape.contains[i] for i in matched)
                fails = frozenset(
                    frozenset((self._shape.contains[i],))
                    for i in matters
                    if i not in matched and allowed[i] < UNBOUNDED
                )
                left = tuple(max(0, want - (i in matched)) for i, want in enumerate(wanted))
                spare = tuple(a - (i in matched) if a < UNBOUNDED else a for i, a in enumerate(allowed))
                for group, breaking in self._breaks(place.count, place.broken):
                    asked = self._asked(task, place.count, holds, fails | breaking)
                    if asked is not None:
                        target = _Place(
                            place.count + 1, left, spare, place.broken - group, place.twin, place.equal, place.domains
                        )
                        yield from self._chosen(task, target, asked, most)

    def _chosen(self, task: _Task, target: _Place, asked: Asked, most: int) -> Iterator[tuple[_Place, int]]:
        """The ways to choose the next item, which brings about ``target`` but for what items have to do with others."""
        height = self._height(asked)
        if height is None:
            return
        if target.equal:
            fresh = self._listed.fresh
            others = [target.twin] if target.twin is not None else []
            if fresh is not None and fresh.negated is not None:
                others.append((frozenset((fresh.negated,)), NO_NEGATIVES))
            for holds, fails in others:
                same = self._height((asked[0] | holds, asked[1] | fails))
                if same is not None:
                    yield replace(target, twin=None, equal=False), same
            yield target, height
            yield replace(target, twin=asked), height
            return
        if task.unique and most > 1:
            domain = self._domain(asked, most)
            if domain is not None:
                domains = (*target.domains, domain)
                if not assignable(domains):
                    return
                target = replace(target, domains=tuple(sorted(domains, key=hash)))
        yield target, height

    def _breaks(self, index: int, broken: frozenset[int]) -> Iterator[tuple[frozenset[int], Negatives]]:
        """Which assertions the next item breaks, and what it must fail for that."""
        yield frozenset(), NO_NEGATIVES
        for size in range(1, len(broken) + 1):
            for group in combinations(sorted(broken), size):
                ways = [self._breaking(variable, index) for variable in group]
                fails = [way for way in ways if way is not None]
                if len(fails) == len(ways):
                    yield frozenset(group), NO_NEGATIVES.union(*fails)

    def _breaking(self, variable: int, index: int) -> Negatives | None:
        """What the item at ``index`` must fail to break an assertion; ``None`` if it cannot."""
        atom = self._search.formulas.atoms[variable]
        if isinstance(atom, Elements):
            need = self._shape.need(variable, index)
            return NO_NEGATIVES if need is None else frozenset((need,)) if need else None
        if not isinstance(atom, Unevaluated):
            return None
        schema = atom.schema.unevaluated_items
        if self._condition(variable, index) != FALSE or schema is None or schema.constant is True:
            return None
        fails = frozenset(frozenset((part,)) for decided, part in self._parts(variable) if decided != FALSE)
        return fails | {frozenset((schema,))} if schema.constant is None else fails

    def _condition(self, variable: int, index: int) -> int:
        clause = self._shape.clause(variable, index, self._listed.conditions)
        return self._search.formulas.diagrams.replace(clause, self._conditions)

    def _parts(self, variable: int) -> Iterator[tuple[int, Schema]]:
        """The ``contains`` schemas that evaluate items which match them, and on what condition that is still."""
        for condition, part in self._shape.matched(variable, self._listed.conditions):
            yield self._search.formulas.diagrams.replace(condition, self._conditions), part

    def _asked(self, task: _Task, index: int, holds: frozenset[Schema], fails: Negatives) -> Asked | None:
        """All that is asked of the item at ``index``; ``None`` if nothing can be there."""
        need = self._shape.needs(task.values, index)
        if need is None:
            return None
        need = need | holds
        for variable in task.unevaluated:
            if self._condition(variable, index) == TRUE:
                continue
            schema = self._search.formulas.atoms[variable].schema.unevaluated_items  # type: ignore[attr-defined]
            others = [part for decided, part in self._parts(variable) if decided == TRUE]
            if others:
                options = tuple(others) if schema.constant is False else (*others, schema)
                need = need | {self._search.any_of(options)}
            elif schema.constant is False:
                return None
            elif schema.constant is None:
                need = need | {schema}
        fresh = self._listed.fresh
        if task.unique and fresh is not None and not self._more_than_listed(need, fails):
            need = need | {fresh}
        return need, fails

    def _more_than_listed(self, need: frozenset[Schema], fails: Negatives) -> bool:
        """Whether there are more such values than items so far: one of them is new, whatever the items are."""
        many = rounded(len(self._listed_values()))
        return self._search.values.few(need, fails, self._room, many) is None

    def _listed_values(self) -> Sequence[object]:
        """The items so far, where later ones must differ from them."""
        fresh = self._listed.fresh
        return () if fresh is None or fresh.negated is None else fresh.negated.enum or ()

    def _height(self, asked: Asked) -> int | None:
        """How deep such an item must nest."""
        return self._search.satisfier.height(*asked, self._room) if any(asked) else 0

    def _domain(self, asked: Asked, most: int) -> _Domain | None:
        """The values that an item may have where they are fewer than ``most``."""
        holds, fails = asked
        listed = frozenset(map(json_key, self._listed_values()))
        few = self._search.values.few(holds - {self._listed.fresh}, fails, self._room, rounded(most - 1 + len(listed)))
        if few is None:
            return None
        domain = frozenset(few) - listed
        return domain if len(domain) < most else None


def most_items(shape: ArrayShape, low: int, count: int, tasks: int) -> int:
    """How many items are still needed at most, where that many of them are to bring something about."""
    return max(low - count, 0, max(shape.width - count, 0) + tasks if tasks else 0)


def rounded(limit: int) -> int:
    """The next larger power of two: so that few limits are asked about."""
    return 1 << max(limit, 1).bit_length()
