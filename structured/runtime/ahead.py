"""Asking a source ahead of the texts: the answers nearest to the beginning, before the first token is chosen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from latticework.structured import bitset, clock
from latticework.structured.errors import LatticeworkError
from latticework.structured.pushdown.protocol import Action, Enter
from latticework.structured.runtime.symbols import Symbols

#: Results of one symbol that are looked at.
_MAX_RESULTS = 256

#: The owner on top and what is below, ``None`` for the bottom.
_Stack = tuple[int, "_Stack"] | None


def ask_ahead(symbols: Symbols, start: Action, answers: int, seconds: float) -> Iterator[Enter]:
    """Ask for the answers that texts come to, breadth first, and give those that enter a lexeme.

    An answer is asked for once, on the first stack on which it is met; what only other stacks lead to is left out.

    Args:
        symbols: Whose source is asked.
        start: How texts begin.
        answers, seconds: How much to do at most; what is done with the answers counts. Seconds of this thread alone,
            and more of them on a slow machine, so that one looks about as far ahead as another.
    """
    deadline = clock.worked() + seconds * clock.slowness()
    asked: set[tuple[int, int]] = set()
    todo: deque[tuple[Action, _Stack]] = deque([(start, None)])
    while todo:
        action, stack = todo.popleft()
        for owner in symbols.owners(action):
            stack = owner, stack
        if stack is None:
            continue
        top, below = stack
        wanted = symbols.wanted(top)
        if isinstance(action, Enter):
            yield action
            possible = action.table.outcome_set(action.state)
        else:
            possible = 1 << action.result
        for result in bitset.bits(possible if wanted is None else possible & wanted)[:_MAX_RESULTS]:
            if (top, result) in asked:
                continue
            if len(asked) == answers or clock.worked() > deadline:
                return
            asked.add((top, result))
            try:
                found = symbols.ask(top, result)
            except LatticeworkError:
                continue  # whoever comes to it is told
            if found is not None:
                todo.append((found, below))
