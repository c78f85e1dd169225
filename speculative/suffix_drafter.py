"""Suffix drafting: the longest match of the text's end, in the request itself or in its scope's finished requests.

The request's own text is preferred: a match among finished requests must be longer by :data:`_BIAS`. Where the end of a
text is reached while copying from it, the copy goes on into itself, as :mod:`~latticework.speculative.prompt_lookup`
does, so a repeating text is drafted as repeating.

Source: speculative spec, section 14, SAM-Decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.speculative.scopes import Scopes
from latticework.speculative.suffix_automaton import Match, SuffixAutomaton

NAME = "suffix"
_BIAS = 5
_BETWEEN = -1  # stands between two finished requests: no text matches across it, no draft goes beyond it


@dataclass(slots=True)
class _Cursor:
    """Where a request's end is in a text of finished requests."""

    finished: SuffixAutomaton
    state: int = 0
    matched: int = 0

    def advance(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            self.state, self.matched = self.finished.advance(self.state, self.matched, token)


@dataclass(slots=True)
class _Request:
    own: SuffixAutomaton
    cursor: _Cursor


class SuffixDrafter:
    """Drafts what followed the longest match, as a chain. Amortised constant time a token.

    Args:
        shortest: Shortest match that is followed.
        own_tokens: A request's text beyond this many tokens is not added to its automaton.
        finished_tokens: When a scope has kept this many tokens of finished requests, it starts afresh; requests under
            way keep what they have.
        scopes: How many scopes are remembered.
    """

    def __init__(
        self, shortest: int = 2, own_tokens: int = 1 << 16, finished_tokens: int = 1 << 18, scopes: int = 8
    ) -> None:
        if shortest < 1:
            raise ValueError(f"a match has at least one token, got {shortest}")
        self._shortest, self._own_tokens, self._finished_tokens = shortest, own_tokens, finished_tokens
        self._finished: Scopes[list[SuffixAutomaton]] = Scopes(lambda: [SuffixAutomaton()], scopes)
        self._requests: dict[str, _Request] = {}

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        prompt = request.tokens.tolist()
        state = _Request(SuffixAutomaton(), _Cursor(self._finished.begin(request)[0]))
        state.own.extend(prompt[: self._own_tokens])
        state.cursor.advance(prompt)
        self._requests[request.request_id] = state

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        state = self._requests.get(request.request_id)
        if state is not None:
            if len(state.own.text) + len(committed) <= self._own_tokens:
                state.own.extend(committed)
            state.cursor.advance(committed)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`. Nothing for a text that goes beyond what was observed."""
        length = min(budget.max_nodes, budget.max_depth)
        state = self._requests.get(request.request_id)
        if state is None or length <= 0 or len(request.tokens) != len(state.own.text):
            return EMPTY_DRAFT
        own, cursor = state.own.own_match(), state.cursor
        finished = cursor.finished.match(cursor.state, cursor.matched)
        if finished.length - _BIAS > own.length:
            return Draft.chain(_followed(cursor.finished.text, finished, length), origin=NAME)
        if own.length < self._shortest:
            return EMPTY_DRAFT
        return Draft.chain(_copied(state.own.text, own, length), origin=NAME)

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`. What was written is kept for the scope, the prompt is not."""
        kept = self._finished.get(request)
        self._finished.end(request)
        if self._requests.pop(request.request_id, None) is None or request.scope is None:
            return
        output = request.tokens[request.prompt_length :].tolist()
        if len(kept[0].text) + len(output) >= self._finished_tokens:
            kept[0] = SuffixAutomaton()
        if len(output) < self._finished_tokens:
            kept[0].extend([*output, _BETWEEN])


def _followed(text: list[int], match: Match, length: int) -> list[int]:
    following = text[match.end : match.end + length]
    return following[: following.index(_BETWEEN)] if _BETWEEN in following else following


def _copied(text: list[int], match: Match, length: int) -> list[int]:
    period = len(text) - match.end
    return [text[match.end + i % period] for i in range(length)]
