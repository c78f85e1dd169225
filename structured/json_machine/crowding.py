"""Whether so few keys begin like a text that the object might have them all.

Where keys are bounded in length each beginning has an end: behind ``abc`` of at most 64 characters come more keys than
any document has, behind 64 characters none. Used keys can be refused when they are written again as long as none of
them is so long; only then must they be told apart from the start.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from latticework.structured.json_machine.supply_kernels import completions
from latticework.structured.pushdown.table import DEAD, Table

#: More keys than an object has.
_PLENTY = 1 << 20
#: Behind which there are that many, of any characters.
_CHARACTERS_LEFT = 4


class Crowding:
    """The keys of a table that are no names.

    Args:
        table: Of the keys.
        others: The results that mean keys that are no names.
    """

    def __init__(self, table: Table, others: range) -> None:
        self._table = table
        self._longest = 0
        self._enough = np.ones(len(table.delta), np.bool_)
        if table.thresholds:
            highs = [high for low, high in pairwise((0, *table.thresholds))]
            self._longest = min(highs) - _CHARACTERS_LEFT
            return
        widths = np.bincount(table.classes, minlength=table.delta.shape[1])
        for result in others:
            counts = completions(table.delta, table.outcomes, table.result, result, widths, _PLENTY)
            self._enough &= (counts == DEAD) | (counts == 0) | (counts == _PLENTY)

    def crowded(self, text: bytes) -> bool:
        """Whether keys that begin like ``text``, as it is written with its opening quote, may all be used."""
        table = self._table
        if table.thresholds:
            return len(text) - 1 > self._longest
        before = state = table.start
        for byte in text:
            before, state = state, int(table.delta[state, table.classes[byte]])
            if state == DEAD:
                return True
        return not self._enough[before if table.closed(state) else state]
