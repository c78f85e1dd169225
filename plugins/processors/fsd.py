"""Frustratingly simple decoding: greedy, against the habit of repeating oneself.

Among the ``k`` likeliest tokens the one with the largest ``(1 - alpha) * p(v) - alpha * q(v)`` is written, where ``p``
is the model (under a grammar: over the allowed tokens) and ``q`` an n-gram model of the output so far.

Source: search spec, section 12, the discrete form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field

from latticework.plugins.base import PluginOptions, Processor, ProcessorSession
from latticework.plugins.processors.ngram_counts import NgramCounts

#: Of the prompt, when it is counted: its last tokens only, because counting holds up the request's first step.
PROMPT_TOKENS = 8192


class FSDOptions(PluginOptions):
    """``lw_processor_*`` of ``fsd``."""

    alpha: float = Field(default=0.6, ge=0.0, le=1.0, description="weight of the penalty; 0 is greedy decoding")
    k: int = Field(default=5, ge=1, le=64, description="how many of the likeliest tokens compete")
    n: int = Field(default=3, ge=1, le=8, description="order of the n-gram model")
    beta: float = Field(default=0.9, ge=0.0, le=1.0, description="share of the longer suffixes in the n-gram model")
    include_prompt: bool = Field(
        default=False, description="count the prompt as well, which also penalises copying from it"
    )


class FSDPlugin:
    """See this module."""

    name = "fsd"
    summary = "greedy decoding with an n-gram penalty on repetition"
    options = FSDOptions

    def create(self, options: FSDOptions) -> Processor:
        """See :meth:`Factory.create`."""
        return FSD(options)


class FSD:
    """See :class:`latticework.plugins.base.Processor`."""

    greedy_only = True

    def __init__(self, options: FSDOptions) -> None:
        self._options = options

    def begin(self, prompt_ids: Sequence[int]) -> ProcessorSession:
        """See :meth:`Processor.begin`."""
        counts = NgramCounts(self._options.n)
        if self._options.include_prompt:
            counts.advance(prompt_ids[-PROMPT_TOKENS:])
        return FSDSession(self._options, counts)


class FSDSession:
    """See :class:`latticework.plugins.base.ProcessorSession`."""

    def __init__(self, options: FSDOptions, counts: NgramCounts) -> None:
        self._options = options
        self._counts = counts

    def advance(self, token_ids: Sequence[int]) -> None:
        """See :meth:`ProcessorSession.advance`."""
        self._counts.advance(token_ids)

    def rollback(self, count: int) -> None:
        """See :meth:`ProcessorSession.rollback`."""
        self._counts.rollback(count)

    def apply(self, logits: torch.Tensor) -> None:
        """See :meth:`ProcessorSession.apply`.

        The competing tokens are left with the logits ``0, -1, -2, ...`` in the order of their scores (equal scores:
        the lower id first) and the others with ``-inf``: ranks keep the order in every precision, and the argmax, which
        is all that greedy decoding looks at, is the winner. A row that is not a distribution is left as it is.
        """
        probability, token = likeliest(logits, self._options.k)
        if not token:
            return
        alpha, beta = self._options.alpha, self._options.beta
        scored = [
            ((1.0 - alpha) * p - alpha * self._counts.probability(v, beta), v)
            for p, v in zip(probability, token, strict=True)
        ]
        ranked = [v for _, v in sorted(scored, key=lambda entry: (-entry[0], entry[1]))]
        logits.fill_(-math.inf)
        places = torch.tensor(ranked, dtype=torch.long, device=logits.device)
        logits[places] = -torch.arange(len(ranked), dtype=logits.dtype, device=logits.device)


def likeliest(logits: torch.Tensor, k: int) -> tuple[list[float], list[int]]:
    """The ``k`` likeliest tokens (fewer if fewer are allowed), likeliest first, the lower id first among equals.

    Args:
        logits: ``float[V]``; ``-inf`` is not allowed.
        k: How many.

    Returns:
        Their probabilities over the allowed tokens, and their ids; both empty if the row has no finite normaliser.
    """
    values = logits.float()
    threshold = torch.topk(values, min(k, values.shape[0])).values[-1]
    # `topk` breaks ties as it likes, so everything down to the threshold is taken, sorted stably, and cut.
    ids = torch.nonzero((values >= threshold) & torch.isfinite(values)).flatten()
    order = torch.argsort(values[ids], descending=True, stable=True)[:k]
    ids = ids[order]
    normaliser = torch.logsumexp(values, dim=0)
    probability: list[float] = torch.exp(values[ids] - normaliser).tolist()
    if not probability or not probability[0] > 0.0:  # the likeliest of a distribution is never that unlikely
        return [], []
    return probability, ids.tolist()
