"""A draft as the target's forward pass wants it: one row a verified position, linked and masked.

Row 0 is the pending token (the root), row ``i + 1`` the draft's node ``i``; the rest up to ``width`` is padding that
sees nothing but the text before the root, the root and itself, and that nothing leads to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latticework.speculative.draft import Draft

LongArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TreeLayout:
    """The rows of one request.

    Attributes:
        token: ``int64[width]``, the input token of each row.
        depth: ``int64[width]``, its position after the root's.
        visible: ``bool[width, width]``, ``visible[i, j]``: row ``i`` attends to row ``j``.
        first_child: ``int64[width]``, row of the first child, -1 if there is none.
        next_sibling: ``int64[width]``, row of the next sibling, -1 if there is none.
    """

    token: LongArray
    depth: LongArray
    visible: npt.NDArray[np.bool_]
    first_child: LongArray
    next_sibling: LongArray


def lay_out(draft: Draft, pending: int, width: int) -> TreeLayout:
    """Lay out a draft of at most ``width - 1`` nodes after the token ``pending``."""
    rows = len(draft) + 1
    if rows > width:
        raise ValueError(f"a draft of {len(draft)} nodes does not fit {width} rows")
    token = np.full(width, pending, np.int64)
    token[1:rows] = draft.token
    depth = np.zeros(width, np.int64)
    depth[1:rows] = draft.depth
    visible = np.eye(width, dtype=np.bool_)
    visible[:, 0] = True
    first_child, next_sibling = np.full(width, -1, np.int64), np.full(width, -1, np.int64)
    youngest: dict[int, int] = {}
    for row, parent in enumerate((draft.parent + 1).tolist(), start=1):
        visible[row] |= visible[parent]
        if parent in youngest:
            next_sibling[youngest[parent]] = row
        else:
            first_child[parent] = row
        youngest[parent] = row
    return TreeLayout(token, depth, visible, first_child, next_sibling)
