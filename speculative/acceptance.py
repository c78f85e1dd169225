"""How likely drafted nodes are kept: by what became of nodes like them.

Nodes are alike that were given about the same score by their drafter, or, where it gives none, that have the same place
in their drafts. Counts decay, so that they follow the text; a young request leans on how its drafter usually fares, and
that on the score itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from latticework.speculative.budget_kernels import CELLS, count, judge
from latticework.speculative.draft import Draft

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int32]

#: What is assumed of a drafter that gives no scores: the chance that a drafted token is kept after the one before it.
_OPTIMISM = 0.6
#: Outcomes that the estimate leaned on counts for.
_STRENGTH = 4.0
_NO_SCORES = np.empty(0, np.float32)


class Acceptance:
    """Decayed counts of what was tried and kept.

    Args:
        decay: What a node's outcome is worth when the next draft's has come.
    """

    def __init__(self, decay: float = 0.97) -> None:
        self._decay = decay
        self._counts = np.zeros((2, CELLS))
        self._went_on = self._stopped = 0.0

    def observe(self, cells: Cells, kept: tuple[int, ...]) -> None:
        """A draft of nodes of the kinds ``cells`` was verified; ``kept`` are the indices of the accepted ones."""
        count(self._counts, self._decay, cells, np.array(kept, np.int32))
        self._went_on = self._went_on * self._decay + len(kept)
        self._stopped = self._stopped * self._decay + (len(kept) < len(cells))

    def rate(self, lean_on: float = _OPTIMISM) -> float:
        """The chance that a kept token is followed by another one."""
        return (self._went_on + _STRENGTH * lean_on) / (self._went_on + self._stopped + _STRENGTH)

    def judge(self, draft: Draft, usual: Acceptance) -> tuple[Cells, Floats]:
        """``int32[n]`` and ``float64[n]``: the kind of each node, and how likely it is kept.

        Args:
            draft: What a request's drafter guesses. The chances do not rise from a node to its children.
            usual: How its drafter fares with all requests.
        """
        cells, chances = np.empty(len(draft), np.int32), np.empty(len(draft))
        score = _NO_SCORES if draft.score is None else draft.score.astype(np.float32, copy=False)
        rate = self.rate(usual.rate())
        judge(score, draft.parent, draft.depth, self._counts, usual._counts, rate, _STRENGTH, cells, chances)
        return cells, chances
