"""The JSON machine: a schema graph as a :class:`~latticework.structured.pushdown.protocol.PushdownSource`.

What applies to one value is one :class:`~.demand.Demand`. An open object or array is a frame: plain where everything
demanded must hold (:mod:`.plain_objects`, :mod:`.arrays`), tracked where there are alternatives
(:mod:`.tracked_objects`, :mod:`.tracked_arrays`). Demands and frames are made when a text first reaches them, so a
schema costs what is written of it; only that the document can be completed is asked further ahead
(:mod:`.satisfiable`). Brackets nest at most ``max_depth`` deep.

A symbol begins with the :class:`~.operation.Operation` that knows how it goes on.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any

from latticework.structured.errors import GrammarError
from latticework.structured.json_machine.array_search import ArraySearch
from latticework.structured.json_machine.arrays import PlainArray
from latticework.structured.json_machine.budget import HeldBudget, WorkBudget
from latticework.structured.json_machine.cardinality import Values
from latticework.structured.json_machine.demand import Demand, Items
from latticework.structured.json_machine.diagrams import TRUE
from latticework.structured.json_machine.formulas import Formulas, sign_names
from latticework.structured.json_machine.goals import HOLDS, Cases, Goal
from latticework.structured.json_machine.leaves import Leaves
from latticework.structured.json_machine.object_search import ObjectSearch
from latticework.structured.json_machine.operation import RELABEL
from latticework.structured.json_machine.part_values import PartValues
from latticework.structured.json_machine.plain_objects import PlainObject, plain_object
from latticework.structured.json_machine.punctuation import PUNCTUATION
from latticework.structured.json_machine.satisfiable import Satisfier
from latticework.structured.json_machine.tracked_arrays import TrackedArray
from latticework.structured.json_machine.tracked_objects import TrackedObject
from latticework.structured.json_machine.unique_arrays import plain_array
from latticework.structured.json_options import Whitespace
from latticework.structured.json_schema.ir import Document, Schema, reachable
from latticework.structured.json_schema.values import exact_json
from latticework.structured.pushdown.family import Family
from latticework.structured.pushdown.protocol import Action, Enter

_FRESH = "uniqueItems"


class UnsatisfiableError(GrammarError):
    """Nothing satisfies a schema."""


class JsonMachine:
    """Documents that satisfy a schema.

    Args:
        document: The schema.
        declared: Whether the properties that ``properties`` names come in its order, and before all others.
        whitespace: Which blanks may be written.
        max_depth: How deep brackets may nest.
        budget: What the machine may compute between two bytes.

    Attributes:
        dropped: What was left out of the schema, see :class:`~latticework.structured.json_schema.ir.Document`.

    Raises:
        UnsatisfiableError: Nothing satisfies the schema within ``max_depth``.
        UnsupportedGrammarError, BudgetExceededError: See the lexemes and the searches.
    """

    def __init__(
        self, document: Document, *, declared: bool, whitespace: Whitespace, max_depth: int, budget: WorkBudget
    ) -> None:
        self.dropped = document.dropped
        self.declared = declared
        self.punctuation = PUNCTUATION[whitespace]
        self.budget = budget
        schemas = reachable(document.root)
        self.formulas = Formulas(budget, sign_names(schemas), schemas if declared else ())
        self.satisfier = Satisfier(self.formulas, budget)
        self.objects = ObjectSearch(self.formulas, self.satisfier)
        self.arrays = ArraySearch(self.formulas, self.satisfier)
        self.satisfier.objects = self.objects
        self.satisfier.arrays = self.arrays
        self.arrays.values = Values(self.formulas, self.satisfier, PartValues(self).few)
        self._max_depth = max_depth
        self.leaves = Leaves()
        self._demands: dict[tuple[Items, int, bool], Demand] = {}
        self._judged: dict[tuple[Items, tuple[tuple[int, int], ...], int], Demand] = {}
        self._fresh: dict[frozenset[bytes], Schema] = {}
        self._frames: dict[tuple[str, int, int], PlainObject | PlainArray | None] = {}
        self._start = self._begin(document.root)

    def start(self) -> Action:
        """See :meth:`PushdownSource.start`."""
        return self._start

    def resume(self, symbol: Any, result: int) -> Action | None:
        """See :meth:`PushdownSource.resume`."""
        self.budget.renew()
        action: Action | None = symbol[0].resume(symbol, result)
        return action

    def goal(self, symbol: Any) -> int | None:
        """See :meth:`PushdownSource.goal`."""
        self.budget.renew()
        goal: int | None = symbol[0].goal(symbol)
        return goal

    def captures(self, symbol: Any) -> bool:
        """See :meth:`PushdownSource.captures`."""
        captures: bool = symbol[0].captures(symbol)
        return captures

    def refused(self, symbol: Any) -> Collection[bytes]:
        """See :meth:`PushdownSource.refused`."""
        refused: Collection[bytes] = symbol[0].refused(symbol)
        return refused

    def resume_text(self, symbol: Any, result: int, text: bytes) -> Action | None:
        """See :meth:`PushdownSource.resume_text`."""
        self.budget.renew()
        action: Action | None = symbol[0].resume_text(symbol, result, text)
        return action

    def depends(self, symbol: Any) -> int:
        """See :meth:`PushdownSource.depends`."""
        depends: int = symbol[0].depends(symbol)
        return depends

    def concerns(self, symbol: Any, text: bytes) -> bool:
        """See :meth:`PushdownSource.concerns`."""
        concerns: bool = symbol[0].concerns(symbol, text)
        return concerns

    def refuses(self, symbol: Any, result: int, text: bytes) -> bool | None:
        """See :meth:`PushdownSource.refuses`."""
        refuses: bool | None = symbol[0].refuses(symbol, result, text)
        return refuses

    def family(self, symbol: Any) -> tuple[Family, int] | None:
        """See :meth:`PushdownSource.family`."""
        family: tuple[Family, int] | None = symbol[0].family(symbol)
        return family

    def expected(self, symbol: Any) -> bool:
        """See :meth:`PushdownSource.expected`."""
        expected: bool = symbol[0].expected(symbol)
        return expected

    def room(self, depth: int) -> int:
        """How deep a value may nest that has ``depth`` open brackets around it."""
        return self._max_depth - depth

    def depth(self, room: int) -> int:
        """The depth of which :meth:`room` is ``room``."""
        return self._max_depth - room

    def child(self, items: Items, depth: int, *, canonical: bool = False) -> Demand:
        """The demand that the first of ``items`` holds of a part of a value that has ``depth`` brackets around it.

        ``canonical``: strings are written in one way each.
        """
        if len(items) == 1:
            items = (self.leaves.same(items[0]),)
            if self.leaves.key(items[0]) is not None:
                depth = 0  # it opens no bracket
        key = (items, depth, canonical)
        demand = self._demands.get(key)
        if demand is None:
            demand = self._demands[key] = Demand(self, items, HOLDS, depth + 1, canonical=canonical)
        return demand

    def judge(self, items: Items, goal: Goal, depth: int) -> tuple[Demand, Sequence[int]]:
        """A demand on a part of a value that has ``depth`` brackets around it, and the word of each of its results.

        The verdicts on ``items`` are a word.
        """
        if isinstance(goal, Cases):
            every = (1 << len(items)) - 1
            if goal.cases == ((every, 0),):
                return self.child((frozenset().union(*items),), depth), (every,)
            key = items, goal.cases, depth
            demand = self._judged.get(key)
            if demand is None:
                demand = self._judged[key] = Demand(self, items, goal, depth + 1)
        else:
            demand = Demand(self, items, goal, depth + 1)
        return demand, demand.words

    def opens(self, demand: Demand, kind: str) -> bool:
        """Whether an object or array satisfies the demand."""
        room = self.room(demand.depth)
        if room < 1:
            return False
        accepted = demand.accepted(demand.roots(kind))
        if accepted <= TRUE:
            return accepted == TRUE
        parts = self.objects if kind == "object" else self.arrays
        return parts.height(accepted, room - 1) is not None

    def open(self, demand: Demand, kind: str) -> Action:
        """The bracket that begins an object or array was read."""
        roots = demand.roots(kind)
        if demand.plain:
            plain = self.plain(kind, roots[0], demand.depth)
            if plain is not None:
                return plain.begin(plain.first())
        elif max(roots, default=TRUE) <= TRUE:
            return self._anything(demand, kind, sum(1 << i for i, root in enumerate(roots) if root == TRUE))
        frame = TrackedObject if kind == "object" else TrackedArray
        tracked = frame(self, demand, roots, demand.depth)
        return tracked.begin(tracked.first())

    def _anything(self, demand: Demand, kind: str, word: int) -> Action:
        """An object or array of which nothing inside matters: its word is known."""
        plain = self.plain(kind, TRUE, demand.depth)
        assert plain is not None
        action = plain.begin(plain.first())
        result = demand.returned(word).result
        return Enter(((RELABEL, result), *action.push), action.table, action.state) if result else action

    def fresh(self, texts: frozenset[bytes]) -> Schema:
        """The schema of every value but those that ``texts`` are JSON of."""
        schema = self._fresh.get(texts)
        if schema is None:
            values = tuple(exact_json(text) for text in sorted(texts))
            schema = self._fresh[texts] = Schema(_FRESH, negated=Schema(_FRESH, enum=values))
        return schema

    def only(self, text: bytes) -> Schema:
        """The schema of the value that ``text`` is JSON of, and of no other."""
        schema = self.fresh(frozenset((text,))).negated
        assert schema is not None
        return schema

    def part(self, demand: Demand) -> JsonMachine:
        """The machine of what a demand is about, by itself. Its work counts as work on the step at hand."""
        machine = copy.copy(self)
        machine.budget = HeldBudget(self.budget)
        machine._start = demand.enter(())
        return machine

    def _begin(self, root: Schema) -> Action:
        demand = self.child((frozenset((root,)),), -1)
        if not demand.possible:
            reason = f"no JSON value of at most {self._max_depth} levels of brackets is valid"
            raise UnsatisfiableError(self.budget.field, f"{root.pointer}: {reason}")
        return demand.enter(())

    def plain(self, kind: str, function: int, depth: int) -> PlainObject | PlainArray | None:
        """The frame of objects or arrays that satisfy a function, ``None`` if it leaves alternatives open."""
        key = (kind, function, depth)
        if key not in self._frames:
            make = plain_object if kind == "object" else plain_array
            self._frames[key] = make(self, function, depth)
        return self._frames[key]
