"""DySpec: the best tree of samples from a draft model within a node budget, grown one sampling slot at a time.

A slot is a place where one more token may be sampled: below a node, from what earlier samples there left of the draft
model's distribution. Its value is the chance that verification gets to it *and* it is needed, with the drafter's
probabilities for the target's. The most valuable slot is filled first. A value is fixed before its token is drawn, so
which tokens are in the tree never depends on what they turned out to be, and
:func:`latticework.speculative.verify_sampled.multi_round` keeps the target's law (rule 1.8).

Source: speculative spec, section 7.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np

from latticework.speculative.chance import Row
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft, DraftKind
from latticework.speculative.drafter import DraftBudget

NAME = "dyspec"

#: The draft model: the distribution after a path of drafted tokens (``float[V]``, non-negative, any positive sum).
Model = Callable[[tuple[int, ...]], Row]
#: Draws an index with probability proportional to the weights.
Sampler = Callable[[Row], int]


def grow_sampled(model: Model, sample: Sampler, budget: DraftBudget) -> Draft:
    """Sample a tree of at most ``budget.max_nodes``; siblings without replacement, a chain without branching.

    ``score`` holds each slot's value times its token's probability; ``q`` the distribution each token was drawn from,
    rounded to float32 *before* the draw, so that verification sees exactly what was used.
    """
    if min(budget.max_nodes, budget.max_depth) <= 0:
        return EMPTY_DRAFT
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    rows: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
    scores: list[float] = []
    paths: list[tuple[int, ...]] = []
    # (-value, order of creation, parent, what is left of the distribution there)
    slots = [(-1.0, 0, ROOT, np.asarray(model(()), np.float32))]
    made = 1
    while slots and len(tokens) < budget.max_nodes:
        negative, _, parent, left = heapq.heappop(slots)
        exact = left.astype(np.float64)
        mass = float(exact.sum())
        if mass <= 0.0:  # everything that could follow is drafted already
            continue
        token = sample(exact)
        share = float(exact[token]) / mass
        node = len(tokens)
        tokens.append(token)
        parents.append(parent)
        depths.append(1 if parent == ROOT else depths[parent] + 1)
        rows.append(left)
        scores.append(-negative * share)
        paths.append((*(() if parent == ROOT else paths[parent]), token))
        if budget.branching:
            rest = left.copy()
            rest[token] = 0.0
            heapq.heappush(slots, (negative * (1.0 - share), made, parent, rest))
            made += 1
        if depths[node] < budget.max_depth and len(tokens) < budget.max_nodes:
            heapq.heappush(slots, (negative * share, made, node, np.asarray(model(paths[node]), np.float32)))
            made += 1
    return Draft(
        np.array(tokens, np.int32),
        np.array(parents, np.int32),
        np.array(depths, np.int32),
        DraftKind.SAMPLED_WITHOUT_REPLACEMENT,
        np.stack(rows),
        np.array(scores, np.float32),
        NAME,
    )
