"""The contract of a drafter: guess what the model writes next, cheaply, and learn from what it did write.

A drafter never sees an engine. The caller calls ``begin`` once per request, then alternates ``draft`` (a guess from the
committed tokens) and ``observe`` (what was committed), then ``end``, in any interleaving over requests. A drafter may
keep memory across requests within its own bound. The laws are :class:`latticework.speculative.laws.DrafterLaws`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from latticework.speculative.draft import Draft
from latticework.structured.engines.base import CompiledGrammar, Matcher

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
        scope: Requests of one scope may learn from one another's text (a tenant, a schema, ...), those of different
            scopes never do. ``None``: this request learns from itself alone and nobody from it.
        grammar: The grammar that ``matcher`` is a position in.
    """

    request_id: str
    tokens: TokenArray
    prompt_length: int
    matcher: Matcher | None = None
    scope: str | None = None
    grammar: CompiledGrammar | None = None


@dataclass(frozen=True)
class DraftBudget:
    """How much may be drafted: at most ``max_nodes`` nodes, ``max_depth`` deep.

    Without ``branching`` the engine verifies chains only, and the draft must be one.
    """

    max_nodes: int
    max_depth: int
    branching: bool = True


@dataclass(frozen=True, eq=False)
class VerifiedRows:
    """What the target showed at the verified positions, for drafters that learn from it.

    Attributes:
        token: ``int32[m]``, the input token of each verified position: the pending token, then the drafted ones.
        top_ids: ``int32[m, k]``, the ``k`` most likely next tokens at that position, most likely first, unmasked.
        top_logprobs: ``float32[m, k]``, their log-probabilities.
        parent: ``int32[m]``, the row each position follows, -1 for the pending token's; parents come first. ``None``
            where the engine cannot tell.
        hidden: ``float[m, H]``, the last hidden state of each position; ``None`` where the engine does not show it.
    """

    token: TokenArray
    top_ids: TokenArray
    top_logprobs: npt.NDArray[np.float32]
    parent: TokenArray | None = None
    hidden: npt.NDArray[np.floating[Any]] | None = None


class Drafter(Protocol):
    """A way to guess ahead. One instance serves all requests of a worker, from one thread.

    A drafter that learns from what the target showed sets ``verified_top_k``: how many of the likeliest tokens of each
    verified position it wants to see. One that learns from hidden states sets ``verified_hidden``. Without either
    nothing is computed, and ``verified`` is always ``None``. With ``verified_prompt`` it takes the same of the prompt,
    see :func:`read_prompt`.
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


def verified_hidden(drafter: object) -> bool:
    """Whether a drafter wants to see the hidden states of verified positions."""
    return bool(getattr(drafter, "verified_hidden", False))


def verified_prompt(drafter: object) -> bool:
    """Whether a drafter wants to see what the target held likely at the positions of the prompt."""
    return bool(getattr(drafter, "verified_prompt", False))


def read_prompt(drafter: object, request: RequestView, shown: VerifiedRows, start: int = 0) -> None:
    """The target has read a part of the prompt: tell a drafter that wants to know. Between ``begin`` and ``observe``.

    Args:
        drafter: Any drafter; one with :func:`verified_prompt` has a method ``read_prompt`` of the other arguments.
        request: The request.
        shown: One row a token of the prompt from ``start`` on, in their order; ``parent`` is the row before.
        start: Where in the prompt the part begins: engines may read long prompts in parts.
    """
    if verified_prompt(drafter) and len(shown.token):
        drafter.read_prompt(request, shown, start)  # type: ignore[attr-defined]


def accepted_rows(verified: VerifiedRows, committed: Sequence[int]) -> list[int]:
    """The rows along the committed tokens, the pending token's first; the ``i``-th wrote ``committed[i]``."""
    if not len(verified.token):
        return []
    taken = [0]
    if verified.parent is None:
        return taken
    for token in committed[:-1]:
        after = np.flatnonzero((verified.parent == taken[-1]) & (verified.token == token))
        if not len(after):
            break
        taken.append(int(after[0]))
    return taken
