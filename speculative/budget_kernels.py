"""The compiled loops of the budget policy.

Drafts of a batch lie one behind the other: ``chances float64[N]``, request ``i``'s nodes from ``starts[i]`` to
``starts[i + 1]``. Counts are ``float64[2, CELLS]``: how often nodes of a kind were tried, and kept.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

_EDGES = np.array((0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 0.999))
_BANDS = len(_EDGES) + 1
_PLACES = 64
#: Kinds of nodes: about the same score, or, without one, the same place in their drafts.
CELLS = _BANDS + _PLACES


@njit(cache=True, nogil=True)
def judge(
    score: npt.NDArray[np.float32],
    parent: Ints,
    depth: Ints,
    own: Floats,
    usual: Floats,
    rate: float,
    strength: float,
    cells: Ints,
    chances: Floats,
) -> None:
    """Fill in each node's kind and chance, not above its parent's.

    Where a node has a score, a request's ``own`` counts lean on the ``usual`` ones of its drafter, and those on it.
    Where it has none (NaN, or ``score`` is empty) they lean on ``rate``, the chance that a kept token is followed by
    another in this request: longer drafts are tried as soon as short ones are kept.
    """
    for node in range(len(parent)):
        value = float(score[node]) if len(score) else np.nan
        if np.isnan(value):
            cell, lean = _BANDS + min(node, _PLACES - 1), rate ** depth[node]
        else:
            cell = int(np.searchsorted(_EDGES, value, side="right"))
            lean = (usual[1, cell] + strength * value) / (usual[0, cell] + strength)
        chance = (own[1, cell] + strength * lean) / (own[0, cell] + strength)
        if parent[node] >= 0:
            chance = min(chance, chances[parent[node]])
        cells[node], chances[node] = cell, chance


@njit(cache=True, nogil=True)
def count(counts: Floats, decay: float, cells: Ints, kept: Ints) -> None:
    """What became of a draft's nodes."""
    counts *= decay
    for cell in cells:
        counts[0, cell] += 1.0
    for node in kept:
        counts[1, cells[node]] += 1.0


@njit(cache=True, nogil=True)
def best_size(
    chances: Floats,
    starts: Ints,
    padded: bool,
    batch: int,
    certain: float,
    bound: int,
    base: float,
    row: float,
    drafting: float,
) -> tuple[int, float, float]:
    """Of how many nodes (rows of every request where ``padded``) a step gains most tokens a unit of time.

    Args:
        chances: See the module.
        starts: See the module.
        padded: Every request is given as many rows as the largest draft needs.
        batch: Requests of the step.
        certain: Tokens expected of drafts that are verified in any case,
        bound: and their nodes; of the largest one where ``padded``.
        base: Time of a step of ``batch`` requests without drafts,
        row: of one node more,
        drafting: and of verifying any at all.

    Returns:
        The best size, and the tokens a unit of time at size 0 and at the best.
    """
    gains = _gains(chances, starts, padded)
    gained, best, fastest, plain = certain, 0, 0.0, 0.0
    for size in range(len(gains) + 1):
        if size:
            gained += gains[size - 1]
        nodes = batch * max(size, bound) if padded else bound + size
        rate = (batch + gained) / (base + row * nodes + (drafting if nodes else 0.0))
        if size == 0:
            plain = rate
        if rate > fastest:
            best, fastest = size, rate
    return best, plain, fastest


@njit(cache=True, nogil=True)
def take(chances: Floats, starts: Ints, padded: bool, size: int) -> npt.NDArray[np.bool_]:
    """``bool[N]``: the ``size`` likeliest nodes, of each request where ``padded``; of equal ones the earlier.

    A parent is no less likely than its children and comes before them, so none is taken without it.
    """
    kept = np.zeros(len(chances), np.bool_)
    if not padded:
        for node in np.argsort(-chances, kind="mergesort")[:size]:
            kept[node] = True
        return kept
    for request in range(len(starts) - 1):
        first = starts[request]
        for node in np.argsort(-chances[first : starts[request + 1]], kind="mergesort")[:size]:
            kept[first + node] = True
    return kept


@njit(cache=True, nogil=True)
def _gains(chances: Floats, starts: Ints, padded: bool) -> Floats:
    """What each further node is expected to gain, or each further row of all requests."""
    if not padded:
        return -np.sort(-chances)
    widest = 0
    for request in range(len(starts) - 1):
        widest = max(widest, starts[request + 1] - starts[request])
    gains = np.zeros(widest)
    for request in range(len(starts) - 1):
        own = -np.sort(-chances[starts[request] : starts[request + 1]])
        gains[: len(own)] += own
    return gains
