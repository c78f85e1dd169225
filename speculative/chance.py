"""Where a verification rule gets its randomness: a few coins and one draw.

A rule asks for every random decision by name, so that production answers from uniforms fixed beforehand (the same coins
for nested drafts, the same for a replay) and a test answers with *every* outcome in turn and its probability, which
proves a rule exact without sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.floating[Any]]
Row = npt.NDArray[np.float64]


class Chance(Protocol):
    """Independent random decisions."""

    def coin(self, node: int, probability: float) -> bool:
        """Heads with the given probability. Asked at most once for each drafted node."""
        ...

    def draw(self, weights: Row) -> int:
        """An index with probability proportional to ``weights`` (``float64[V]``, of positive sum). Asked once."""
        ...


@dataclass(frozen=True, eq=False)
class Uniforms:
    """Decisions from uniforms in ``[0, 1)``.

    Attributes:
        coins: ``float64[>= n]``, one a node of the draft.
        last: Draws the token after the accepted path.
    """

    coins: Row
    last: float

    def coin(self, node: int, probability: float) -> bool:
        """See :meth:`Chance.coin`."""
        return bool(self.coins[node] < probability)

    def draw(self, weights: Row) -> int:
        """See :meth:`Chance.draw`."""
        return int(draw(weights[None], np.array([self.last]))[0])


#: What :func:`draw` answers for a row that allows no token. Harmless at a node nobody reaches, an error at one reached.
NO_TOKEN = -1


def draw(probabilities: Rows, uniforms: Row) -> npt.NDArray[np.int32]:
    """One token a row by inversion: the first whose cumulative probability exceeds ``uniforms[row] * total``.

    Args:
        probabilities: ``float[rows, V]``, non-negative; rows need not sum to one.
        uniforms: ``float64[rows]`` in ``[0, 1)``.

    Returns:
        ``int32[rows]``; :data:`NO_TOKEN` where a row has no mass.
    """
    cumulative = np.cumsum(probabilities, axis=1, dtype=np.float64)
    total = cumulative[:, -1:]
    # The product may round up to the total itself; the last token with mass is then meant.
    beyond = cumulative > np.minimum(uniforms[:, None] * total, np.nextafter(total, 0.0))
    chosen: npt.NDArray[np.int32] = beyond.argmax(axis=1).astype(np.int32)
    chosen[~(total[:, 0] > 0.0)] = NO_TOKEN
    return chosen
