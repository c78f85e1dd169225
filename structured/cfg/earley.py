"""The general parser: Earley's algorithm over sets that are values, for every context-free grammar.

A *place* is an Earley set. Its items do not refer to positions of a text but to other places: an item is a production
with a dot and what its completion *returns to*, a pair of a nonterminal and the place where that was wanted. Equal
places are one object, so two texts after which the parser knows the same are one configuration, and ambiguity costs
nothing: it is one place.

* What can be empty is skipped when it is wanted (Aycock and Horspool, "Practical Earley Parsing", 2002).
* A place that wants a nonterminal only as the last part of one item hands on where that item returns to (Leo, "A
  general context-free parsing algorithm running in linear time on every LR(k) grammar", 1991). So right recursion
  does not nest places, just as left recursion does not.

Every symbol of the grammar is productive, so a place with items can be completed, and a terminal can come next exactly
when an item wants it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from latticework.structured.cfg.grammar import Grammar

#: ``(nonterminal, number of a place)``.
_Return = tuple[int, int]
#: ``(item, what its completion returns to)``; items are numbered as in :mod:`.lr_items`.
_Item = tuple[int, _Return]
#: Where the whole text returns to.
_OUTSIDE: _Return = (-1, -1)


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """An Earley set.

    Attributes:
        number: Its number.
        allowed: The terminals that can come next.
        complete: Whether the text may end here.
        shifts: Per terminal, the items after it.
        wants: Per nonterminal, the items after it.
    """

    number: int
    allowed: frozenset[int]
    complete: bool
    shifts: dict[int, list[_Item]]
    wants: dict[int, list[_Item]]


class EarleyParser:
    """Parses the terminals of ``grammar``, which must be reduced. Place 0 is the start. Not thread-safe."""

    def __init__(self, grammar: Grammar) -> None:
        self._nullable = grammar.nullable()
        self._symbol: list[int | None] = []
        self._starts: list[list[int]] = [[] for _ in grammar.names]
        for production in grammar.productions:
            self._starts[production.head].append(len(self._symbol))
            self._symbol.extend((*production.body, None))
        #: The end of ``text' -> start``.
        self._whole: _Item = (len(self._symbol), _OUTSIDE)
        self._symbol.append(None)
        self._numbers: dict[frozenset[_Item], int] = {}
        complete = self._nullable[grammar.start]
        self.places = [self._build(0, frozenset(), {grammar.start: {self._whole: None}}, complete)]

    def after(self, read: Iterable[tuple[int, int]]) -> int | None:
        """The place after any one of ``(place, terminal)``; ``None`` if no terminal is allowed at its place."""
        found: set[_Item] = set()
        for place, terminal in read:
            found.update(self.places[place].shifts.get(terminal, ()))
        if not found:
            return None
        kernel, complete = self._completed(found)
        key = kernel | {self._whole} if complete else kernel
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.places)
            self.places.append(self._build(number, kernel, {}, complete))
        return number

    def _completed(self, found: set[_Item]) -> tuple[frozenset[_Item], bool]:
        """Follow what is complete to the items that waited for it."""
        kernel: set[_Item] = set()
        seen = set(found)
        todo = list(found)
        complete = False
        while todo:
            item, target = todo.pop()
            symbol = self._symbol[item]
            more: list[_Item] = []
            if symbol is None:
                if target == _OUTSIDE:
                    complete = True
                else:
                    more = self.places[target[1]].wants[target[0]]
            else:
                kernel.add((item, target))
                if symbol < 0 and self._nullable[~symbol]:
                    more = [(item + 1, target)]
            for waiting in more:
                if waiting not in seen:
                    seen.add(waiting)
                    todo.append(waiting)
        return frozenset(kernel), complete

    def _build(
        self, number: int, kernel: frozenset[_Item], wants: dict[int, dict[_Item, None]], complete: bool
    ) -> Place:
        """Predict what can come next. ``wants``: what is wanted whatever the kernel says."""
        shifts: dict[int, dict[_Item, None]] = {}
        predicted = list(wants)
        todo = list(kernel)
        index = 0
        while todo or index < len(predicted):
            if not todo:
                head = predicted[index]
                index += 1
                todo.extend((item, (head, number)) for item in self._starts[head])
                continue
            item, target = todo.pop()
            symbol = self._symbol[item]
            if symbol is None:
                continue  # empty: it was skipped where it was wanted
            if symbol >= 0:
                shifts.setdefault(symbol, {})[item + 1, target] = None
                continue
            if ~symbol not in wants:
                wants[~symbol] = {}
                predicted.append(~symbol)
            if (item + 1, target) not in wants[~symbol]:
                wants[~symbol][item + 1, target] = None
                if self._nullable[~symbol]:
                    todo.append((item + 1, target))
        forwards = self._forwards(number, wants)
        return Place(
            number,
            frozenset(shifts),
            complete,
            {terminal: _forwarded(items, forwards) for terminal, items in shifts.items()},
            {head: _forwarded(items, forwards) for head, items in wants.items()},
        )

    def _forwards(self, number: int, wants: dict[int, dict[_Item, None]]) -> dict[_Return, _Return]:
        """Where a nonterminal wanted here returns to at once, if it is only wanted as the last part of one item."""
        single = {
            (head, number): target
            for head, items in wants.items()
            if len(items) == 1
            for item, target in items
            if self._symbol[item] is None
        }
        forwards = {}
        for begin in single:
            here, seen = begin, {begin}
            while here in single and single[here] not in seen:
                here = single[here]
                seen.add(here)
            forwards[begin] = here
        return forwards


def _forwarded(items: Iterable[_Item], forwards: dict[_Return, _Return]) -> list[_Item]:
    return [(item, forwards.get(target, target)) for item, target in items]
