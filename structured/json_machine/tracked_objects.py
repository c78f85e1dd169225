"""Objects with alternatives: which assertions still hold decides, with what is to come, what may be written.

What was read is put into the functions at once: an assertion that was broken becomes false in them, one that is certain
true. So two objects that leave the same possibilities are in the same state.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import combinations, islice
from typing import TYPE_CHECKING

from latticework.structured.bitset import bits
from latticework.structured.json_machine.atoms import AtLeast, Has, Members, Names, Unevaluated
from latticework.structured.json_machine.demand import Demand
from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.frame import NONE_USED, ObjectFrame, State, Used
from latticework.structured.json_machine.goals import Cases, Goal, Judgement
from latticework.structured.json_machine.object_completion import Written
from latticework.structured.json_machine.object_shape import ObjectShape
from latticework.structured.json_machine.plain_objects import PlainObject
from latticework.structured.json_schema.ir import Schema
from latticework.structured.pushdown.family import CLOSE, GO_ON
from latticework.structured.pushdown.protocol import Enter, Return

if TYPE_CHECKING:
    from latticework.structured.json_machine.source import JsonMachine

#: How many decisions lie between a case and the questions whether there is anything to find beyond.
_PRUNE_AT = frozenset(range(6, 1000, 4))

#: How many ways to complete an object are tried before each key is asked about.
_WAYS = 64

#: ``(functions of the items and of the shape's conditions, names used, properties so far, names passed over)``
_Known = tuple[tuple[int, ...], int, int, int]


class TrackedObject(ObjectFrame):
    """A frame. Its state is ``(functions, seen, count, closed, used)``, see :class:`~.object_search.Written`.

    While a value is read, its pending consequences stand before the others.
    """

    def __init__(self, machine: JsonMachine, owner: Demand, roots: tuple[int, ...], depth: int) -> None:
        diagrams = machine.formulas.diagrams
        variables = sorted({variable for root in roots for variable in diagrams.support(root)})
        shape = machine.objects.shape(tuple(variables))
        super().__init__(machine, shape, True)
        self._owner = owner
        self._depth = depth
        self._roots = (*roots, *shape.conditions)
        self._items = len(roots)
        atoms = machine.formulas.atoms
        counts = [atoms[v].count for v in shape.variables if isinstance(atoms[v], AtLeast)]  # type: ignore[attr-defined]
        self._cap = max(counts, default=0)
        self._completable: dict[tuple[int, Written, int | None], bool] = {}
        self._allowed: dict[State, int] = {}
        self._groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[list[int]]] = {}
        self._counted: dict[Used, tuple[int, ...]] = {}
        self._pending: dict[tuple[_Known, int], _Pending] = {}

    def first(self) -> State:
        """The state of an empty object."""
        return (*self._decided(self._roots, 0, 0, 0), NONE_USED)

    def ways(self, state: State) -> int:
        """See :class:`Frame`."""
        return (1 << GO_ON if self.allowed(state) else 0) | (self._final(state) in self._owner.goal_words) << CLOSE

    def close(self, state: State) -> Return:
        """See :class:`Frame`."""
        return self._owner.returned(self._final(state))

    def allowed(self, state: State) -> int:
        """See :class:`ObjectFrame`."""
        known = self._allowed.get(state)
        if known is None:
            known = self._allowed[state] = self._find_allowed(state)
        return known

    def take(self, state: State, key: int, text: bytes | None) -> tuple[Demand, State]:
        """See :class:`ObjectFrame`."""
        used: Used = state[4]  # type: ignore[assignment]
        if text is not None:
            used = used | {text}
        known: _Known = state[:4]  # type: ignore[assignment]
        pending = self._pending.get((known, key))
        if pending is None or not self.ample:
            pending = self._pending[known, key] = self._take(known, key, used)
        return pending.demand, (pending, used)

    def settle(self, state: State, result: int) -> State:
        """See :class:`ObjectFrame`."""
        pending, used = state
        assert isinstance(pending, _Pending)
        return (*pending.settled(pending.words[result]), used)

    def next(self, state: State) -> Enter:
        """See :class:`ObjectFrame`. Where no alternatives are left, a plain object goes on."""
        known: _Known = state[:4]  # type: ignore[assignment]
        if self._owner.plain and self.simple(known):
            frame = self.machine.plain("object", known[0][0], self._depth)
            if isinstance(frame, PlainObject) and self._in_order(frame.shape):
                names = [self.shape.names[key] for key in bits(known[1] | known[3])]
                return frame.next(frame.entered(names, known[2], self.used(state)))
        return super().next(state)

    def _in_order(self, shape: ObjectShape) -> bool:
        """Whether another shape has its names in the order of this one, where order matters."""
        places = [self.shape.index[name] for name in shape.names] if self.machine.declared else []
        return places == sorted(places)

    def decided(self, functions: Iterable[int], values: dict[int, int], written: _Known) -> _Known:
        """The state after assertions turned out true or false."""
        diagrams = self.machine.formulas.diagrams
        _, seen, count, closed = written
        # A value may name assertions that are decided by the others.
        final = {v: f for v, f in values.items() if f <= TRUE}
        values = {v: f if f <= TRUE else diagrams.replace(f, final) for v, f in values.items()}
        return self._decided(tuple(diagrams.replace(f, values) for f in functions), seen, count, closed)

    def completable(self, known: _Known, used: Used, forced: int | None = None) -> bool:
        """Whether the object can be ended acceptably from here."""
        accepted = self._owner.accepted(known[0][: self._items])
        if accepted <= TRUE and forced is None:
            return accepted == TRUE
        written = self.written(known, used)
        question = (accepted, written, forced)
        answer = self._completable.get(question)
        if answer is None:
            room = self.machine.room(self._depth) - 1
            found = self.machine.objects.completion(self.shape, accepted, written, room, forced)
            answer = self._completable[question] = found is not None
        return answer

    def simple(self, known: _Known) -> bool:
        """Whether a value can break assertions only for good, whatever else holds."""
        atoms, support = self.machine.formulas.atoms, self.machine.formulas.diagrams.support
        return not any(isinstance(atoms[v], Unevaluated) for function in known[0] for v in support(function))

    def cases(self, known: _Known, used: Used, groups: list[frozenset[int]]) -> Iterator[tuple[int, int]]:
        """In which cases a value lets the object be ended acceptably: see :class:`~.goals.Cases`.

        Args:
            known: The state after the value, if it breaks nothing.
            used: The other keys that were used.
            groups: Per item of the value, the assertions that are broken if the item fails.
        """
        diagrams = self.machine.formulas.diagrams
        room, written = self.machine.room(self._depth) - 1, self.written(known, used)
        item_of = {variable: i for i, group in enumerate(groups) for variable in group}
        always: list[int] = []  # the items that must hold, of the cases in which none must fail
        accepted = self._owner.accepted(known[0][: self._items])
        todo: list[tuple[int, tuple[int, ...], tuple[int, ...], int]] = [(accepted, (), (), 0)]
        while todo:
            self.machine.budget.work()
            node, holds, fails, needed = todo.pop()
            if node == FALSE or any(needed & held == held for held in always):
                continue
            free = {i: group for i, group in enumerate(groups) if not needed >> i & 1 and not group.isdisjoint(fails)}
            if node == TRUE:
                for broken in self._broken(written, room, holds, fails, free):
                    if not broken:
                        always.append(needed)
                    yield needed, sum(1 << i for i in broken)
                continue
            if len(holds) + len(fails) in _PRUNE_AT:
                later = tuple(variable for variable in fails if item_of.get(variable) not in free)
                if self.machine.objects.way(self.shape, written, room, holds, later).height() is None:
                    continue
            for rest, one, other in reversed(diagrams.branches(node)):
                item = None if one is None else item_of.get(one)
                todo.append((
                    rest,
                    holds if one is None else (*holds, one),
                    fails if other is None else (*fails, other),
                    needed if item is None else needed | 1 << item,
                ))  # fmt: skip

    def _broken(
        self,
        written: Written,
        room: int,
        holds: tuple[int, ...],
        fails: tuple[int, ...],
        free: dict[int, frozenset[int]],
    ) -> Iterator[tuple[int, ...]]:
        """The smallest sets of items that must fail, out of ``free``, for ``fails`` to come about.

        An assertion that must fail is broken by this value or by a later one; later is as good, if it is possible.
        """

        def possible(broken: tuple[int, ...]) -> bool:
            done = frozenset().union(*(free[i] for i in broken))
            later = tuple(variable for variable in fails if variable not in done)
            return self.machine.objects.way(self.shape, written, room, holds, later).height() is not None

        if possible(()):
            yield ()
        elif free and possible(tuple(free)):
            way = self.machine.objects.way(self.shape, written, room, holds, fails)
            must = tuple(i for i, group in free.items() if not all(map(way.breakable, group.intersection(fails))))
            rest = [i for i in free if i not in must]
            for size in range(len(rest) + 1):
                found = [must + more for more in combinations(rest, size) if possible(must + more)]
                yield from found
                if found:
                    return

    def written(self, known: _Known, used: Used) -> Written:
        """What searches need to know of a state in which these other keys were used."""
        functions, seen, count, closed = known
        return Written(seen, count, () if self.ample else self._counts(used), closed, functions[self._items :])

    def _counts(self, used: Used) -> tuple[int, ...]:
        """How many of the used keys are in each class."""
        known = self._counted.get(used)
        if known is None:
            counts = [0] * len(self.shape.vectors)
            for text in used:
                counts[self.shape.class_of(json.loads(text)) - self._names] += 1
            known = self._counted[used] = tuple(counts)
        return known

    def _decided(self, functions: tuple[int, ...], seen: int, count: int, closed: int) -> _Known:
        """Put in what is certain now, and forget of the state what no longer matters."""
        formulas = self.machine.formulas
        values: dict[int, int] = {}
        for variable in {v for function in functions for v in formulas.diagrams.support(function)}:
            atom = formulas.atoms[variable]
            if isinstance(atom, Has):
                mask = self.shape.mask(atom.names)
                if not mask & ~seen:
                    values[variable] = TRUE
                elif mask & closed:
                    values[variable] = FALSE
            elif isinstance(atom, AtLeast) and count >= atom.count:
                values[variable] = TRUE
        functions = tuple(formulas.diagrams.replace(f, values) for f in functions)
        items = functions[: self._items]
        support = {v for function in items for v in formulas.diagrams.support(function)}
        if not any(isinstance(formulas.atoms[v], Unevaluated) for v in support):
            functions = (*items, *(TRUE for _ in self.shape.conditions))
        return functions, seen, min(count, self._cap), closed

    def _find_allowed(self, state: State) -> int:
        known: _Known = state[:4]  # type: ignore[assignment]
        functions, seen, count, closed = known
        used: Used = state[4]  # type: ignore[assignment]
        diagrams = self.machine.formulas.diagrams
        support = tuple(sorted({v for function in functions for v in diagrams.support(function)}))
        left = self._left(support, known)
        allowed = 0
        for keys in self._taken(known, used, left) if len(left) > 1 else ():
            allowed |= sum(1 << key for key in keys)
        for keys in left:
            after = self._closed(seen, closed, keys[0])
            if not allowed >> keys[0] & 1 and self.completable((functions, seen, count, after), used, keys[0]):
                allowed |= sum(1 << key for key in keys)
        return allowed

    def _left(self, support: tuple[int, ...], known: _Known) -> list[list[int]]:
        """The keys that may come next, lumped together where one is as good as another."""
        functions, seen, _, closed = known
        conditions = functions[self._items :]
        groups = self._groups.get((support, conditions))
        if groups is None:
            alike: dict[object, list[int]] = {}
            for key in range(self.shape.classes):
                alike.setdefault(self._alike(support, key, conditions), []).append(key)
            groups = self._groups[support, conditions] = list(alike.values())
        gone = (seen | closed) & (1 << self._names) - 1
        left = [[key for key in keys if not gone >> key & 1] for keys in groups] if gone else groups
        if not self.machine.declared:
            return [keys for keys in left if keys]
        places: dict[tuple[int, int], list[int]] = {}
        for number, keys in enumerate(left):
            for key in keys:
                places.setdefault((number, self._closed(seen, closed, key)), []).append(key)
        return list(places.values())

    def _taken(self, known: _Known, used: Used, left: list[list[int]]) -> Iterator[list[int]]:
        """Keys that go with one of a few ways to complete the object, as :meth:`_left` lumps them together."""
        if not self.simple(known):
            return
        functions, seen, _, closed = known
        accepted = self._owner.accepted(functions[: self._items])
        room = self.machine.room(self._depth) - 1
        for way in islice(self.machine.objects.ways(self.shape, accepted, self.written(known, used), room), _WAYS):
            undecided = []
            for keys in left:
                if way.takes(keys[0], self._closed(seen, closed, keys[0])):
                    yield keys
                else:
                    undecided.append(keys)
            left = undecided
            if not left:
                return

    def _alike(self, support: tuple[int, ...], key: int, conditions: tuple[int, ...]) -> object:
        """What distinguishes a class of keys from others, given the assertions that still matter."""
        atoms = self.machine.formulas.atoms
        signature: list[object] = [0 if key < self._names else self.shape.supply(key)]
        for variable in support:
            atom = atoms[variable]
            if isinstance(atom, Members | Names):
                signature.append(self.shape.need(variable, key))
            elif isinstance(atom, Has):
                signature.append(key if key < self._names and self.shape.names[key] in atom.names else None)
            elif isinstance(atom, Unevaluated):
                signature.append(self.shape.clause(variable, key, conditions))
        return tuple(signature)

    def _closed(self, seen: int, closed: int, key: int) -> int:
        """The names passed over when ``key`` comes next, in declared order."""
        if not self.machine.declared:
            return closed
        return (closed | ((1 << key) - 1 & self.shape.declared)) & ~seen

    def _take(self, known: _Known, key: int, used: Used) -> _Pending:
        functions, seen, count, closed = known
        formulas = self.machine.formulas
        closed = self._closed(seen, closed, key)
        if key < self._names:
            seen |= 1 << key
        count = min(count + 1, self._cap)
        values: dict[int, int] = {}
        groups: dict[frozenset[Schema], list[tuple[int, int]]] = {}
        for variable in sorted({v for function in functions for v in formulas.diagrams.support(function)}):
            atom = formulas.atoms[variable]
            if isinstance(atom, Members | Names):
                need = self.shape.need(variable, key)
                if need is None:
                    values[variable] = FALSE
                elif need:
                    groups.setdefault(need, []).append((variable, FALSE))
            elif isinstance(atom, Unevaluated):
                clause = self.shape.clause(variable, key, functions[self._items :])
                schema = atom.schema.unevaluated_properties
                broken = formulas.diagrams.both(formulas.literal(atom), clause)
                if clause == TRUE or schema is None or schema.constant is True:
                    continue
                if schema.constant is False:
                    values[variable] = broken
                else:
                    groups.setdefault(frozenset((schema,)), []).append((variable, broken))
        after = self.decided(functions, values, (functions, seen, count, closed))
        return _Pending(self, after, groups, self._depth, used)

    def _final(self, state: State) -> int:
        """The word of the object if it ends here."""
        formulas = self.machine.formulas

        def holds(variable: int) -> bool:
            return not isinstance(formulas.atoms[variable], Has | AtLeast)

        functions: tuple[int, ...] = state[0]  # type: ignore[assignment]
        items = functions[: self._items]
        return sum(1 << i for i, f in enumerate(items) if formulas.diagrams.evaluate(f, holds))


class _Pending:
    """A member whose value is being read: what the verdicts on the value decide."""

    def __init__(
        self,
        frame: TrackedObject,
        known: _Known,
        groups: dict[frozenset[Schema], list[tuple[int, int]]],
        depth: int,
        used: Used,
    ) -> None:
        self._frame = frame
        self._known = known
        self._failing = [dict(broken) for broken in groups.values()]
        self._settled: dict[int, _Known] = {}
        if frame.simple(known):
            goal: Goal = Cases(frame.cases(known, used, [frozenset(broken) for broken in self._failing]))
        else:
            goal = Judgement(lambda word: frame.completable(self.settled(word), used), frame.machine.budget)
        self.demand, self.words = frame.machine.judge(tuple(groups), goal, depth)

    def settled(self, word: int) -> _Known:
        """The object's state after a value with these verdicts."""
        known = self._settled.get(word)
        if known is None:
            values: dict[int, int] = {}
            for number, broken in enumerate(self._failing):
                if not word >> number & 1:
                    values.update(broken)
            known = self._settled[word] = self._frame.decided(self._known[0], values, self._known)
        return known
