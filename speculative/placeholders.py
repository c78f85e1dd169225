"""Prompts with images or sound: the drafter is shown the text alone.

Engines put placeholder ids where another modality's features go. They mean nothing to a drafter: repeated hundreds of
times they look like text that repeats, and a draft of one would be embedded as a word. So they are taken out of all
that the wrapped drafter sees, and positions close up, as they do in the prompt of a text-only draft model.

Source: speculative spec, section 18.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from latticework.speculative.draft import Draft
from latticework.speculative.drafter import (
    DraftBudget,
    Drafter,
    RequestView,
    TokenArray,
    VerifiedRows,
    read_prompt,
    verified_hidden,
    verified_prompt,
    verified_top_k,
)


class TextOnlyDrafter:
    """Any drafter, shown no placeholder. Requests without one cost a look at their prompt when they begin.

    Args:
        inner: The drafter.
        placeholders: Ids that stand for another modality. Ids outside the vocabulary do so too, whatever they are.
        vocabulary_size: Ids at or above it are outside.
    """

    def __init__(self, inner: Drafter, placeholders: Collection[int], vocabulary_size: int) -> None:
        self._inner = inner
        self._placeholders = np.array(sorted(placeholders), np.int32)
        self._size = vocabulary_size
        self.verified_top_k, self.verified_hidden = verified_top_k(inner), verified_hidden(inner)
        self.verified_prompt = verified_prompt(inner)
        self._prompts: dict[str, TokenArray] = {}  # without placeholders, of the requests that have some

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        text = self._is_text(request.tokens)
        if not text.all():
            self._prompts[request.request_id] = request.tokens[text]
        self._inner.begin(self._shown(request))

    def read_prompt(self, request: RequestView, shown: VerifiedRows, start: int) -> None:
        """See :func:`~latticework.speculative.drafter.read_prompt`. Not for prompts with placeholders.

        What follows an image there was said of the image, and positions would have to be counted anew.
        """
        if request.request_id not in self._prompts:
            read_prompt(self._inner, request, shown, start)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        self._inner.observe(self._shown(request), committed, verified)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        return self._inner.draft(self._shown(request), budget)

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        shown = self._shown(request)
        self._prompts.pop(request.request_id, None)
        self._inner.end(shown)

    def _shown(self, request: RequestView) -> RequestView:
        """The request without its placeholders, all of which are in the prompt: models write text."""
        prompt = self._prompts.get(request.request_id)
        if prompt is None:
            return request
        tokens = np.concatenate((prompt, request.tokens[request.prompt_length :])).astype(np.int32)
        return replace(request, tokens=tokens, prompt_length=len(prompt))

    def _is_text(self, tokens: TokenArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        inside = (tokens >= 0) & (tokens < self._size)
        return inside & ~np.isin(tokens, self._placeholders)
