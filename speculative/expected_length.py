"""How much a draft is expected to gain, and how long it should be.

Times are in units of one target forward over the pending token alone. "Emitted" counts the target's own token too.

Source: speculative spec, section 1, "Expected length", and section 7 (the value of a tree).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


def acceptance(target: Floats, drafter: Floats) -> float:
    """The chance that a token drawn from ``drafter`` is kept: ``sum min(p, q)``. Both ``float[V]`` of sum one."""
    return float(np.minimum(target, drafter).sum(dtype=np.float64))


def expected_emitted(alpha: float, length: int) -> float:
    """Tokens a step of a chain of ``length`` whose tokens are kept with probability ``alpha`` each, independently."""
    if alpha >= 1.0:
        return float(length + 1)
    return float((1.0 - alpha ** (length + 1)) / (1.0 - alpha))


def speedup(alpha: float, length: int, draft_cost: float) -> float:
    """Tokens a unit of time against plain decoding, with ``draft_cost`` a drafted token."""
    return expected_emitted(alpha, length) / (draft_cost * length + 1.0)


def best_length(alpha: float, draft_cost: float, longest: int) -> int:
    """The chain length of the largest :func:`speedup`, 0 to ``longest``; the shortest of equally good ones."""
    return int(np.argmax([speedup(alpha, length, draft_cost) for length in range(longest + 1)]))


def expected_emitted_tree(scores: Floats) -> float:
    """Tokens a step of a tree: one, plus each node's probability that its whole path is kept (``float[n]``)."""
    return 1.0 + float(scores.sum(dtype=np.float64))


def best_prefix(scores: Floats, step_costs: Floats) -> int:
    """How many nodes of a draft are worth verifying: the prefix of most expected tokens a unit of time.

    Args:
        scores: ``float[n]``, each node's probability that its whole path is kept, in the order of the draft.
        step_costs: ``float[>= n + 1]``, time of a step that verifies ``0, 1, ... n`` nodes, drafting included.

    Returns:
        0 to ``n``, the smallest of equally good ones.
    """
    gained = 1.0 + np.concatenate(([0.0], np.cumsum(scores, dtype=np.float64)))
    return int(np.argmax(gained / step_costs[: gained.shape[0]]))
