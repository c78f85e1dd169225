"""Whether two samples of token sequences come from one distribution: total variation, with a permutation null."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Draws = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Comparison:
    """Two samples compared.

    Attributes:
        distance: Total variation distance of the two empirical distributions over the first ``length`` tokens.
        p_value: Share of random relabelings of the pooled draws with at least this distance. If both samples come from
            one distribution, ``p_value <= a`` happens with probability at most ``a``: the false-alarm rate.
    """

    distance: float
    p_value: float


def compare(first: Draws, second: Draws, length: int, *, permutations: int = 2000, seed: int = 0) -> Comparison:
    """Compare the first ``length`` tokens of two samples of independent draws."""
    pooled = [tuple(draw[:length]) for draw in (*first, *second)]
    kinds = {kind: index for index, kind in enumerate(Counter(pooled))}
    labels = np.array([kinds[draw] for draw in pooled])
    observed = _distance(labels, len(first), len(kinds))
    generator = np.random.default_rng(seed)
    reached = sum(
        _distance(generator.permutation(labels), len(first), len(kinds)) >= observed - 1e-12
        for _ in range(permutations)
    )
    return Comparison(observed, (1 + reached) / (1 + permutations))


def _distance(labels: np.ndarray, split: int, kinds: int) -> float:
    left = np.bincount(labels[:split], minlength=kinds) / split
    right = np.bincount(labels[split:], minlength=kinds) / (len(labels) - split)
    return float(np.abs(left - right).sum() / 2)
