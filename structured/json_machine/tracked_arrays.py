"""Arrays with alternatives, ``contains``, ``uniqueItems`` or ``unevaluatedItems``. As :mod:`.tracked_objects`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latticework.structured.json_machine.array_repeats import Repeat, Repeats
from latticework.structured.json_machine.array_search import Asked, Listed
from latticework.structured.json_machine.arrays import ArrayFrame
from latticework.structured.json_machine.atoms import AtLeast, Contains, Elements, Unevaluated
from latticework.structured.json_machine.demand import Demand
from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.frame import State
from latticework.structured.json_machine.goals import Judgement
from latticework.structured.json_machine.loose import anything
from latticework.structured.json_machine.operation import Operation, Place
from latticework.structured.json_schema.ir import Schema
from latticework.structured.pushdown.family import CLOSE, GO_ON
from latticework.structured.pushdown.protocol import Action, Return

if TYPE_CHECKING:
    from latticework.structured.json_machine.source import JsonMachine


@dataclass(frozen=True, slots=True)
class _Known:
    """An array so far.

    Attributes:
        functions: Of the items that the owner asks about, then of the shape's conditions.
        count: Items so far, as far as it matters.
        matches: See :class:`~.array_search.Listed`.
        texts: The items as they were written, where they must be unique.
    """

    functions: tuple[int, ...]
    count: int
    matches: tuple[int, ...]
    texts: frozenset[bytes]


class TrackedArray(ArrayFrame):
    """A frame. Its state is ``(known,)``; while an item is read, its pending consequences."""

    def __init__(self, machine: JsonMachine, owner: Demand, roots: tuple[int, ...], depth: int) -> None:
        super().__init__(machine)
        diagrams, atoms = machine.formulas.diagrams, machine.formulas.atoms
        variables = sorted({variable for root in roots for variable in diagrams.support(root)})
        self._shape = machine.arrays.shape(tuple(variables))
        self._owner = owner
        self._depth = depth
        self._roots = (*roots, *self._shape.conditions)
        self._items = len(roots)
        asserted = [atoms[variable] for variable in self._shape.variables]
        counts = [atom.count for atom in asserted if isinstance(atom, AtLeast)]
        self._cap = max(self._shape.width, *counts, 0)
        self._most = [
            max(atom.count for atom in asserted if isinstance(atom, Contains) and atom.schema is schema)
            for schema in self._shape.contains
        ]
        self._completable: dict[tuple[_Known, bool, Asked | None], bool] = {}
        self._repeats = Repeats(machine, self._shape, machine.room(depth) - 1)
        self._pending: dict[_Known, _Pending] = {}

    def after(self) -> Operation:
        """See :class:`ArrayFrame`."""
        return _After(self)

    def first(self) -> State:
        """The state of an empty array."""
        return (self._decided(self._roots, 0, (0,) * len(self._shape.contains), frozenset()),)

    def ways(self, state: State) -> int:
        """See :class:`Frame`."""
        known = state[0]
        assert isinstance(known, _Known)
        more = self.completable(known, more=True)
        return more << GO_ON | (self._final(known) in self._owner.goal_words) << CLOSE

    def close(self, state: State) -> Return:
        """See :class:`Frame`."""
        known = state[0]
        assert isinstance(known, _Known)
        return self._owner.returned(self._final(known))

    def take(self, state: State) -> tuple[Demand, State]:
        """See :class:`ArrayFrame`."""
        known = state[0]
        assert isinstance(known, _Known)
        pending = self._pending.get(known)
        if pending is None:
            pending = self._take(known)
            if not known.texts:  # else there is one of these for every list of items
                self._pending[known] = pending
        return pending.demand, (pending,)

    def settled(self, pending: _Pending, word: int, text: bytes | None) -> _Known:
        """The array's state after an item with these verdicts."""
        known = pending.known
        values: dict[int, int] = {}
        matched: set[Schema] = set()
        for number, (need, broken) in enumerate(pending.groups.items()):
            if word >> number & 1:
                matched.update(need if len(need) == 1 else ())
            else:
                values.update(broken)
        matches = tuple(
            min(count + (self._whole(schema, matched)), most)
            for count, schema, most in zip(known.matches, self._shape.contains, self._most, strict=True)
        )
        values.update(self._evaluated(pending, values, matched))
        texts = known.texts
        if text is not None and self._unique_matters(known.functions):
            texts = texts | {text}
        return self.decided(known.functions, values, known.count + 1, matches, texts)

    def decided(
        self,
        functions: Iterable[int],
        values: dict[int, int],
        count: int,
        matches: tuple[int, ...],
        texts: frozenset[bytes],
    ) -> _Known:
        """The state after assertions turned out true or false."""
        diagrams = self.machine.formulas.diagrams
        final = {v: f for v, f in values.items() if f <= TRUE}
        values = {v: f if f <= TRUE else diagrams.replace(f, final) for v, f in values.items()}
        return self._decided(tuple(diagrams.replace(f, values) for f in functions), count, matches, texts)

    def completable(self, known: _Known, *, more: bool = False, last: Asked | None = None) -> bool:
        """Whether the array can be ended acceptably from here.

        ``last``: what is known of the last item if it is not yet among ``known.texts``.
        """
        accepted = self._owner.accepted(known.functions[: self._items])
        if accepted <= TRUE and not more:
            return accepted == TRUE
        answer = self._completable.get((known, more, last))
        if answer is None:
            room = self.machine.room(self._depth) - 1
            fresh = self.machine.fresh(known.texts) if known.texts else None
            listed = Listed(known.count, known.matches, fresh, known.functions[self._items :], last)
            found = self.machine.arrays.completion(self._shape, accepted, listed, room, more=more)
            answer = found is not None
            if not known.texts:
                self._completable[known, more, last] = answer
        return answer

    def unique_matters(self, known: _Known) -> bool:
        """Whether equal items would change anything."""
        return self._unique_matters(known.functions)

    def _unique_matters(self, functions: tuple[int, ...]) -> bool:
        unique = self._shape.unique
        support = self.machine.formulas.diagrams.support
        return unique is not None and any(unique in support(function) for function in functions[: self._items])

    @staticmethod
    def _whole(schema: Schema, matched: set[Schema]) -> bool:
        return schema.constant is True or schema in matched

    def _evaluated(self, pending: _Pending, values: dict[int, int], matched: set[Schema]) -> dict[int, int]:
        """What becomes of ``unevaluatedItems`` where its own verdict on the item is negative."""
        formulas = self.machine.formulas
        result: dict[int, int] = {}
        conditions = pending.known.functions[self._items :]
        for variable, schema, clause in pending.unevaluated:
            if schema.constant is None and schema in matched:
                continue
            for condition, part in self._shape.matched(variable, conditions):
                if self._whole(part, matched):
                    clause = formulas.diagrams.either(clause, condition)
            result[variable] = formulas.diagrams.both(formulas.diagrams.literal(variable), clause)
        return result

    def _decided(
        self, functions: tuple[int, ...], count: int, matches: tuple[int, ...], texts: frozenset[bytes]
    ) -> _Known:
        formulas = self.machine.formulas
        values: dict[int, int] = {}
        for variable in {v for function in functions for v in formulas.diagrams.support(function)}:
            atom = formulas.atoms[variable]
            if isinstance(atom, Contains):
                reached = matches[self._shape.contains.index(atom.schema)]
            elif isinstance(atom, AtLeast):
                reached = count
            else:
                continue
            if reached >= atom.count:
                values[variable] = TRUE
        functions = tuple(formulas.diagrams.replace(f, values) for f in functions)
        items = functions[: self._items]
        support = {v for function in items for v in formulas.diagrams.support(function)}
        if not any(isinstance(formulas.atoms[v], Unevaluated) for v in support):
            functions = (*items, *(TRUE for _ in self._shape.conditions))
        if not self._unique_matters(functions):
            texts = frozenset()
        return _Known(functions, min(count, self._cap), matches, texts)

    def _take(self, known: _Known) -> _Pending:
        formulas = self.machine.formulas
        groups: dict[frozenset[Schema], dict[int, int]] = {}
        unevaluated: list[tuple[int, Schema, int]] = []
        values: dict[int, int] = {}
        for variable in sorted({v for function in known.functions for v in formulas.diagrams.support(function)}):
            atom = formulas.atoms[variable]
            if isinstance(atom, Elements):
                need = self._shape.need(variable, known.count)
                if need is None:
                    values[variable] = FALSE
                elif need:
                    groups.setdefault(need, {})[variable] = FALSE
            elif isinstance(atom, Contains):
                if atom.schema.constant is None:
                    groups.setdefault(frozenset((atom.schema,)), {})
            elif isinstance(atom, Unevaluated):
                clause = self._shape.clause(variable, known.count, known.functions[self._items :])
                schema = atom.schema.unevaluated_items
                if clause == TRUE or schema is None or schema.constant is True:
                    continue
                unevaluated.append((variable, schema, clause))
                for _, part in self._shape.matched(variable, known.functions[self._items :]):
                    if part.constant is None:
                        groups.setdefault(frozenset((part,)), {})
                if schema.constant is None:
                    groups.setdefault(frozenset((schema,)), {})
            elif variable == self._shape.unique and known.texts:
                groups.setdefault(frozenset((self.machine.fresh(known.texts),)), {})[variable] = FALSE
        functions = known.functions
        if values:
            functions = tuple(formulas.diagrams.replace(f, values) for f in functions)
            known = _Known(functions, known.count, known.matches, known.texts)
        repeat = self._repeat(known)
        for group in repeat.groups():
            groups.setdefault(group, {})
        return _Pending(self, known, groups, unevaluated, repeat, self._depth)

    def _repeat(self, known: _Known) -> Repeat:
        """What the item that follows is to be asked for the sake of later ones."""
        accepted = self._owner.accepted(known.functions[: self._items])
        wanted = sum(most - count for count, most in zip(known.matches, self._most, strict=True))
        conditions = known.functions[self._items :]
        return self._repeats.asked(accepted, known.count, wanted, known.texts, conditions)

    def _final(self, known: _Known) -> int:
        """The word of the array if it ends here."""
        formulas = self.machine.formulas

        def holds(variable: int) -> bool:
            return not isinstance(formulas.atoms[variable], AtLeast | Contains)

        items = known.functions[: self._items]
        return sum(1 << i for i, f in enumerate(items) if formulas.diagrams.evaluate(f, holds))


