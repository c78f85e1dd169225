"""What a value must satisfy at its place: which lexeme reads it, and what each of the lexeme's results leads to.

A demand is about several *items* (sets of schemas that count as satisfied together) and a *goal*: the acceptable words.
Bit ``i`` of a word is the verdict of item ``i``. Usually there is one item, which must hold. The value's result is the
index of its word in :attr:`Demand.words`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.formulas import CONSTANTS
from latticework.structured.json_machine.goals import HOLDS, Goal
from latticework.structured.json_machine.leaves import Built, Leaves
from latticework.structured.json_machine.operation import Operation, Place
from latticework.structured.json_machine.scalars import scalar
from latticework.structured.json_schema.ir import Schema
from latticework.structured.lexemes.union import LITERALS, union
from latticework.structured.pushdown.protocol import Action, Enter, Return
from latticework.structured.pushdown.table import NO_RESULT, Table, build_table
from latticework.structured.table_cache import TABLES

if TYPE_CHECKING:
    from latticework.structured.json_machine.source import JsonMachine

#: Schemas that count as satisfied together, several times.
Items = tuple[frozenset[Schema], ...]

_LITERAL_RESULTS = {"true": 0, "false": 1, "null": 2}
_OPEN_OBJECT = build_table([[(0x7B, 0x7B, 1)], []], [NO_RESULT, 0])
_OPEN_ARRAY = build_table([[(0x5B, 0x5B, 1)], []], [NO_RESULT, 0])

#: ``RETURNS[i]`` returns result ``i``.
RETURNS = tuple(Return(result) for result in range(256))


@TABLES.kept
def _side_by_side(tables: tuple[Table, ...]) -> tuple[Table, tuple[int, ...], int]:
    """The union of tables, its offsets, and by how much a part that does not count is stretched."""
    if len(tables) == 1:
        return tables[0], (0,), 1
    table, offsets = union(tables)
    return table, offsets, len(table.thresholds) + 1


class Demand(Operation):
    """One demand; its own operation on its own symbol."""

    def __init__(
        self, machine: JsonMachine, items: Items, goal: Goal, depth: int, *, canonical: bool = False
    ) -> None:
        self.machine = machine
        self.items = items
        self.goal_words = goal
        self.depth = depth
        self._canonical = canonical
        self.plain = goal is HOLDS
        self.words: list[int] = [1] if self.plain else []
        self.symbol: Place = (self,)
        self.colon: Place = (Colon(self),)
        self._index: dict[int, int] = {1: 0} if self.plain else {}
        self._actions: dict[int, Action] = {}  # of a leaf, that of all grammars: nothing is added
        self._brackets: dict[int, str] = {}
        self._table: Table | None = None
        self._goal = 0

    def roots(self, kind: str) -> tuple[int, ...]:
        """The function of each item for one kind of value."""
        return tuple(self.machine.formulas.conjunction(item, kind) for item in self.items)

    def accepted(self, roots: tuple[int, ...]) -> int:
        """The function that says that the word of the items is acceptable."""
        return self.goal_words.function(self.machine.formulas.diagrams, roots)

    @property
    def possible(self) -> bool:
        """Whether anything satisfies the demand. Nobody enters one that nothing does."""
        if self._table is None:
            self._build()
        return bool(self._goal)

    def enter(self, push: tuple[Place, ...]) -> Enter:
        """Read the value on top of ``push``."""
        if self._table is None:
            self._build()
        assert self._table is not None
        return Enter((*push, self.symbol), self._table, self._table.start)

    def goal(self, symbol: Place) -> int:
        """See :class:`Operation`."""
        return self._goal

    def expected(self, symbol: Place) -> bool:
        """See :class:`Operation`: where anything may stand, much may, and little will."""
        return any(self.items)

    def resume(self, symbol: Place, result: int) -> Action | None:
        """See :class:`Operation`."""
        action = self._actions.get(result)
        if action is None and result in self._brackets:
            action = self._actions[result] = self.machine.open(self, self._brackets[result])
        return action

    def returned(self, word: int) -> Return:
        """How a value with this word ends."""
        index = self._index.get(word)
        if index is None:
            index = self._index[word] = len(self.words)
            self.words.append(word)
        return RETURNS[index] if index < len(RETURNS) else Return(index)

    def _build(self) -> None:
        """Put the table together, with what each result means, or take what was kept of a leaf."""
        leaf = self.machine.leaves.key(self.items[0]) if self.plain else None
        built = Leaves.built(leaf, self._canonical) if leaf is not None else None
        if built is None:
            self._put_together()
            assert self._table is not None
            if leaf is not None:
                Leaves.keep(leaf, self._canonical, Built(self._table, self._goal, self._actions))
        else:
            self._table, self._goal, self._actions = built.table, built.goal, built.actions

    def _put_together(self) -> None:
        parts: list[tuple[Table, dict[int, Return | str]]] = []
        literals: dict[int, Return | str] = {}
        for kind in CONSTANTS:
            word = sum(1 << i for i, root in enumerate(self.roots(kind)) if root == TRUE)
            if word in self.goal_words:
                literals[_LITERAL_RESULTS[kind]] = self.returned(word)
        if literals:
            parts.append((LITERALS, literals))
        for kind in ("number", "string"):
            roots = self.roots(kind)
            if self.accepted(roots) != FALSE:
                failing = 0 in self.goal_words
                lexeme = scalar(self.machine.formulas, roots, kind, failing=failing, canonical=self._canonical)
                good = {r: self.returned(word) for r, word in enumerate(lexeme.words) if word in self.goal_words}
                if good:
                    parts.append((lexeme.table, dict(good)))
        for kind, table in (("object", _OPEN_OBJECT), ("array", _OPEN_ARRAY)):
            if self.machine.opens(self, kind):
                parts.append((table, {0: kind}))
        self._table, offsets, stretch = _side_by_side(tuple(table for table, _ in parts) or (LITERALS,))
        for (table, meanings), offset in zip(parts, offsets, strict=False):
            for result, meaning in meanings.items():
                mine = offset + (result if table.thresholds else result * stretch)
                self._goal |= 1 << mine
                if isinstance(meaning, str):
                    self._brackets[mine] = meaning
                else:
                    self._actions[mine] = meaning


class Colon(Operation):
    """After a key: the value follows."""

    def __init__(self, demand: Demand) -> None:
        self._demand = demand

    def goal(self, symbol: Place) -> int:
        """See :class:`Operation`."""
        return 1

    def resume(self, symbol: Place, result: int) -> Action:
        """See :class:`Operation`."""
        return self._demand.enter(())
