"""One of a list of texts, verbatim."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from latticework.structured.automaton import AutomatonBase, Edge, State
from latticework.structured.errors import GrammarError


class Choice(AutomatonBase):
    """The options sorted as bytes; a state ``(low, high, depth)`` is the slice that shares the first ``depth`` bytes.

    No tree is built, so a hundred thousand options cost their sorting; a step is two binary searches.

    Raises:
        GrammarError: There is no option, or one of them is not valid Unicode.
    """

    def __init__(self, options: Iterable[str], *, field: str = "choice") -> None:
        try:
            self._options = sorted({option.encode() for option in options})
        except UnicodeEncodeError as error:
            raise GrammarError(field, f"an option holds a lone surrogate: {error}") from None
        if not self._options:
            raise GrammarError(field, "expected at least one option")

    def start(self) -> State:
        """See :meth:`Automaton.start`."""
        return (0, len(self._options), 0)

    def accepts(self, state: State) -> bool:
        """See :meth:`Automaton.accepts`: the shortest option of a slice is its first."""
        low, _, depth = state
        shortest = self._options[low]
        return len(shortest) == int(depth)

    def edges(self, state: State) -> Sequence[Edge]:
        """See :meth:`Automaton.edges`."""
        low, high, depth = state
        edges: list[Edge] = []
        position = low + (len(self._options[low]) == depth)
        while position < high:
            prefix = self._options[position][: depth + 1]
            after = bisect_right(self._options, prefix, position, high, key=lambda option: option[: depth + 1])
            edges.append((prefix[depth], prefix[depth], (position, after, depth + 1)))
            position = after
        return edges

    def step(self, state: State, byte: int) -> State | None:
        """See :meth:`Automaton.step`."""
        low, high, depth = state
        prefix = self._options[low][:depth] + bytes([byte])
        first = bisect_left(self._options, prefix, low, high)
        after = bisect_right(self._options, prefix, first, high, key=lambda option: option[: depth + 1])
        return (first, after, depth + 1) if first < after else None

    def completable_with(self, usable: npt.NDArray[np.bool_]) -> bool:
        """See :meth:`Automaton.completable_with`."""
        used = np.zeros(256, np.bool_)
        for option in self._options:
            used[list(option)] = True
        return bool(usable[used].all())
