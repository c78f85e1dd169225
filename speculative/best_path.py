"""The best chain in a tree, for engines that verify chains only."""

from __future__ import annotations

import numpy as np

from latticework.speculative.draft import ROOT, Draft


def best_path(draft: Draft) -> Draft:
    """The path that is expected to gain most: of the largest sum of scores, each node's chance that it is reached.

    Of equally good paths, and where the scores are unknown, the one of first choices.
    """
    if draft.is_chain:
        return draft
    worth = np.zeros(len(draft)) if draft.score is None else np.nan_to_num(draft.score.astype(np.float64))
    best_below = worth.copy()
    best_child = np.full(len(draft) + 1, ROOT)  # the last entry is the root's
    gain = np.full(len(draft) + 1, -1.0)
    for node in range(len(draft) - 1, -1, -1):  # children before parents; of equal siblings the first one stays
        best_below[node] += max(gain[node], 0.0)
        parent = int(draft.parent[node])
        if best_below[node] >= gain[parent]:
            best_child[parent], gain[parent] = node, best_below[node]
    kept = np.zeros(len(draft), np.bool_)
    at = int(best_child[ROOT])
    while at != ROOT:
        kept[at] = True
        at = int(best_child[at])
    return draft.select(kept)
