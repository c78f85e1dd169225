"""The fusion drafter: one tree, or one chain, out of everything a request's past can tell.

Three drafters in one: n-grams of the request's own prompt and output, n-grams of what earlier requests of its scope
wrote, and the tokens that the target held likely after the same last tokens (Token Recycling; only where the engine
shows them). A path may change from one to the other at every token. :mod:`~latticework.speculative.fusion_kernel` says
how likely each token is held to be, and how the tree grows.

Memory is fixed: a table a request, sized by its prompt up to a limit, and two tables a scope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.speculative.fusion_kernel import (
    CONTEXTS,
    LONGEST,
    grow,
    learn,
    make_record,
    remember,
    remember_shown,
)
from latticework.speculative.ngram_table import NgramTable
from latticework.speculative.offer_record import OfferRecord
from latticework.speculative.scopes import Scopes

NAME = "fusion"
_SUCCESSORS, _SHOWN = 4, 8
_SMALLEST = 1 << 12
_HEADROOM = 256  # output tokens that a request's table has room for from the start


@dataclass(frozen=True, slots=True)
class _Memory:
    """What the requests of one scope share."""

    shared: NgramTable
    shown: NgramTable
    record: OfferRecord


@dataclass(frozen=True, slots=True)
class _Request:
    """What is kept for one request. ``addresses``: own text, earlier texts, what was shown, record."""

    own: NgramTable
    memory: _Memory
    addresses: tuple[int, int, int, int]


class FusionDrafter:
    """Drafts the tree of the best estimated acceptance from the request's past and its scope's.

    Args:
        own_rows: Most contexts kept of one request's prompt and output (49 bytes each, eight or so a token).
        shared_rows: Contexts kept of a scope's finished requests.
        shown_rows: Contexts kept of what the target held likely, in a scope (81 bytes each).
        scopes: How many scopes are remembered.
    """

    verified_top_k = _SHOWN
    verified_prompt = True

    def __init__(
        self,
        own_rows: int = 1 << 16,
        shared_rows: int = 1 << 18,
        shown_rows: int = 1 << 16,
        scopes: int = 8,
    ) -> None:
        self._own_rows, self._shared_rows, self._shown_rows = own_rows, shared_rows, shown_rows
        self._memories = Scopes(self._make_memory, scopes, self._make_own_memory)
        self._requests: dict[str, _Request] = {}
        _compile()

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        memory = self._memories.begin(request)
        wanted = max(_SMALLEST, CONTEXTS * (request.prompt_length + _HEADROOM))
        own = NgramTable(min(wanted, self._own_rows), _SUCCESSORS)
        remember(own.address, _contiguous(request.tokens), 0)
        addresses = (own.address, memory.shared.address, memory.shown.address, memory.record.address)
        self._requests[request.request_id] = _Request(own, memory, addresses)

    def read_prompt(self, request: RequestView, shown: VerifiedRows, start: int) -> None:
        """See :func:`~latticework.speculative.drafter.read_prompt`."""
        state = self._requests.get(request.request_id)
        if state is not None:
            before = request.tokens[start - 1] if start > 0 else np.int32(-1)
            _keep_shown(state.memory.shown, np.int32(before), shown)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        state = self._requests.get(request.request_id)
        if state is None:
            return
        tail = _contiguous(request.tokens[-(len(committed) + LONGEST) :])
        start = len(tail) - len(committed)
        learn(*state.addresses, tail, start)
        if verified is not None and len(verified.token):
            before = tail[start - 2] if start >= 2 else np.int32(-1)
            _keep_shown(state.memory.shown, before, verified)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        state = self._requests.get(request.request_id)
        if state is None or min(budget.max_nodes, budget.max_depth) <= 0:
            return EMPTY_DRAFT
        tail = _contiguous(request.tokens[-LONGEST:])
        token, parent, depth, score = grow(*state.addresses, tail, budget.max_nodes, budget.max_depth, budget.branching)
        return Draft(token, parent, depth, score=score, origin=NAME) if len(token) else EMPTY_DRAFT

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`. What was written becomes part of the scope's memory, the prompt does not."""
        state = self._requests.pop(request.request_id, None)
        self._memories.end(request)
        if state is not None and request.scope is not None:
            output = request.tokens[max(0, request.prompt_length - LONGEST) :]
            remember(state.memory.shared.address, _contiguous(output), min(request.prompt_length, LONGEST))

    def _make_memory(self) -> _Memory:
        return _Memory(NgramTable(self._shared_rows, _SUCCESSORS), NgramTable(self._shown_rows, _SHOWN), make_record())

    def _make_own_memory(self) -> _Memory:
        """What a request without a scope remembers beside its own text: it ends with the request, so it is small."""
        shown_rows = min(self._shown_rows, _SMALLEST)
        return _Memory(NgramTable(1, _SUCCESSORS), NgramTable(shown_rows, _SHOWN), make_record())


def _keep_shown(table: NgramTable, before: np.int32, verified: VerifiedRows) -> None:
    parent = verified.parent
    if parent is None:  # only the pending token's predecessor is known for sure
        parent = np.full(len(verified.token), -2, np.int32)
        parent[0] = -1
    logprobs = _contiguous(verified.top_logprobs, np.float32)
    token, ids = _contiguous(verified.token), _contiguous(verified.top_ids)
    remember_shown(table.address, before, token, _contiguous(parent), ids, logprobs)


def _contiguous(array: npt.NDArray[Any], kind: type[np.generic] = np.int32) -> npt.NDArray[Any]:
    """One layout for the compiled loops, which would be compiled again for another (or for a read-only array)."""
    return array.copy() if array.dtype == kind else np.array(array, kind, order="C")


def _compile() -> None:
    """Compile, or load from numba's cache, everything now, so that no request waits for it."""
    own, shown, record = NgramTable(1, _SUCCESSORS), NgramTable(1, _SHOWN), make_record()
    addresses = (own.address, own.address, shown.address, record.address)
    tokens = np.zeros(2, np.int32)
    learn(*addresses, tokens, 1)
    remember(own.address, tokens, 0)
    _keep_shown(
        shown,
        np.int32(-1),
        VerifiedRows(tokens[:1], np.zeros((1, _SHOWN), np.int32), np.zeros((1, _SHOWN), np.float32)),
    )
    grow(*addresses, tokens, 1, 1, True)
