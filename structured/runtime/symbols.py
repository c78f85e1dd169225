"""The symbols and answers of one grammar, numbered: what a source says, as the kernels read it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from latticework.structured.pushdown.family import Family, Grown
from latticework.structured.pushdown.protocol import Action, Enter, PushdownSource, Symbol
from latticework.structured.pushdown.table import Table
from latticework.structured.runtime.layout import ENTERS, NONE, REFUSES, RETURNS
from latticework.structured.runtime.machine_arrays import MachineArrays
from latticework.structured.runtime.members import captures_of


@dataclass(frozen=True, slots=True)
class _Single:
    """A symbol that belongs to no family, asked like one."""

    source: PushdownSource
    own: Symbol

    def symbol(self, members: int) -> Symbol:
        return self.own

    def resume(self, result: int) -> Action | None:
        return self.source.resume(self.own, result)

    def refused(self) -> Collection[bytes]:
        return self.source.refused(self.own)

    def resume_text(self, result: int, text: bytes) -> Action | None:
        return self.source.resume_text(self.own, result, text)

    def concerns(self, text: bytes) -> bool:
        return self.source.concerns(self.own, text)

    def refuses(self, result: int, text: bytes) -> bool | None:
        return self.source.refuses(self.own, result, text)


class Symbols:
    """Numbers for the symbols of a source, and its answers. Not thread-safe.

    Every symbol has an *owner*, the number under which its answers are kept: its own, or that which stands for its
    family. Symbols of families may be made by kernels, and only their owner is known here.

    Args:
        source: Who is asked.
        arrays: Where everything is kept.
        number_table: The number of a lexeme table.
    """

    def __init__(self, source: PushdownSource, arrays: MachineArrays, number_table: Callable[[Table], int]) -> None:
        self._source = source
        self._arrays = arrays
        self._number_table = number_table
        self._numbers: dict[Symbol, tuple[int, int]] = {}
        self._anchors: dict[Family, int] = {}
        self._owners: dict[int, _Single | Family] = {}
        self._goals: dict[int, tuple[int, int]] = {}
        self._sets: dict[int, int] = {0: 0}
        self._wanted: dict[int, int | None] = {}

    def owner(self, number: int) -> int:
        """Under which number the answers of a symbol are kept."""
        return int(self._arrays["symbols"][5 * number + 3])

    def symbol(self, number: int) -> Symbol:
        """The symbol with a number."""
        return self._owners[self.owner(number)].symbol(self._arrays.set_of(number))

    def refused(self, owner: int) -> Collection[bytes]:
        """The texts that a capturing symbol refuses."""
        return self._owners[owner].refused()

    def concerns(self, owner: int, text: bytes) -> bool:
        """Whether what follows a captured text that begins like this may depend on it."""
        symbol = self._owners[owner]
        depends = self._arrays["symbols"][5 * owner + 2] < 0
        return bool(depends) and isinstance(symbol, _Single) and symbol.concerns(text)

    def refuses(self, owner: int, result: int, text: bytes) -> bool | None:
        """Whether a captured text is refused, if nothing else depends on it."""
        symbol = self._owners[owner]
        return symbol.refuses(result, text) if isinstance(symbol, _Single) else None

    def ask(self, owner: int, result: int) -> Action | None:
        """Ask the source for the answer to a result, and keep it."""
        action = self._owners[owner].resume(result)
        self.note(owner, result, action)
        return action

    def owners(self, action: Action) -> list[int]:
        """The owners of the symbols that an answer pushes."""
        return [self.owner(self.pushed(symbol)[0]) for symbol in action.push]

    def wanted(self, owner: int) -> int | None:
        """The results that are worth asking an owner about; ``None``: whatever comes."""
        return self._wanted[owner]

    def ask_text(self, owner: int, result: int, text: bytes) -> int:
        """Ask what follows a captured text: the number of the answer, :data:`NONE` if it is refused."""
        symbol = self._owners[owner]
        action = None if text in symbol.refused() else symbol.resume_text(result, text)
        return NONE if action is None else self.note(NONE, NONE, action)

    def note(self, owner: int, result: int, action: Action | None) -> int:
        """Keep an answer; its number. A negative ``result``: only for this once."""
        if action is None:
            return self._arrays.add_answer(owner, result, REFUSES, NONE, NONE, ())
        push = [self.pushed(pushed) for pushed in action.push]
        if not isinstance(action, Enter):
            return self._arrays.add_answer(owner, result, RETURNS, NONE, action.result, push)
        table = self._number_table(action.table)
        return self._arrays.add_answer(owner, result, ENTERS, table, action.state, push)

    def pushed(self, symbol: Symbol) -> tuple[int, int]:
        """A symbol as it stands in ``pushes``: with :data:`NONE`, or what stands for a family with the added set."""
        place = self._numbers.get(symbol)
        if place is None:
            place = self._numbers[symbol] = self._place(symbol)
        return place

    def pushed_number(self, symbol: Symbol) -> int:
        """The number of a symbol as it is pushed on a stack without sets."""
        number, add = self.pushed(symbol)
        return number if add == NONE else self._arrays.find_member(number, add)

    def _place(self, symbol: Symbol) -> tuple[int, int]:
        if isinstance(symbol, Grown):
            return self._anchor(symbol.family), self._set(symbol.add)
        found = self._source.family(symbol)
        if found is not None:
            return self._arrays.find_member(self._anchor(found[0]), self._set(found[1])), NONE
        goal = self._source.goal(symbol)
        place = (NONE, 0)
        if goal is not None:
            known = self._goals.get(goal)
            if known is None:
                known = self._goals[goal] = self._arrays.add_goal(goal)
            place = known
        captures = 0
        if self._source.captures(symbol):
            captures = captures_of(self._source.refused(symbol), self._source.depends(symbol))
        number = self._arrays.add_symbol(*place, captures)
        self._owners[number] = _Single(self._source, symbol)
        self._wanted[number] = goal if self._source.expected(symbol) else 0
        return number, NONE

    def _anchor(self, family: Family) -> int:
        anchor = self._anchors.get(family)
        if anchor is None:
            rule = family.rule
            captures = captures_of(family.refused()) if rule.captured else 0
            anchor = self._anchors[family] = self._arrays.add_family(rule, captures)
            self._owners[anchor] = family
            self._wanted[anchor] = rule.possible
        return anchor

    def _set(self, bits: int) -> int:
        number = self._sets.get(bits)
        if number is None:
            number = self._sets[bits] = self._arrays.add_set(bits)
        return number
