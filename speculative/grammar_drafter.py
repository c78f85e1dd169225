"""The grammar drafter: where the grammar leaves no choice, the draft costs nothing and is (almost) never rejected.

Where one *token* is legal its target probability is exactly one, so it is always accepted. Where only the *bytes* are
certain, several tokens may spell them and the tokenizer's own spelling is proposed: a guess that the model verifies
like any other, which is why these tokens are drafted and never committed unseen. Both score 1.

Source: speculative spec, section 20, steps 3 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.structured.engines.base import Matcher

NAME = "grammar"


class GrammarDrafter:
    """Drafts the forced run of the request's grammar as a chain. Nothing for a request without one; keeps nothing."""

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        length = min(budget.max_nodes, budget.max_depth)
        if request.matcher is None or length <= 0:
            return EMPTY_DRAFT
        return forced_chain(forced_run(request.matcher, length))

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""


def forced_chain(tokens: Sequence[int]) -> Draft:
    """The tokens of a forced run as a draft of score 1."""
    return replace(Draft.chain(tokens, origin=NAME), score=np.ones(len(tokens), np.float32))


def forced_run(matcher: Matcher, limit: int) -> list[int]:
    """All tokens forced from here on, at most ``limit``; the end token of a finished text may be the last.

    Goes on where :meth:`Matcher.forced_tokens` stops, because an engine may look no further than one construct. The
    matcher is left where it was.
    """
    return forced_into(matcher.fork(), limit)


def forced_into(matcher: Matcher, limit: int) -> list[int]:
    """As :func:`forced_run`, and the matcher is moved to the end of the run."""
    run: list[int] = []
    while len(run) < limit:
        fresh = matcher.forced_tokens(limit - len(run))
        if not fresh:
            break
        for token in fresh:
            if not matcher.accept(token):  # the engine breaks its own law; what it refuses is not worth verifying
                return run
            run.append(token)
    return run
