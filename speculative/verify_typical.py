"""Typical acceptance: keep what the target would not be surprised by. **Lossy**: the output law is not the target's.

Source: speculative spec, section 1, rule 5 (Medusa).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from latticework.speculative.chance import Chance, Rows
from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.verify import Verified


def typical_verify(
    draft: Draft,
    probabilities: Rows,
    chance: Chance,
    eos_ids: Collection[int] = (),
    *,
    epsilon: float = 0.09,
    delta: float = 0.3,
) -> Verified:
    """Accept the longest path whose every token has ``p > min(epsilon, delta * exp(-entropy))``. Not exact.

    Of equally long paths the one of the largest likelihood wins. The token after it is drawn from the target. Where
    the rows are one-hot (temperature 0) this is greedy verification, which is exact.

    Args:
        draft: A deterministic tree of ``n`` nodes.
        probabilities: ``float[n + 1, V]``; rows need not sum to one.
        chance: Draws the last token.
        eos_ids: Tokens that end the text. One that is emitted is the last.
        epsilon, delta: The absolute threshold, and the one relative to the target's certainty.
    """
    if probabilities.ndim != 2 or probabilities.shape[0] != len(draft) + 1:
        raise ValueError(f"expected {len(draft) + 1} rows, one for the root and each node, got {probabilities.shape}")
    rows = probabilities.astype(np.float64)
    mass = rows.sum(axis=1, keepdims=True)
    rows = np.divide(rows, mass, out=np.zeros_like(rows), where=mass > 0.0)
    surprise = np.log(rows, out=np.zeros_like(rows), where=rows > 0.0)
    thresholds = np.minimum(epsilon, delta * np.exp((rows * surprise).sum(axis=1)))
    likelihood = np.full(len(draft), -np.inf)  # of the path that ends at the node; -inf: not accepted
    best, best_rank = ROOT, (0, 0.0)
    for node, (parent, token) in enumerate(zip(draft.parent.tolist(), draft.token.tolist(), strict=True)):
        before = 0.0 if parent == ROOT else likelihood[parent]
        ended = parent != ROOT and int(draft.token[parent]) in eos_ids
        if before == -np.inf or ended or not rows[parent + 1, token] > thresholds[parent + 1]:
            continue
        likelihood[node] = before + surprise[parent + 1, token]
        rank = (int(draft.depth[node]), float(likelihood[node]))
        if rank > best_rank:
            best, best_rank = node, rank
    path: list[int] = []
    at = best
    while at != ROOT:
        path.append(at)
        at = int(draft.parent[at])
    path.reverse()
    tokens = [int(draft.token[node]) for node in path]
    if not tokens or tokens[-1] not in eos_ids:
        if not mass[best + 1, 0] > 0.0:
            raise ValueError(f"no token is allowed after {len(tokens)} emitted ones")
        tokens.append(chance.draw(rows[best + 1]))
    return Verified(tuple(path), tuple(tokens))
