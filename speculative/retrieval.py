"""Retrieval drafting: what followed the end of the text in a corpus, as the tree of its commonest continuations.

The longest end of the text that occurs in the datastore is looked up; the drafts are the beginnings of what followed it
there that occur most often. Nothing is learnt from requests, so there is nothing to keep apart.

Source: speculative spec, section 14 (REST).
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from latticework.speculative.datastore import Datastore
from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.speculative.suffix_array import continuations, longest_occurring

NAME = "retrieval"
_LONGEST, _DEPTH, _PLACES, _PREFIXES = 16, 10, 5000, 64


class RetrievalDrafter:
    """Drafts from a datastore. A chain is the commonest token after each other.

    Args:
        datastore: Where to look.
        longest: Longest end of the text that is looked up, in tokens; longer ones come first.
        shortest: Shortest one.
    """

    def __init__(self, datastore: Datastore, longest: int = _LONGEST, shortest: int = 1) -> None:
        if not 1 <= shortest <= longest <= _LONGEST:
            raise ValueError(f"need 1 <= shortest <= longest <= {_LONGEST}, got {shortest} and {longest}")
        # Plain read-only arrays: the compiled loops do not know memory maps.
        self._tokens, self._suffixes = np.asarray(datastore.tokens), np.asarray(datastore.suffixes)
        self._longest, self._shortest = longest, shortest
        self._look_up(np.zeros(1, np.int32), DraftBudget(1, 1))  # compiles

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        if min(budget.max_nodes, budget.max_depth) <= 0 or not len(request.tokens):
            return EMPTY_DRAFT
        return self._look_up(np.array(request.tokens[-self._longest :], np.int32), budget)

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""

    def _look_up(self, text: np.ndarray[tuple[int], np.dtype[np.int32]], budget: DraftBudget) -> Draft:
        matched, low, high = longest_occurring(self._tokens, self._suffixes, text, self._longest)
        if matched < self._shortest:
            return EMPTY_DRAFT
        depth = min(_DEPTH, budget.max_depth)
        found = continuations(self._tokens, self._suffixes, matched, low, high, _PLACES, depth)
        token, parent, depths, score = commonest(*found, min(_PREFIXES, budget.max_nodes), budget.branching)
        return Draft(token, parent, depths, score=score, origin=NAME) if len(token) else EMPTY_DRAFT


@numba.njit(cache=True, nogil=True)
def commonest(token, parent, depth, count, places, nodes, branching):  # type: ignore[no-untyped-def]
    """The ``nodes`` commonest beginnings of a trie of continuations as a draft.

    Args:
        token, parent, depth, count, places: As returned by ``continuations``.
        nodes: How many.
        branching: Otherwise the commonest child of the commonest child, and so on.

    Returns:
        ``token``, ``parent``, ``depth`` (``int32[m]``) and ``score`` (``float32[m]``, the share of the places that go
        on so).
    """
    out_token, out_parent = np.empty(nodes, np.int32), np.empty(nodes, np.int32)
    out_depth, out_score = np.empty(nodes, np.int32), np.empty(nodes, np.float32)
    place = np.full(token.shape[0] + 1, -2, np.int64)  # of each node in the draft; the last entry is the match's
    place[-1] = -1
    tip = made = 0
    for node in np.argsort(-count, kind="mergesort"):  # of equally common ones parents come first
        above = place[parent[node]]
        if made == nodes:
            break
        if above == -2 or (not branching and above != tip - 1):
            continue
        out_token[made], out_parent[made], out_depth[made] = token[node], above, depth[node]
        out_score[made] = count[node] / places
        place[node] = made
        made += 1
        tip = made
    return out_token[:made], out_parent[:made], out_depth[:made], out_score[:made]
