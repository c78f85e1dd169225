"""Automata built from automata: one after the other, any of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from latticework.structured.automaton import Automaton, AutomatonBase, Edge, State

#: Which part the text may be in, and that part's state.
Place = tuple[int, State]


class _PlacesAutomaton(AutomatonBase):
    """Shared subset construction: a state is the set of places the text may be at."""

    def __init__(self, parts: Sequence[Automaton]) -> None:
        if not parts:
            raise ValueError("needs at least one part")
        self._parts = tuple(parts)

    def _closed(self, places: Iterable[Place]) -> frozenset[Place]:
        raise NotImplementedError

    def edges(self, state: State) -> Sequence[Edge]:
        """See :meth:`Automaton.edges`: overlay the byte ranges of every place."""
        ranges = [
            (low, high, (part, target)) for part, inner in state for low, high, target in self._parts[part].edges(inner)
        ]
        cuts = sorted({low for low, _, _ in ranges} | {high + 1 for _, high, _ in ranges})
        edges: list[Edge] = []
        for low, after in pairwise(cuts):
            places = [place for first, last, place in ranges if first <= low <= last]
            if places:
                edges.append((low, after - 1, self._closed(places)))
        return edges

    def special_edges(self, state: State) -> Iterable[tuple[int, State]]:
        """See :meth:`Automaton.special_edges`."""
        reached: dict[int, list[Place]] = {}
        for part, inner in state:
            for token_id, target in self._parts[part].special_edges(inner):
                reached.setdefault(token_id, []).append((part, target))
        return [(token_id, self._closed(places)) for token_id, places in sorted(reached.items())]

    def completable_with(self, usable: npt.NDArray[np.bool_]) -> bool:
        """See :meth:`Automaton.completable_with`."""
        return all(part.completable_with(usable) for part in self._parts)


class Concatenation(_PlacesAutomaton):
    """Every text that is one text of each part, in order."""

    def start(self) -> State:
        """See :meth:`Automaton.start`."""
        return self._closed([(0, self._parts[0].start())])

    def accepts(self, state: State) -> bool:
        """See :meth:`Automaton.accepts`."""
        last = len(self._parts) - 1
        return any(part == last and self._parts[part].accepts(inner) for part, inner in state)

    def _closed(self, places: Iterable[Place]) -> frozenset[Place]:
        closed: set[Place] = set()
        todo = list(places)
        while todo:
            part, inner = place = todo.pop()
            if place in closed:
                continue
            closed.add(place)
            if part + 1 < len(self._parts) and self._parts[part].accepts(inner):
                todo.append((part + 1, self._parts[part + 1].start()))
        return frozenset(closed)


class Union(_PlacesAutomaton):
    """Every text of any part."""

    def start(self) -> State:
        """See :meth:`Automaton.start`."""
        return frozenset((i, part.start()) for i, part in enumerate(self._parts))

    def accepts(self, state: State) -> bool:
        """See :meth:`Automaton.accepts`."""
        return any(self._parts[part].accepts(inner) for part, inner in state)

    def _closed(self, places: Iterable[Place]) -> frozenset[Place]:
        return frozenset(places)


def sequence(*parts: Automaton) -> Automaton:
    """The automaton of one text of each part, in order."""
    return parts[0] if len(parts) == 1 else Concatenation(parts)


def union(*parts: Automaton) -> Automaton:
    """The automaton of every text of any part."""
    return parts[0] if len(parts) == 1 else Union(parts)