class _Pending:
    """An item that is being read: what the verdicts on it decide."""

    def __init__(
        self,
        frame: TrackedArray,
        known: _Known,
        groups: dict[frozenset[Schema], dict[int, int]],
        unevaluated: list[tuple[int, Schema, int]],
        repeat: Repeat,
        depth: int,
    ) -> None:
        self.known = known
        self.groups = groups
        self.unevaluated = unevaluated
        self.captures = frame.unique_matters(known)
        self._frame = frame
        self.repeat = repeat
        self.demand, self.words = frame.machine.judge(
            tuple(groups), Judgement(self._acceptable, frame.machine.budget), depth
        )

    def _acceptable(self, word: int) -> bool:
        verdicts = {group: bool(word >> number & 1) for number, group in enumerate(self.groups)}
        known = self._frame.settled(self, word, self.repeat.text(verdicts))
        return self._frame.completable(known, last=self.repeat.last(verdicts))


class _After(Operation):
    """Under an item."""

    def __init__(self, frame: TrackedArray) -> None:
        self._frame = frame

    def captures(self, symbol: Place) -> bool:
        """See :class:`Operation`."""
        pending = symbol[1]
        assert isinstance(pending, _Pending)
        return pending.captures

    def resume(self, symbol: Place, result: int) -> Action:
        """See :class:`Operation`."""
        pending = symbol[1]
        assert isinstance(pending, _Pending)
        if pending.captures and pending.repeat.same is not None:
            return anything(self._frame.machine.punctuation.next_item)
        return self._next(symbol, result, None)

    def depends(self, symbol: Place) -> int:
        """See :class:`Operation`: of listed items, those that were written are missing from what may follow."""
        return -1

    def resume_text(self, symbol: Place, result: int, text: bytes) -> Action:
        """See :class:`Operation`."""
        return self._next(symbol, result, text)

    def _next(self, symbol: Place, result: int, text: bytes | None) -> Action:
        pending = symbol[1]
        assert isinstance(pending, _Pending)
        return self._frame.next((self._frame.settled(pending, pending.words[result], text),))
