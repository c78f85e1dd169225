"""The one idea everything rests on: a constraint is an automaton over bytes (plus special token ids).

Invariant that makes masks exact: **every state an automaton hands out can still reach an accepting one.** ``step``
returns ``None`` exactly when the text read so far, plus this byte, has no completion. So a token is allowed if and only
if none of its bytes steps to ``None``, and no text of allowed tokens can reach a dead end.

A state is a whole configuration, parser stack included: immutable and hashable, equal iff it behaves the same as far as
the automaton can tell cheaply. The mask runtime interns states, so an automaton never needs to number them itself.
The laws are shipped as a test class: :class:`latticework.structured.laws.AutomatonLaws`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

#: Any immutable hashable value; each automaton knows its own shape.
State = Any
#: ``(low, high, target)``: every byte in ``low..high`` (inclusive) leads to ``target``.
Edge = tuple[int, int, State]


class Automaton(Protocol):
    """A language of byte strings and special tokens. Implementations are immutable and thread-safe."""

    def start(self) -> State:
        """The state before anything was written. Raises ``GrammarError`` at construction, not here, if empty."""
        ...

    def step(self, state: State, byte: int) -> State | None:
        """The state after ``byte`` (0-255), or ``None`` if no completion exists."""
        ...

    def step_special(self, state: State, token_id: int) -> State | None:
        """The state after a special token, which has no bytes; ``None`` if it is not allowed here."""
        ...

    def accepts(self, state: State) -> bool:
        """Whether the text may end here."""
        ...

    def edges(self, state: State) -> Sequence[Edge]:
        """Every byte allowed here, as disjoint ranges in rising order. This is what the mask runtime calls."""
        ...

    def special_edges(self, state: State) -> Iterable[tuple[int, State]]:
        """Every special token allowed here with the state it leads to."""
        ...

    def completable_with(self, usable: npt.NDArray[np.bool_]) -> bool:
        """Whether every state has a completion that uses only the bytes in ``usable`` (``bool[256]``).

        ``False`` may also mean "not known". It decides whether a vocabulary that lacks single-byte tokens needs the
        exhaustive check of :mod:`latticework.structured.runtime.spelling`.
        """
        ...


class AutomatonBase:
    """Derives ``step`` from ``edges``, no special tokens. Subclasses define ``start``, ``accepts``, ``edges``."""

    def edges(self, state: State) -> Sequence[Edge]:
        """See :meth:`Automaton.edges`."""
        raise NotImplementedError

    def step(self, state: State, byte: int) -> State | None:
        """See :meth:`Automaton.step`."""
        for low, high, target in self.edges(state):
            if low <= byte <= high:
                return target
        return None

    def special_edges(self, state: State) -> Iterable[tuple[int, State]]:
        """See :meth:`Automaton.special_edges`."""
        return ()

    def step_special(self, state: State, token_id: int) -> State | None:
        """See :meth:`Automaton.step_special`."""
        for special, target in self.special_edges(state):
            if special == token_id:
                return target
        return None

    def completable_with(self, usable: npt.NDArray[np.bool_]) -> bool:
        """See :meth:`Automaton.completable_with`."""
        return bool(usable.all())
