"""Whether every position of a pushdown source with maximal munch can be completed.

A grammar may let one terminal follow another although no text does: ``start: WORD WORD`` with nothing between them is
read as one word. Then what the parser allows has no completion. This is decided by following the source with the bytes
left out: what matters of a lexeme that has ended is its result and which bytes it could have gone on with, for the next
lexeme does not begin with those. That is a pushdown system with few control states, and the two steps are classic:

1. *summaries*: what may come back to the symbol below once a symbol has been read from a control state;
2. *reachable positions*, each with the set of what may come back so that the text can still be completed.

Exact for sources that capture nothing; that a text may end where a lexeme would have to be given back is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from latticework.structured.cfg.budget import Deadline
from latticework.structured.cfg.lexer import Bits
from latticework.structured.cfg.positions import FIELD
from latticework.structured.errors import GrammarError
from latticework.structured.pushdown.protocol import Action, Enter, PushdownSource, Symbol
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: A result, and the bytes that the lexeme before could have gone on with.
_Event = tuple[int, Bits]
#: A symbol that reads ``table`` from ``state``, the first byte not being one of the last.
_Reading = tuple[Symbol, Table, int, Bits]
#: A symbol that is given an event.
_Resumed = tuple[Symbol, _Event]
_Task = _Reading | _Resumed
#: What below may be given.
_Good = frozenset[_Event]


def has_dead_end(source: PushdownSource, deadline: Deadline, example: str) -> bool:
    """Whether some text that the source reads has no completion.

    Args:
        source: The grammar's machine.
        deadline: When to give up.
        example: Two terminals that the lexer joins, for the message.

    Raises:
        GrammarError: No text can be completed.
        BudgetExceededError: Out of time.
    """
    return _Search(source, deadline, example).run()


class _Exits:
    """How the lexemes of a table end."""

    def __init__(self, table: Table) -> None:
        self.table = table

    @cached_property
    def bytes_of(self) -> list[Bits]:
        found = [0] * self.table.delta.shape[1]
        for byte, kind in enumerate(self.table.classes):
            found[kind] |= 1 << byte
        return found

    @cached_property
    def events(self) -> list[frozenset[_Event]]:
        """Per state, how the lexeme can end there, or the text after what is ignored."""
        table = self.table
        nothing = int(table.end[table.start])
        found: list[frozenset[_Event]] = []
        for row, result, end in zip(table.delta, table.result.tolist(), table.end.tolist(), strict=True):
            moves = sum(self.bytes_of[kind] for kind in np.flatnonzero(row != DEAD))
            ends = {(nothing, 0)} if end == nothing else set()
            found.append(frozenset(ends if result == NO_RESULT else {(result, moves)}))
        return found

    @cached_property
    def reachable(self) -> list[frozenset[_Event]]:
        """Per state, the events that can still come about."""
        found: list[set[_Event]] = [set(events) for events in self.events]
        targets = [{int(t) for t in row if t != DEAD} for row in self.table.delta]
        changed = True
        while changed:
            changed = False
            for state, following in enumerate(targets):
                size = len(found[state])
                for target in following:
                    found[state] |= found[target]
                changed |= len(found[state]) != size
        return [frozenset(events) for events in found]

    def entered(self, state: int, excluded: Bits) -> set[int]:
        """The states after a first byte; where some of the lexeme has been read already, the state itself."""
        if state != self.table.start:
            return {state}
        row = self.table.delta[state]
        return {
            int(target)
            for kind, target in enumerate(row)
            if target != DEAD and self.bytes_of[kind] & ~excluded
        }


class _Search:
    def __init__(self, source: PushdownSource, deadline: Deadline, example: str) -> None:
        self._example = example
        self._source = source
        self._deadline = deadline
        self._exits: dict[Table, _Exits] = {}
        self._answers: dict[tuple[Symbol, int], Action | None] = {}
        self._summaries: dict[_Task, set[_Event]] = {}
        self._given: dict[Symbol, dict[_Event, set[_Event]]] = {}

    def run(self) -> bool:
        start = self._source.start()
        assert isinstance(start, Enter)
        self._returned(start, 0)
        self._saturate()
        for task, events in self._summaries.items():
            if len(task) == 2:
                self._given.setdefault(task[0], {})[task[1]] = events
        done = frozenset(self._returned(start, 0))
        if not done:
            reason = f"the lexer reads on where something else must follow ({self._example})"
            raise GrammarError(FIELD, f"describes no text at all: {reason}")
        todo: list[tuple[_Task, _Good]] = []
        self._push(start, 0, done, todo)
        seen = set(todo)
        while todo:
            self._deadline.check()
            task, good = todo.pop()
            found: list[tuple[_Task, _Good]] = []
            if len(task) == 4:
                if self._stuck(task, good):
                    return True
                for event in self._outcomes(task):
                    self._push(self._answer(task[0], event[0]), event[1], good, found)
            else:
                symbol, event = task
                self._push(self._answer(symbol, event[0]), event[1], good, found)
            for item in found:
                if item not in seen:
                    seen.add(item)
                    todo.append(item)
        return False

    def _saturate(self) -> None:
        changed = True
        while changed:
            changed = False
            known = len(self._summaries)
            for task in list(self._summaries):
                self._deadline.check()
                found = self._summary(task)
                if len(found) != len(self._summaries[task]):
                    self._summaries[task] = found
                    changed = True
            changed |= len(self._summaries) != known

    def _summary(self, task: _Task) -> set[_Event]:
        """What comes back below the symbol, as far as that is known by now."""
        if len(task) == 2:
            symbol, (result, excluded) = task
            return self._returned(self._answer(symbol, result), excluded)
        found: set[_Event] = set()
        for result, excluded in self._outcomes(task):
            found |= self._returned(self._answer(task[0], result), excluded)
        return found

    def _returned(self, action: Action | None, excluded: Bits) -> set[_Event]:
        """What comes back below everything that ``action`` pushes."""
        if action is None:
            return set()
        if isinstance(action, Enter):
            found = self._known((action.push[-1], action.table, action.state, excluded))
            below = action.push[:-1]
        else:
            found, below = {(action.result, excluded)}, action.push
        for symbol in reversed(below):
            found = set().union(*(self._known((symbol, event)) for event in found))
        return found

    def _known(self, task: _Task) -> set[_Event]:
        return self._summaries.setdefault(task, set())

    def _push(self, action: Action | None, excluded: Bits, good: _Good, out: list[tuple[_Task, _Good]]) -> None:
        """The positions that ``action`` leads to, the ones after what is on top has come back among them."""
        if action is None:
            return
        goods = [good]
        for symbol in action.push[:-1] if isinstance(action, Enter) else action.push:
            goods.append(self._good_above(symbol, goods[-1]))
        if isinstance(action, Enter):
            task: _Task = (action.push[-1], action.table, action.state, excluded)
            out.append((task, goods[-1]))
            found = self._known(task)
            below = action.push[:-1]
        else:
            found, below = {(action.result, excluded)}, action.push
        for symbol, under in zip(reversed(below), reversed(goods[:-1]), strict=True):
            out.extend(((symbol, event), under) for event in found)
            found = set().union(*(self._known((symbol, event)) for event in found))

    def _good_above(self, symbol: Symbol, good: _Good) -> _Good:
        """What ``symbol`` may be given so that it gives something good to what is below it."""
        return frozenset(event for event, found in self._given.get(symbol, {}).items() if found & good)

    def _stuck(self, task: _Reading, good: _Good) -> bool:
        """Whether some state of the lexeme that is being read leads to nothing good."""
        symbol, table, state, excluded = task
        exits = self._exit(table)
        fine = {event for event in self._outcomes(task) if self._leads_to(symbol, event, good)}
        seen = exits.entered(state, excluded)
        todo = list(seen)
        while todo:
            here = todo.pop()
            if not self._viable(symbol, exits.reachable[here]) or self._refused(symbol, table, here):
                continue
            if not exits.reachable[here] & fine:
                return True
            for target in {int(t) for t in table.delta[here] if t != DEAD} - seen:
                seen.add(target)
                todo.append(target)
        return False

    def _refused(self, symbol: Symbol, table: Table, state: int) -> bool:
        """Whether the lexeme is over in ``state`` and its result is not taken: then no byte leads there."""
        return table.closed(state) and self._answer(symbol, table.result_at(state)) is None

    def _viable(self, symbol: Symbol, events: Iterable[_Event]) -> bool:
        """Whether the source lets a lexeme go on towards ``events``."""
        goal = self._source.goal(symbol)
        return goal is None or any(goal >> result & 1 for result, _ in events)

    def _leads_to(self, symbol: Symbol, event: _Event, good: _Good) -> bool:
        return bool(self._returned(self._answer(symbol, event[0]), event[1]) & good)

    def _ending(self, task: _Reading) -> list[_Event]:
        """The event if the text ends before the lexeme begins."""
        _, table, state, _ = task
        end = table.end_at(state)
        return [(end, 0)] if end != NO_RESULT and state == table.start else []

    def _outcomes(self, task: _Reading) -> set[_Event]:
        symbol, table, state, excluded = task
        exits = self._exit(table)
        found = {event for target in exits.entered(state, excluded) for event in exits.reachable[target]}
        goal = self._source.goal(symbol)
        found.update(self._ending(task))
        return {event for event in found if goal is None or goal >> event[0] & 1}

    def _exit(self, table: Table) -> _Exits:
        if table not in self._exits:
            self._exits[table] = _Exits(table)
        return self._exits[table]

    def _answer(self, symbol: Symbol, result: int) -> Action | None:
        key = (symbol, result)
        if key not in self._answers:
            self._answers[key] = self._source.resume(symbol, result)
        return self._answers[key]
