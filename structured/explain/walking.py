"""Following a text through an automaton."""

from __future__ import annotations

from latticework.structured.automaton import Automaton, State


def walk(automaton: Automaton, state: State, text: bytes) -> tuple[int, State]:
    """How many bytes of ``text`` are allowed from ``state`` on, and the state after them."""
    for position, byte in enumerate(text):
        target = automaton.step(state, byte)
        if target is None:
            return position, state
        state = target
    return len(text), state
