"""Continuations merged by their common beginnings into one tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.drafter import DraftBudget


def merged(lines: Iterable[Sequence[int]], budget: DraftBudget, origin: str = "") -> Draft:
    """The tree of ``lines``, one after another, as far as the budget lasts; without branching the first one only."""
    nodes: dict[tuple[int, int], int] = {}
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    for line in lines:
        at = ROOT
        for depth, token in enumerate(line[: budget.max_depth], start=1):
            if (at, token) not in nodes:
                if len(tokens) == budget.max_nodes:
                    break
                nodes[at, token] = len(tokens)
                tokens.append(token)
                parents.append(at)
                depths.append(depth)
            at = nodes[at, token]
        if not budget.branching:
            break
    return Draft(np.array(tokens, np.int32), np.array(parents, np.int32), np.array(depths, np.int32), origin=origin)
