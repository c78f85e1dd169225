"""Which key-value rows stay after a verification, and where they go.

The rows of a step lie behind the committed ones in the order of :func:`latticework.speculative.tree_layout.lay_out`:
the root first, then the nodes. Those of the root and of the accepted path are kept and become contiguous.

Source: speculative spec, section 0, "Commit", and section 1, rule 10.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def kept_rows(path: Sequence[int]) -> npt.NDArray[np.int64]:
    """``int64[len(path) + 1]``: row of the root and of each accepted node; entry ``i`` goes to slot ``i`` of the step.

    Parents come before children, so rows ascend and row ``i`` is at least ``i``: copied one by one in this order, no
    row is overwritten before it is read. A kernel that copies them all at once must gather before it scatters.
    """
    return np.concatenate(([0], np.asarray(path, np.int64) + 1)).astype(np.int64)


def moves(path: Sequence[int]) -> npt.NDArray[np.int64]:
    """``int64[m, 2]``: source and target of every row that has to move; none for a chain accepted from its start."""
    rows = kept_rows(path)
    targets = np.arange(rows.shape[0])
    pairs: npt.NDArray[np.int64] = np.stack((rows, targets), axis=1)[rows != targets]
    return pairs
