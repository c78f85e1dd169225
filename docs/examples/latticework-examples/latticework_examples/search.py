"""The search ``shortest``: several answers are written, the shortest complete one is given."""

from __future__ import annotations

from pydantic import Field

from latticework.plugins.base import PluginOptions
from latticework.structured.search.protocol import (
    Candidate,
    Expand,
    ExpandParams,
    SearchOutcome,
    SearchPolicy,
    SearchSteps,
    SearchTask,
)


class ShortestOptions(PluginOptions):
    """``lw_search_*`` of ``shortest``. The operator bounds an option called ``n`` by ``search.max_n``."""

    n: int = Field(default=3, ge=1, le=16, description="how many answers are written")
    temperature: float = Field(default=0.8, ge=0.0, le=2.0, description="sampling temperature of the answers")


class Shortest:
    """Stateless: each call of ``steps`` is one search."""

    def __init__(self, options: ShortestOptions) -> None:
        self._options = options

    def steps(self, task: SearchTask) -> SearchSteps:
        """Ask for what is wanted by ``yield``; never call, await or time anything. ``()`` is the request's prompt."""
        params = ExpandParams(temperature=self._options.temperature)
        result = yield Expand(prefixes=((),), n=self._options.n, params=params)
        if isinstance(result, str) or not isinstance(result[0], tuple):
            raise ValueError("an expansion brings one tuple of candidates for each prefix")
        candidates: tuple[Candidate, ...] = result[0]
        best = min(candidates, key=lambda candidate: (not candidate.complete, len(candidate.token_ids)))
        return SearchOutcome(best, tuple(-float(len(candidate.token_ids)) for candidate in candidates))


class ShortestPlugin:
    """What the entry point names."""

    name = "shortest"
    summary = "the shortest of n answers"
    options = ShortestOptions

    def create(self, options: ShortestOptions) -> SearchPolicy:
        """See ``latticework.plugins.base.Factory``."""
        return Shortest(options)
