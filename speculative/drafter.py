"""The contract of a drafter: guess what the model writes next, cheaply, and learn from what it did write.

A drafter never sees an engine. The caller calls ``begin`` once per request, then alternates ``draft`` (a guess from the
committed tokens) and ``observe`` (what was committed), then ``end``, in any interleaving over requests. A drafter may
keep memory across requests within its own bound. The laws are :class:`latticework.speculative.laws.DrafterLaws`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latticework.speculative.draft import Draft
from latticework.structured.engines.base import Matcher

TokenArray = npt.NDArray[np.int32]


@dataclass
class RequestView:
    """What a drafter may know of a request. Mutable: the caller refreshes ``tokens`` before each call.

    Attributes:
        request_id: Unique while the request lives.
        tokens: ``int32[n]``, prompt and output so far. A view of the engine's buffer: do not keep or write it.
        prompt_length: How many of ``tokens`` are the prompt.
        matcher: The request's position in its grammar, advanced to the end of ``tokens``; ``None`` when unconstrained.
            A drafter may move it while it works but must leave it where it was.
    """

    request_id: str
    tokens: TokenArray
    prompt_length: int
    matcher: Matcher | None = None


@dataclass(frozen=True)
class DraftBudget:
    """How much may be drafted: at most ``max_nodes`` nodes, ``max_depth`` deep. A chain engine sets both alike."""

    max_nodes: int
    max_depth: int


@dataclass(frozen=True, eq=False)
class VerifiedRows:
    """What the target showed at the verified positions, for drafters that learn from it.

    Attributes:
        token: ``int32[m]``, the input token of each verified position: the pending token, then the drafted ones.
        top_ids: ``int32[m, k]``, the ``k`` most likely next tokens at that position, most likely first, unmasked.
        top_logprobs: ``float32[m, k]``, their log-probabilities.
    """

    token: TokenArray
    top_ids: TokenArray
    top_logprobs: npt.NDArray[np.float32]


class Drafter(Protocol):
    """A way to guess ahead. One instance serves all requests of a worker, from one thread.

    A drafter that learns from what the target showed sets ``verified_top_k``: how many of the likeliest tokens of each
    verified position it wants to see. Without it nothing is computed, and ``verified`` is always ``None``.
    """

    def begin(self, request: RequestView) -> None:
        """A request has arrived; ``tokens`` is its prompt."""
        ...

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """``committed`` tokens were written (they are already the end of ``request.tokens``).

        ``verified`` is ``None`` where the engine shows nothing but the tokens.
        """
        ...

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """A guess of what follows ``request.tokens``, within ``budget``. An empty draft is always right.

        The tokens may go beyond those observed: a cascade asks for the continuation of a text it only assumes.
        """
        ...

    def end(self, request: RequestView) -> None:
        """The request is over, finished or aborted. Everything kept for it alone must go."""
        ...


def verified_top_k(drafter: object) -> int:
    """How much a drafter wants to see of verified positions; 0: nothing."""
    return int(getattr(drafter, "verified_top_k", 0))
