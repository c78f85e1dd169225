"""The logits processor ``no_repeat_ngram``: nothing of ``n`` tokens is written twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from pydantic import Field

from latticework.plugins.base import PluginOptions, Processor, ProcessorSession


class NoRepeatOptions(PluginOptions):
    """``lw_processor_*`` of ``no_repeat_ngram``."""

    n: int = Field(default=4, ge=2, le=32, description="length of what must not come again, in tokens")


class NoRepeatSession:
    """The state of one request. The caller advances over drafted tokens and rolls back those that are rejected."""

    def __init__(self, n: int) -> None:
        self._context = n - 1
        self._history: list[int] = []
        self._written: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)

    def advance(self, token_ids: Sequence[int]) -> None:
        """The tokens were written."""
        for token in token_ids:
            self._written[self._end()].append(token)
            self._history.append(token)

    def rollback(self, count: int) -> None:
        """The last tokens were not written after all."""
        for _ in range(count):
            self._history.pop()
            self._written[self._end()].pop()

    def apply(self, logits: torch.Tensor) -> None:
        """Forbid what would write an n-gram again, unless nothing else is allowed here."""
        again = sorted(set(self._written.get(self._end(), ())))
        if not again or len(self._history) < self._context:
            return
        kept = logits.clone()
        kept[torch.tensor(again, device=logits.device)] = -torch.inf
        if torch.isfinite(kept).any():
            logits.copy_(kept)

    def _end(self) -> tuple[int, ...]:
        return tuple(self._history[-self._context :])


class NoRepeat:
    """Stateless: one instance serves all requests with these options."""

    greedy_only = False

    def __init__(self, n: int) -> None:
        self._n = n

    def begin(self, prompt_ids: Sequence[int]) -> ProcessorSession:
        """A request has arrived. Its prompt may be repeated, so it is not read."""
        return NoRepeatSession(self._n)


class NoRepeatPlugin:
    """What the entry point names."""

    name = "no_repeat_ngram"
    summary = "nothing of n tokens is written twice"
    options = NoRepeatOptions

    def create(self, options: NoRepeatOptions) -> Processor:
        """See ``latticework.plugins.base.Factory``."""
        return NoRepeat(options.n)
