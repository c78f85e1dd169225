"""Dense retrieval drafting: what followed in a corpus where the target was in the state it is in now.

Needs an engine that shows hidden states (:attr:`VerifiedRows.hidden`); without them nothing is drafted.

Source: speculative spec, section 14 (DReSD).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latticework.speculative.datastore import Datastore
from latticework.speculative.dense_index import Floats
from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows, accepted_rows
from latticework.speculative.suffix_array import BETWEEN
from latticework.speculative.trie import merged

NAME = "dense_retrieval"
_DRAFTS, _LENGTH = 10, 10


@dataclass(frozen=True, slots=True)
class _Query:
    """The key of the last verified position of a text of ``length`` tokens."""

    length: int
    key: Floats


class DenseRetrievalDrafter:
    """Drafts what followed the nearest states, merged into a tree; as a chain, what followed the nearest one.

    Args:
        datastore: One with an index over hidden states of the very model that is served.
        drafts: How many neighbours are taken.
        length: How many tokens after each.
    """

    verified_hidden = True

    def __init__(self, datastore: Datastore, drafts: int = _DRAFTS, length: int = _LENGTH) -> None:
        if datastore.dense is None:
            raise ValueError("this datastore has no index over hidden states")
        self._tokens, self._index = np.asarray(datastore.tokens), datastore.dense
        self._drafts, self._length = drafts, length
        self._queries: dict[str, _Query] = {}

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        self._queries.pop(request.request_id, None)
        if verified is None or verified.hidden is None:
            return
        taken = accepted_rows(verified, committed)
        if len(taken) == len(committed):  # else the row that wrote the last token is not known
            key = self._index.project(verified.hidden[taken[-1]])
            self._queries[request.request_id] = _Query(len(request.tokens), key)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`. Nothing for a text that goes beyond what was observed."""
        query = self._queries.get(request.request_id)
        if query is None or query.length != len(request.tokens) or min(budget.max_nodes, budget.max_depth) <= 0:
            return EMPTY_DRAFT
        count = self._drafts if budget.branching else 1
        places = self._index.nearest(query.key, int(request.tokens[-1]), count)
        return merged((self._following(int(place)) for place in places), budget, NAME)

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        self._queries.pop(request.request_id, None)

    def _following(self, place: int) -> list[int]:
        """What stands after ``place`` in its document."""
        following: list[int] = self._tokens[place + 1 : place + 1 + self._length].tolist()
        return following[: following.index(BETWEEN)] if BETWEEN in following else following
