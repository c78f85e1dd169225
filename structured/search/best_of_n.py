"""Best of N: write N answers independently, keep the one the model itself finds likeliest where it had a choice."""

from __future__ import annotations

from dataclasses import dataclass

from latticework.structured.search.protocol import Expand, ExpandParams, SearchOutcome, SearchSteps, SearchTask
from latticework.structured.search.score import best_index, free_mean_logprob


@dataclass(frozen=True)
class BestOfN:
    """Complete answers before cut ones, then the mean log-probability of the free tokens, then the lower index.

    Attributes:
        n: How many answers.
        temperature: Of their sampling; at 0 they would all be the same.
        seed: Sample ``i`` uses ``seed + i``; ``None`` leaves them unseeded.
    """

    n: int
    temperature: float = 0.8
    seed: int | None = None

    def steps(self, task: SearchTask) -> SearchSteps:
        """See :meth:`SearchPolicy.steps`. One expansion of the empty prefix, which is the request's own prompt.

        Raises:
            ValueError: The driver brought back no candidate, or something that is not an expansion's result.
        """
        params = ExpandParams(temperature=self.temperature, seed=self.seed)
        result = yield Expand(prefixes=((),), n=self.n, params=params)
        if isinstance(result, str) or not result or not isinstance(result[0], tuple):
            raise ValueError(f"an expansion of one prefix brings one tuple of candidates, not {result!r:.100}")
        candidates = result[0]
        scores = tuple(free_mean_logprob(candidate, task.grammar) for candidate in candidates)
        return SearchOutcome(candidates[best_index(candidates, scores)], scores)
