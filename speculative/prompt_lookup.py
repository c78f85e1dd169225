"""Prompt lookup: what followed the last time the text ended like this will follow again.

The longest suffix of prompt and output that occurred earlier wins, the most recent occurrence among equals. What
followed it is the draft; where that runs into the end of the text it goes on into the draft itself (as LZ77 copies
do), so a text that has begun to repeat with period ``d`` is drafted as repeating for as long as the budget lasts.

Source: speculative spec, section 19.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, TokenArray, VerifiedRows

NAME = "prompt_lookup"


class PromptLookupDrafter:
    """Drafts a chain from an earlier occurrence of the text's end. Keeps nothing about any request.

    Cost: one backward pass over at most ``window`` tokens with at most ``max_match`` comparisons at each, and in
    ordinary text little more than one; it ends early at a match of ``max_match``. Without any match 32k tokens take
    about 60 us.

    Args:
        min_match: Shortest suffix that counts as a match, in tokens.
        max_match: Longest suffix looked at; longer ones are no better a sign.
        window: How many of the last tokens are searched.
    """

    def __init__(self, min_match: int = 2, max_match: int = 8, window: int = 32768) -> None:
        if not 1 <= min_match <= max_match:
            raise ValueError(f"need 1 <= min_match <= max_match, got {min_match} and {max_match}")
        self._min_match = min_match
        self._max_match = max_match
        self._window = window

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        length = min(budget.max_nodes, budget.max_depth)
        if length <= 0:
            return EMPTY_DRAFT
        searched = np.ascontiguousarray(request.tokens[-self._window :], np.int32)
        return Draft.chain(continuation(searched, self._min_match, self._max_match, length), origin=NAME)

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""


def continuation(tokens: TokenArray, min_match: int, max_match: int, length: int) -> TokenArray:
    """``length`` tokens that followed the best earlier occurrence of the end of ``tokens``; empty if there is none."""
    period: int = repeat_distance(tokens, min_match, max_match)
    if period == 0:
        return np.empty(0, np.int32)
    followed: TokenArray = tokens[len(tokens) - period + np.arange(length) % period]
    return followed


# An explicit signature compiles at import, so that no request waits for it; a read-only array takes writable ones too.
_TOKENS = numba.types.Array(numba.int32, 1, "C", readonly=True)


@numba.njit(numba.int64(_TOKENS, numba.int64, numba.int64), cache=True, nogil=True)
def repeat_distance(tokens, min_match, max_match):  # type: ignore[no-untyped-def]
    """How far back the text last ended as it ends now.

    Args:
        tokens: ``int32[n]``.
        min_match, max_match: Bounds of the length of the common suffix.

    Returns:
        The distance ``d >= 1`` such that ``tokens[:n - d]`` has the longest common suffix with ``tokens`` (the
        smallest ``d`` of equally long ones), or 0 if no suffix of ``min_match`` tokens occurs earlier.
    """
    n = tokens.shape[0]
    best = min_match - 1
    distance = 0
    for end in range(n - 1, min_match - 1, -1):  # tokens[:end] is the earlier text
        if tokens[end - 1] != tokens[n - 1]:
            continue
        matched = 1
        while matched < max_match and matched < end and tokens[end - 1 - matched] == tokens[n - 1 - matched]:
            matched += 1
        if matched > best:
            best = matched
            distance = n - end
            if best == max_match:
                break
    return distance
