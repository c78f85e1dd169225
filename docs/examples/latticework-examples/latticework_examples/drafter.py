"""The drafter ``successor``: after each token it guesses what followed that token last, in the same request."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pydantic import Field

from latticework.plugins.base import PluginOptions
from latticework.speculative.combine import CascadeDrafter
from latticework.speculative.draft import Draft
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView, VerifiedRows


class SuccessorOptions(PluginOptions):
    """``lw_drafter_*`` of ``successor``."""

    length: int = Field(default=6, ge=1, le=32, description="longest draft, in tokens")


class SuccessorDrafter:
    """Keeps one dictionary a request, so it learns nothing across requests. At most one entry a token of the text."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._followed: dict[str, dict[int, int]] = {}

    def begin(self, request: RequestView) -> None:
        """A request has arrived; its tokens are the prompt."""
        self._followed[request.request_id] = dict(pairwise(request.tokens.tolist()))

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """The committed tokens are the end of the text already: read them, and the one before them."""
        news = request.tokens[-len(committed) - 1 :].tolist()
        self._followed[request.request_id].update(pairwise(news))

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """A chain, so that any engine can verify it. Changes nothing here: the caller may ask twice."""
        followed, chain = self._followed[request.request_id], [int(request.tokens[-1])]
        for _ in range(min(self._length, budget.max_nodes, budget.max_depth)):
            if chain[-1] not in followed:
                break
            chain.append(followed[chain[-1]])
        return Draft.chain(chain[1:])

    def end(self, request: RequestView) -> None:
        """Everything kept for the request goes."""
        self._followed.pop(request.request_id, None)


class SuccessorPlugin:
    """What the entry point names."""

    name = "successor"
    summary = "what followed the last token the last time"
    options = SuccessorOptions

    def create(self, options: SuccessorOptions) -> Drafter:
        """The cascade puts forced text first and drops what the grammar forbids."""
        return CascadeDrafter(SuccessorDrafter(options.length))
