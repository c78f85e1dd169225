"""A pushdown source as an automaton, step by step in plain Python: what the mask runtime is tested against.

It also serves what needs an automaton and not a mask: the laws, brute-force tests, searches over configurations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from latticework.structured.automaton import AutomatonBase, Edge, State
from latticework.structured.pushdown.protocol import Action, Enter, PushdownSource, Symbol
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: Answers followed between two bytes before a source is taken to go round in circles.
MAX_CHAIN = 100_000

#: ``(below, symbol, depth)``, or ``None`` for the bottom.
Stack = tuple["Stack", Symbol, int] | None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where a text is.

    Attributes:
        table: The lexeme being read; ``None`` when the text is complete and nothing may follow.
        state: Its state.
        stack: The symbols waiting.
        texts: What was read since each capturing symbol on the stack was pushed, the lowest first.
    """

    table: Table | None
    state: int
    stack: Stack
    texts: tuple[bytes, ...] = ()


COMPLETE = Configuration(None, 0, None)


class PushdownAutomaton(AutomatonBase):
    """See :class:`latticework.structured.automaton.Automaton`."""

    def __init__(self, source: PushdownSource) -> None:
        self._source = source
        start = self._run(source.start(), None, ())
        if start is None:
            raise ValueError("a pushdown source must have a first lexeme")
        self._start = start

    def start(self) -> State:
        """See :meth:`Automaton.start`."""
        return self._start

    def step(self, state: Configuration, byte: int) -> Configuration | None:
        """See :meth:`Automaton.step`."""
        for _ in range(MAX_CHAIN):
            if state.table is None:
                return None
            target = state.table.step(state.state, byte)
            if target != DEAD and self._viable(state.table, target, state.stack, state.texts, byte):
                texts = tuple(text + bytes([byte]) for text in state.texts)
                return self._settle(state.table, target, state.stack, texts)
            ended = self._end(state, state.table.result_at(state.state))
            if ended is None:
                return None
            state = ended
        raise RuntimeError("a pushdown source goes round in circles")

    def step_special(self, state: Configuration, token_id: int) -> Configuration | None:
        """See :meth:`Automaton.step_special`."""
        for _ in range(MAX_CHAIN):
            if state.table is None:
                return None
            for special, result in state.table.specials_at(state.state):
                if special == token_id and (target := self._end(state, result)) is not None:
                    return target
            ended = self._end(state, state.table.result_at(state.state))
            if ended is None:
                return None
            state = ended
        raise RuntimeError("a pushdown source goes round in circles")

    def special_edges(self, state: Configuration) -> Iterable[tuple[int, Configuration]]:
        """See :meth:`Automaton.special_edges`."""
        seen: set[int] = set()
        here: Configuration | None = state
        while here is not None and here.table is not None:
            for special, result in here.table.specials_at(here.state):
                target = self._end(here, result)
                if target is not None and special not in seen:
                    seen.add(special)
                    yield special, target
            here = self._end(here, here.table.result_at(here.state))

    def accepts(self, state: Configuration) -> bool:
        """See :meth:`Automaton.accepts`."""
        here: Configuration | None = state
        for _ in range(MAX_CHAIN):
            if here is None:
                return False
            if here.table is None:
                return True
            here = self._end(here, here.table.end_at(here.state))
        raise RuntimeError("a pushdown source goes round in circles")

    def edges(self, state: Configuration) -> Sequence[Edge]:
        """See :meth:`Automaton.edges`."""
        edges: list[Edge] = []
        for byte in range(256):
            target = self.step(state, byte)
            if target is None:
                continue
            if edges and edges[-1][1] == byte - 1 and edges[-1][2] == target:
                edges[-1] = (edges[-1][0], byte, target)
            else:
                edges.append((byte, byte, target))
        return edges

    def _viable(self, table: Table, state: int, stack: Stack, texts: tuple[bytes, ...], byte: int) -> bool:
        """Whether the lexeme, now in ``state``, can still end in a result that the stack takes."""
        outcomes = table.outcome_set(state)
        assert stack is not None
        goal = self._source.goal(stack[1])
        if table.closed(state):
            read = tuple(text + bytes([byte]) for text in texts)
            return self._settle(table, state, stack, read) is not None
        if goal is not None:
            return bool(outcomes & goal)
        results = (result for result in range(outcomes.bit_length()) if outcomes >> result & 1)
        return any(self._pop(stack, result, texts, probe=True) is not None for result in results)

    def _settle(
        self, table: Table, state: int, stack: Stack, texts: tuple[bytes, ...], *, probe: bool = False
    ) -> Configuration | None:
        here = Configuration(table, state, stack, texts)
        return self._end(here, table.result_at(state), probe=probe) if table.closed(state) else here

    def _end(self, here: Configuration, result: int, *, probe: bool = False) -> Configuration | None:
        return None if result == NO_RESULT else self._pop(here.stack, result, here.texts, probe=probe)

    def _pop(self, stack: Stack, result: int, texts: tuple[bytes, ...], *, probe: bool = False) -> Configuration | None:
        """Give ``result`` to the top symbol. ``probe``: only whether it would be taken, whatever was captured."""
        if stack is None:
            return COMPLETE
        below, symbol, _ = stack
        goal = self._source.goal(symbol)
        if goal is not None and not goal >> result & 1:
            return None
        if not self._source.captures(symbol):
            return self._run(self._source.resume(symbol, result), below, texts, probe=probe)
        if probe:
            return self._run(self._source.resume(symbol, result), below, texts[:-1], probe=True)
        if texts[-1] in self._source.refused(symbol):
            return None
        return self._run(self._source.resume_text(symbol, result, texts[-1]), below, texts[:-1])

    def _run(
        self, action: Action | None, stack: Stack, texts: tuple[bytes, ...], *, probe: bool = False
    ) -> Configuration | None:
        if action is None:
            return None
        for symbol in action.push:
            stack = (stack, symbol, 1 if stack is None else stack[2] + 1)
            if self._source.captures(symbol):
                texts = (*texts, b"")
        if isinstance(action, Enter):
            return self._settle(action.table, action.state, stack, texts, probe=probe)
        return self._pop(stack, action.result, texts, probe=probe)
