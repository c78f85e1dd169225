"""Arrays of different values that can always go on to become others: one that equals a listed one must not end.

An object that may have any members goes on by a member that no listed one has, a number by another digit, a string by
another character. So nothing must be known of a value before it ends, and what was written decides then. One kind of
number cannot go on: after ``0e`` only zeros follow. So where zero was listed, an item is any number but zero.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Hashable
from fractions import Fraction
from typing import TYPE_CHECKING

from latticework.structured.json_machine.arrays import PlainArray
from latticework.structured.json_machine.atoms import AtLeast, Members, Names, Unevaluated
from latticework.structured.json_machine.demand import Demand
from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.formulas import CONSTANTS
from latticework.structured.json_machine.frame import State
from latticework.structured.json_machine.keys import ample
from latticework.structured.json_machine.object_shape import NOTHING
from latticework.structured.json_machine.operation import Operation, Place
from latticework.structured.json_machine.plain_objects import PlainObject
from latticework.structured.json_machine.scalars import scalar
from latticework.structured.json_schema.ir import Schema
from latticework.structured.json_schema.values import EXACT, exact_json, json_key
from latticework.structured.pushdown.protocol import Action

if TYPE_CHECKING:
    from latticework.structured.json_machine.source import JsonMachine

_BLANKS = " \t\n\r"
_ZERO = Fraction(0)


def can_go_on(machine: JsonMachine, need: frozenset[Schema], depth: int) -> bool:
    """Whether all beginnings of values that satisfy the schemas go on to any number of these, but for zero.

    ``depth``: how many brackets are around one.
    """
    formulas = machine.formulas
    if any(formulas.conjunction(need, kind) != FALSE for kind in (*CONSTANTS, "array")):
        return False
    if formulas.conjunction(need, "number") not in (FALSE, TRUE):
        return False
    function = formulas.conjunction(need, "string")
    if function != FALSE and not _ample_strings(machine, function):
        return False
    function = formulas.conjunction(need, "object")
    if function == FALSE or machine.room(depth) < 1 or _open(machine, function):
        return True
    frame = machine.plain("object", function, depth)
    return isinstance(frame, PlainObject) and frame.endless


def _open(machine: JsonMachine, function: int) -> bool:
    """Whether a member can always be added that makes no difference to any assertion about the object."""
    atoms = machine.formulas.atoms
    shape = machine.objects.shape(machine.formulas.diagrams.support(function))
    if any(isinstance(atoms[variable], AtLeast | Unevaluated) for variable in shape.variables):
        return False
    asserted = [variable for variable in shape.variables if isinstance(atoms[variable], Members | Names)]
    return any(
        shape.supply(key).ample and all(shape.need(variable, key) == NOTHING for variable in asserted)
        for key in range(len(shape.names), shape.classes)
    )


def only_strings_that_go_on(machine: JsonMachine, need: frozenset[Schema]) -> bool:
    """Whether only strings satisfy all of the schemas, and every beginning of one goes on to more of them."""
    formulas = machine.formulas
    if any(formulas.conjunction(need, kind) != FALSE for kind in (*CONSTANTS, "number", "object", "array")):
        return False
    function = formulas.conjunction(need, "string")
    return function != FALSE and _ample_strings(machine, function)


def _ample_strings(machine: JsonMachine, function: int) -> bool:
    lexeme = scalar(machine.formulas, (function,), "string", canonical=True)
    return ample(lexeme.table, tuple(result for result, word in enumerate(lexeme.words) if word))


class UniqueValues(PlainArray):
    """A frame. Its state is ``(items so far, the items as keys)``; see :func:`~.values.json_key`.

    Attributes:
        numbers: Whether there may be numbers among them.
    """

    def __init__(self, machine: JsonMachine, function: int, depth: int, *, numbers: bool) -> None:
        self.numbers = numbers
        super().__init__(machine, function, depth)

    def after(self) -> Operation:
        """See :class:`ArrayFrame`."""
        return _After(self)

    def first(self) -> State:
        """The state of an empty array."""
        return (0, frozenset())

    def take(self, state: State) -> tuple[Demand, State]:
        """See :class:`ArrayFrame`."""
        listed: frozenset[Hashable] = state[1]  # type: ignore[assignment]
        demand, (count,) = super().take(state[:1])
        if _ZERO in listed:
            other = self.machine.fresh(frozenset((b"0",)))
            demand = self.child(demand.items[0] | {other})
        return demand, (count, listed)

    def child(self, need: frozenset[Schema]) -> Demand:
        """See :class:`PlainArray`."""
        return self.machine.child((need,), self.depth, canonical=True)


class _After(Operation):
    """Under an item."""

    def __init__(self, frame: UniqueValues) -> None:
        self._frame = frame

    def captures(self, symbol: Place) -> bool:
        """See :class:`Operation`."""
        return True

    def depends(self, symbol: Place) -> int:
        """See :class:`Operation`: nothing follows an item that was listed before, and no zero follows zero."""
        return 1 if symbol[2] or self._frame.numbers else 0

    def concerns(self, symbol: Place, text: bytes) -> bool:
        """See :class:`Operation`."""
        return may_become(text, symbol[2] | {_ZERO} if self._frame.numbers else symbol[2])

    def refuses(self, symbol: Place, result: int, text: bytes) -> bool | None:
        """See :class:`Operation`."""
        item = json_key(exact_json(text))
        return True if item in symbol[2] else None if item == _ZERO else False

    def resume(self, symbol: Place, result: int) -> Action:
        """See :class:`Operation`."""
        return self._frame.next(symbol[1:])

    def resume_text(self, symbol: Place, result: int, text: bytes) -> Action | None:
        """See :class:`Operation`."""
        item = json_key(exact_json(text))
        return None if item in symbol[2] else self._frame.next((symbol[1], symbol[2] | {item}))


def may_become(text: bytes, listed: Collection[Hashable]) -> bool:
    """Whether a value that begins like ``text`` may equal one of those listed (keys): ``False`` if it is certain."""
    source = text.decode(errors="replace").lstrip(_BLANKS)
    if source.startswith("{"):
        members = _members(source)
        return any(isinstance(item, tuple) and members <= item[1] for item in listed)
    if source.startswith('"'):
        return any(isinstance(item, str) and _spells(source, item) for item in listed)
    if source:
        return any(isinstance(item, Fraction) and _may_be(source, item) for item in listed)
    return bool(listed)


def _spells(source: str, value: str) -> bool:
    """Whether the canonical writing of a string may begin like this."""
    whole = source.rstrip("\N{REPLACEMENT CHARACTER}")  # the last character may be incomplete
    return "\\u" in source or json.dumps(value, ensure_ascii=False).startswith(whole)


def _may_be(source: str, value: Fraction) -> bool:
    """Whether a number that begins like this may have a value: it must begin with the same digits."""
    mantissa = source.lower().partition("e")[0]
    if mantissa.startswith("-") != (value < 0) and value:
        return False
    digits = mantissa.lstrip("-").replace(".", "").lstrip("0")
    scaled = abs(value)
    while scaled.denominator > 1:
        scaled *= 10
    return (str(scaled.numerator).rstrip("0") + "0" * len(digits)).startswith(digits)


def _members(source: str) -> set[tuple[str, Hashable]]:
    """The members of an object that begins like ``source``, up to one that is perhaps not complete."""
    found: set[tuple[str, Hashable]] = set()
    place = _behind(source, 0, "{")
    while place:
        try:
            name, place = EXACT.raw_decode(source, _behind(source, place))
            value, place = EXACT.raw_decode(source, _behind(source, _behind(source, place, ":")))
        except ValueError:
            break
        place = _behind(source, place, ",")
        if place:
            found.add((name, json_key(value)))
    return found


def _behind(source: str, place: int, mark: str = "") -> int:
    """The place behind blanks and a mark; 0 if the mark is not there."""
    while place < len(source) and source[place] in _BLANKS:
        place += 1
    return place + len(mark) if source.startswith(mark, place) else 0
