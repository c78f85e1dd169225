"""A drafter made of any small model that answers for drafted paths.

The model is asked through :class:`SmallModel` and knows nothing of drafting; how a draft is grown from its answers is
one of the methods below. The engine adapters verify by sample-and-match, which is exact for all of them, because the
noise here is a function of seed and position alone and the target's is not looked at.

Source: speculative spec, sections 6, 7 and 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

import numpy as np

from latticework.speculative.chance import Row
from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.draft_model import Forward, Path
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView, VerifiedRows
from latticework.speculative.dyspec import grow_sampled
from latticework.speculative.rsd import constant_branching, stochastic_beams
from latticework.speculative.staged import Proposer, likeliest_tree, sampled_chain

NAME = "model"
_WIDTH = 8


class SmallModel(Protocol):
    """A small model. It may keep what it computed for a request (keys and values, say) between the calls."""

    def rows(self, request: RequestView, paths: Sequence[Path]) -> Sequence[Row]:
        """Distributions after the request's text and each path, from one forward pass. ``float[V]`` each."""
        ...

    def end(self, request: RequestView) -> None:
        """The request is over."""
        ...


class Method(StrEnum):
    """How a draft is grown.

    ``LIKELIEST``: the likeliest paths, a deterministic tree. The others sample: ``CHAIN`` one token after another,
    ``RSD_C`` two siblings everywhere, ``RSD_S`` stochastic beams, ``DYSPEC`` slot by slot.
    """

    LIKELIEST = "likeliest"
    CHAIN = "chain"
    RSD_C = "rsd_c"
    RSD_S = "rsd_s"
    DYSPEC = "dyspec"


class ModelDrafter:
    """Drafts with a small model; chains where only chains are verified.

    Args:
        model: The model.
        method: How.
        second: A cheaper drafter that drafts for the small model (``LIKELIEST`` and ``CHAIN``); it must be
            deterministic.
        seed: Of the samples.
        longest: Tokens of text, the drafted ones among them, that the model is good for; beyond that nothing is
            drafted.
    """

    def __init__(
        self,
        model: SmallModel,
        method: Method = Method.LIKELIEST,
        second: Drafter | None = None,
        seed: int = 0,
        longest: int = 1 << 30,
    ) -> None:
        self._model, self._method, self._second, self._seed = model, method, second, seed
        self._longest = longest

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        if self._second is not None:
            self._second.begin(request)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        if self._second is not None:
            self._second.observe(request, committed, verified)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        length = min(budget.max_nodes, budget.max_depth)
        if length <= 0 or not 0 < len(request.tokens) <= self._longest - budget.max_depth:
            return EMPTY_DRAFT

        def forward(paths: Sequence[Path]) -> Sequence[Row]:
            return self._model.rows(request, paths)

        propose = self._proposer(request, length) if self._second is not None else None
        if self._method is Method.LIKELIEST:
            return likeliest_tree(forward, budget, _WIDTH, propose)
        return self._sampled(forward, budget, propose, np.random.default_rng((self._seed, len(request.tokens))))

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        if self._second is not None:
            self._second.end(request)
        self._model.end(request)

    def _sampled(
        self, forward: Forward, budget: DraftBudget, propose: Proposer | None, generator: np.random.Generator
    ) -> Draft:
        def sample(weights: Row) -> int:
            return int(generator.choice(len(weights), p=weights / weights.sum()))

        length = min(budget.max_nodes, budget.max_depth)
        if self._method is Method.CHAIN or not budget.branching:
            return sampled_chain(forward, sample, length, propose)
        if self._method is Method.DYSPEC:
            return grow_sampled(lambda path: forward([path])[0], sample, budget)
        if self._method is Method.RSD_C:
            return constant_branching(forward, sample, binary_levels(budget))
        width = max(1, round(budget.max_nodes**0.5))
        return stochastic_beams(forward, generator, width, min(budget.max_depth, budget.max_nodes // width))

    def _proposer(self, request: RequestView, length: int) -> Proposer:
        second = self._second
        assert second is not None

        def propose(path: Path) -> Draft:
            tokens = np.concatenate((request.tokens, np.array(path, np.int32)))
            view = replace(request, tokens=tokens, matcher=None, grammar=None)
            return second.draft(view, DraftBudget(length, length))

        return propose


def binary_levels(budget: DraftBudget) -> list[int]:
    """Branching of a tree within ``budget``: two siblings on as many levels as fit, then one."""
    levels: list[int] = []
    width, left = 1, budget.max_nodes
    while len(levels) < budget.max_depth and left >= width:
        branches = 2 if left >= 2 * width else 1
        width *= branches
        left -= width
        levels.append(branches)
    return levels
