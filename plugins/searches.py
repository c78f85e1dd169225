"""The searches that come with the package."""

from __future__ import annotations

from pydantic import Field

from latticework.plugins.base import PluginOptions
from latticework.structured.search.best_of_n import BestOfN
from latticework.structured.search.protocol import SearchPolicy


class BestOfNOptions(PluginOptions):
    """``lw_search_*`` of ``best_of_n``."""

    n: int = Field(default=4, ge=1, le=16, description="how many answers are written")
    temperature: float = Field(default=0.8, ge=0.0, le=2.0, description="sampling temperature of the answers")
    seed: int | None = Field(
        default=None, ge=0, lt=2**31, description="seed of the first answer; the others count on from it"
    )


class BestOfNPlugin:
    """See :mod:`latticework.structured.search.best_of_n`."""

    name = "best_of_n"
    summary = "the likeliest of n answers, judged where the grammar left a choice"
    options = BestOfNOptions

    def create(self, options: BestOfNOptions) -> SearchPolicy:
        """See :meth:`Factory.create`."""
        return BestOfN(options.n, options.temperature, options.seed)
