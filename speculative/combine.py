"""Combining drafters with a grammar: forced text first, then other guesses, none of which the grammar forbids.

Source: speculative spec, section 20, steps 1 to 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft, DraftKind, FloatArray
from latticework.speculative.drafter import (
    DraftBudget,
    Drafter,
    RequestView,
    VerifiedRows,
    read_prompt,
    verified_hidden,
    verified_prompt,
    verified_top_k,
)
from latticework.speculative.grammar_drafter import forced_chain, forced_run
from latticework.structured.engines.base import Matcher


class CascadeDrafter:
    """Drafts the forced run, lets the next drafter go on from its end, and so on while both have something to say.

    With a grammar every draft of the inner drafter is pruned by it, so no node is verified that cannot be accepted, and
    what the inner drafter proposes may open the next forced run. A tree ends the cascade: only a chain has one end.
    Without a grammar this is the inner drafter alone.
    """

    def __init__(self, inner: Drafter) -> None:
        self._inner = inner
        self.verified_top_k = verified_top_k(inner)
        self.verified_hidden = verified_hidden(inner)
        self.verified_prompt = verified_prompt(inner)

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        self._inner.begin(request)

    def read_prompt(self, request: RequestView, shown: VerifiedRows, start: int) -> None:
        """See :func:`~latticework.speculative.drafter.read_prompt`."""
        read_prompt(self._inner, request, shown, start)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        self._inner.observe(request, committed, verified)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        if min(budget.max_nodes, budget.max_depth) <= 0:
            return EMPTY_DRAFT
        if request.matcher is None:
            return self._inner.draft(request, budget)
        view = replace(request, matcher=request.matcher.fork())
        draft = EMPTY_DRAFT
        while (room := room_in(budget, draft)) is not None and view.matcher is not None:
            forced = forced_chain(forced_run(view.matcher, min(room.max_nodes, room.max_depth)))
            draft = advanced(view, draft, forced)
            if (room := room_in(budget, draft)) is None or view.matcher.finished:
                break
            guess = prune(self._inner.draft(view, room), view.matcher)
            if guess.kind is not DraftKind.DETERMINISTIC:
                return draft if len(draft) else guess  # the two kinds are verified by different rules
            if not guess.is_chain:
                return append(draft, guess)
            if not len(guess):
                break
            draft = advanced(view, draft, guess)
        return draft

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        self._inner.end(request)


def prune(draft: Draft, matcher: Matcher) -> Draft:
    """The draft without the nodes that the grammar forbids after their own path, subtrees included.

    A *sampled* draft is returned as it is: dropping its illegal nodes while the others keep the unmasked ``q`` would
    bias the output. Kept, they are surely rejected, which is exact.

    Args:
        draft: Any draft.
        matcher: At the pending token; left where it is.
    """
    if draft.kind is not DraftKind.DETERMINISTIC or not len(draft):
        return draft
    if draft.is_chain:
        return draft.within(matcher.count_valid(draft.token.tolist()), len(draft))
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(draft.parent.tolist()):
        children.setdefault(parent, []).append(node)
    kept = np.zeros(len(draft), np.bool_)
    walker = matcher.fork()
    waiting = [iter(children.get(ROOT, ()))]  # one iterator over siblings a level: depth-first without recursion
    while waiting:
        child = next(waiting[-1], None)
        if child is None:
            waiting.pop()
            if waiting:
                walker.rollback(1)
        elif walker.accept(int(draft.token[child])):
            kept[child] = True
            waiting.append(iter(children.get(child, ())))
    return draft.select(kept)


def append(draft: Draft, tail: Draft) -> Draft:
    """``tail`` grafted onto the last node of the chain ``draft``, both deterministic.

    Scores multiply along paths. The origin names all who had a part, joined by ``+``.
    """
    if not len(draft) or not len(tail):
        return tail if not len(draft) else draft
    last = len(draft) - 1
    score: FloatArray | None = None
    if draft.score is not None or tail.score is not None:
        before, after = _scores(draft), _scores(tail)
        score = np.concatenate((before, before[last] * after))
    return Draft(
        token=np.concatenate((draft.token, tail.token)),
        parent=np.concatenate((draft.parent, np.where(tail.parent == ROOT, last, tail.parent + len(draft)))).astype(
            np.int32
        ),
        depth=np.concatenate((draft.depth, tail.depth + draft.depth[last])),
        score=score,
        origin=_origins(draft, tail),
    )


def _origins(draft: Draft, tail: Draft) -> str:
    """``grammar+prompt_lookup``: each name once, however often they took turns."""
    if draft.origin == tail.origin:
        return draft.origin
    names = (*draft.origin.split("+"), *tail.origin.split("+"))
    return "+".join(dict.fromkeys(filter(None, names)))


def _scores(draft: Draft) -> FloatArray:
    return draft.score if draft.score is not None else np.full(len(draft), np.nan, np.float32)


def room_in(budget: DraftBudget, draft: Draft) -> DraftBudget | None:
    """What of the budget is left after a chain, or ``None`` if nothing is."""
    left = min(budget.max_nodes, budget.max_depth) - len(draft)
    if left <= 0:
        return None
    return replace(budget, max_nodes=budget.max_nodes - len(draft), max_depth=budget.max_depth - len(draft))


def advanced(view: RequestView, draft: Draft, chain: Draft) -> Draft:
    """``draft`` with ``chain`` at its end; the view is moved to the end of it."""
    if not len(chain):
        return draft
    view.tokens = np.concatenate((view.tokens, chain.token))
    for token in chain.token.tolist():
        assert view.matcher is not None
        view.matcher.accept(token)
    return append(draft, chain)
