"""A tree as paths: for engines whose attention is causal, so that every path is computed as a text of its own.

The main path comes first and lies in the key-value cache as a drafted chain would. Each other path begins at a node
whose parent is on an earlier one; it is computed behind copies of what comes before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from latticework.speculative.best_path import best_path
from latticework.speculative.draft import ROOT, Draft


@dataclass(frozen=True)
class TreePaths:
    """A draft in an order in which every path is a run of nodes.

    Attributes:
        draft: The nodes, those of the main path first; parents come before their children.
        starts: Where each path begins, and the number of nodes.
    """

    draft: Draft
    starts: tuple[int, ...]

    @property
    def main(self) -> int:
        """Nodes of the main path."""
        return self.starts[1]

    @property
    def branches(self) -> list[range]:
        """The nodes of each other path."""
        return [range(first, end) for first, end in zip(self.starts[1:], self.starts[2:], strict=False)]

    def ancestors(self, node: int) -> list[int]:
        """The drafted nodes before ``node`` on its way from the root, the first one first."""
        path: list[int] = []
        at = int(self.draft.parent[node])
        while at != ROOT:
            path.append(at)
            at = int(self.draft.parent[at])
        return path[::-1]

    def first(self, nodes: int) -> TreePaths:
        """The first ``nodes`` nodes."""
        starts = [*(start for start in self.starts[:-1] if start < nodes), min(nodes, self.starts[-1])]
        return TreePaths(self.draft.within(nodes, len(self.draft)), tuple(starts if len(starts) > 1 else (0, 0)))


def paths_of(draft: Draft, branches: int) -> TreePaths:
    """``draft`` as its best path and at most so many branches; what is on no path is left out."""
    if draft.is_chain:
        return TreePaths(draft, (0, len(draft)))
    main = _main_path(draft)
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(draft.parent.tolist()):
        children.setdefault(parent, []).append(node)
    order, starts = list(main), [0, len(main)]
    placed = set(main)
    for node in range(len(draft)):
        parent = int(draft.parent[node])
        if node in placed or (parent != ROOT and parent not in placed) or len(starts) - 2 >= branches:
            continue
        path = [node]
        while below := children.get(path[-1]):
            path.append(below[0])
        order += path
        placed.update(path)
        starts.append(len(order))
    return TreePaths(_reordered(draft, order), tuple(starts))


def _main_path(draft: Draft) -> list[int]:
    tokens = best_path(draft).token.tolist()
    path: list[int] = []
    for token in tokens:
        parent = path[-1] if path else ROOT
        path.append(int(np.flatnonzero((draft.parent == parent) & (draft.token == token))[0]))
    return path


def _reordered(draft: Draft, order: list[int]) -> Draft:
    places = np.full(len(draft) + 1, ROOT, np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return Draft(
        draft.token[order],
        places[draft.parent[order]],
        draft.depth[order],
        score=None if draft.score is None else draft.score[order],
        origin=draft.origin,
    )
