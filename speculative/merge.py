"""Several deterministic drafts of the same text as one tree within a budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latticework.speculative.best_path import best_path
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft
from latticework.speculative.drafter import DraftBudget

#: What is assumed of a node that nobody has scored: that each token of its path is right with this chance.
_UNSCORED = 0.5


def merged(drafts: Sequence[Draft], budget: DraftBudget, origin: str = "") -> Draft:
    """The best nodes of all drafts by score; equal paths become one, of the best score it was given.

    Without branching: the one path of the largest expected gain.
    """
    drafts = [draft for draft in drafts if len(draft)]
    if not drafts or min(budget.max_nodes, budget.max_depth) <= 0:
        return EMPTY_DRAFT
    scores: dict[tuple[int, ...], float] = {}
    for draft in drafts:
        paths: list[tuple[int, ...]] = []
        for token, parent, score in zip(
            draft.token.tolist(), draft.parent.tolist(), assumed_scores(draft), strict=True
        ):
            paths.append((*(paths[parent] if parent >= 0 else ()), token))
            scores[paths[-1]] = max(scores.get(paths[-1], 0.0), score)
    for path in sorted(scores, key=len, reverse=True):  # a parent is as likely as its child at least
        if len(path) > 1:
            scores[path[:-1]] = max(scores[path[:-1]], scores[path])
    fitting = [path for path in scores if len(path) <= budget.max_depth]
    best = sorted(fitting, key=lambda path: (-scores[path], len(path)))
    tree = _tree(best[: budget.max_nodes] if budget.branching else best, scores, origin)
    return tree if budget.branching else best_path(tree).within(budget.max_nodes, budget.max_depth)


def _tree(paths: Sequence[tuple[int, ...]], scores: dict[tuple[int, ...], float], origin: str) -> Draft:
    """The tree of paths of which each follows its parent."""
    place = {(): ROOT} | {path: node for node, path in enumerate(paths)}
    return Draft(
        np.array([path[-1] for path in paths], np.int32),
        np.array([place[path[:-1]] for path in paths], np.int32),
        np.array([len(path) for path in paths], np.int32),
        score=np.array([scores[path] for path in paths], np.float32),
        origin=origin,
    )


def assumed_scores(draft: Draft) -> list[float]:
    """The scores of a draft; :data:`_UNSCORED` for each token of a path where nobody knows."""
    assumed = np.power(_UNSCORED, draft.depth.astype(np.float64))
    known = assumed if draft.score is None else np.where(np.isnan(draft.score), assumed, draft.score)
    scores: list[float] = known.tolist()
    return scores
