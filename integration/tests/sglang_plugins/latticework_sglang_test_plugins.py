"""A third-party drafter for the tests, found through entry points when this folder is on ``PYTHONPATH``.

It drafts bushy trees out of what the target showed at verified positions, rejected ones among them (token recycling).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import prometheus_client

from latticework.plugins.base import PluginOptions
from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView, VerifiedRows

_BRANCHES = 3

ROWS = prometheus_client.Counter("latticework_test_rows_total", "Verified positions shown to the test drafter.")
OFF_FIRST = prometheus_client.Counter(
    "latticework_test_branches_total", "Accepted first tokens of drafts that were not the first branch."
)


class _BranchingDrafter:
    def __init__(self) -> None:
        self.verified_top_k = _BRANCHES
        self._successors: dict[int, list[int]] = {}
        self._first: dict[str, list[int]] = {}

    def begin(self, request: RequestView) -> None:
        pass

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        first = self._first.pop(request.request_id, [])
        if committed[0] in first[1:] and len(committed) > 1:
            OFF_FIRST.inc()
        if verified is not None:
            ROWS.inc(len(verified.token))
            for token, top in zip(verified.token.tolist(), verified.top_ids.tolist(), strict=True):
                # The other way round, so that what is right is seldom the first branch.
                self._successors[token] = top[::-1]

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        token, parent, depth = [], [], []
        waiting = [(ROOT, int(request.tokens[-1]), 0)]
        while waiting:
            node, text, level = waiting.pop(0)
            for successor in self._successors.get(text, []):
                if len(token) >= budget.max_nodes or level >= budget.max_depth:
                    break
                waiting.append((len(token), successor, level + 1))
                token.append(successor)
                parent.append(node)
                depth.append(level + 1)
        self._first[request.request_id] = [t for t, p in zip(token, parent, strict=True) if p == ROOT]
        return Draft(np.array(token, np.int32), np.array(parent, np.int32), np.array(depth, np.int32))

    def end(self, request: RequestView) -> None:
        self._first.pop(request.request_id, None)


class BranchingPlugin:
    """The drafter ``branching``."""

    name = "branching"
    summary = "bushy trees of what was likely before"
    options = PluginOptions

    def create(self, options: PluginOptions) -> Drafter:
        """See ``Factory.create``."""
        return _BranchingDrafter()
