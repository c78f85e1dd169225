"""What a step costs: learned online from the times of steps, without a clock of its own.

A step's time is modelled as ``base + row * rows + request * batch + drafting`` where ``rows`` are all positions that
its forward pass computes (a pending token a request, and the drafted nodes) and ``drafting`` is paid once by a step
that verifies any draft at all (another sampler, no captured graph). None of the parts is negative.

Machines are slower at times, for seconds or minutes, and sizes are not measured at the same time. So what is modelled
are times relative to the machine's *pace*, which follows all steps by a tenth of each. Times of a busy machine have a
heavy tail, and a worker's first steps load code: so steps of about the same size are represented by the median of their
latest relative times, and the parts are a ridge regression over these, the latest foremost.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Latest times kept of steps of a size.
_KEPT = 15
#: Steps from one fit to the next, once there were many.
_REFIT_EVERY = 8
_MANY = 64
#: What is assumed before steps of different sizes were seen: the share of a step that its rows account for.
_GUESS = 0.1
#: How much of a step that is off the pace the pace follows, and how far off a step counts at most.
_FOLLOWED = 0.1
_FARTHEST = 2.0


@dataclass(slots=True)
class _Size:
    """Steps of about the same size: their latest relative times, their mean size, and when the last of them was."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    batch: float = 0.0
    nodes: float = 0.0
    last: int = 0

    def add(self, batch: int, nodes: int, seconds: float, now: int) -> None:
        self.times.append(seconds)
        self.batch += (batch - self.batch) / len(self.times)
        self.nodes += (nodes - self.nodes) / len(self.times)
        self.last = now

    def median(self) -> float:
        return sorted(self.times)[len(self.times) // 2]


class StepCost:
    """The model and what it has learned.

    Args:
        decay: What a size counts for when no step of it has come for one more step.
    """

    def __init__(self, decay: float = 0.995) -> None:
        self._decay = decay
        self._sizes: dict[tuple[int, int], _Size] = {}
        self._steps = 0
        self._pace = 1.0
        self._fitted = (1.0 - _GUESS, _GUESS, 0.0, 0.0)

    def observe(self, batch: int, nodes: int, seconds: float) -> None:
        """A step of ``batch`` requests that verified ``nodes`` drafted tokens took ``seconds``.

        What is no positive time is not counted.
        """
        if batch < 1 or nodes < 0 or not 0.0 < seconds < np.inf:
            return
        expected = self.cost(batch, nodes)
        off = seconds / expected if not self._steps else min(max(seconds / expected, 1 / _FARTHEST), _FARTHEST)
        self._pace *= off**_FOLLOWED if self._steps else off
        self._steps += 1
        size = self._sizes.setdefault(((batch - 1).bit_length(), (2 * nodes).bit_length()), _Size())
        size.add(batch, nodes, seconds / self._pace, self._steps)
        if self._steps < _MANY or self._steps % _REFIT_EVERY == 0:
            self._fitted = self._fit()

    def cost(self, batch: int, nodes: int) -> float:
        """Time of a step of ``batch`` requests and ``nodes`` drafted tokens. Never falls with them.

        Only the ratios mean anything while nothing was measured.
        """
        base, row, drafting = self.parts(batch)
        return base + row * nodes + (drafting if nodes else 0.0)

    def parts(self, batch: int) -> tuple[float, float, float]:
        """Times: of a step of ``batch`` requests without drafts, of one node more, of verifying any at all."""
        base, row, request, drafting = self._fitted
        plain = max(base + (row + request) * batch, 1e-9)
        return plain * self._pace, row * self._pace, drafting * self._pace

    def _fit(self) -> tuple[float, float, float, float]:
        """Relative times: of any step, of a row, of a request, of drafting at all."""
        sizes = list(self._sizes.values())
        seen = np.array([(1.0, s.batch + s.nodes, s.batch, s.nodes > 0, s.median()) for s in sizes])
        # A single time says little, and much of all where nothing else is known.
        weights = np.array([(len(s.times) - 0.9) * self._decay ** (self._steps - s.last) for s in sizes])
        return _regression(seen.T @ (seen * weights[:, None]))


def _regression(moments: Floats) -> tuple[float, float, float, float]:
    """The parts, from the weighted sums of products of (1, rows, batch, whether drafted, relative time)."""
    weight = moments[0, 0]
    means = moments[0, 1:] / weight
    spread = moments[1:, 1:] - weight * np.outer(means, means)
    mean_features, mean_time = means[:3], means[3]
    prior = np.array((_GUESS * mean_time / mean_features[0], 0.0, 0.0))
    # One imagined measurement, a unit off the mean, holds each part to what is assumed of it.
    matrix, right = spread[:3, :3] + np.eye(3), spread[:3, 3] + prior
    kept = [0, 1, 2]
    parts = np.zeros(3)
    while kept:
        solved = np.linalg.solve(matrix[np.ix_(kept, kept)], right[kept])
        if (solved >= 0.0).all():
            parts[kept] = solved
            break
        kept.remove(kept[int(np.argmin(solved))])
    explained = float(parts @ mean_features)
    if explained > mean_time:  # a step without any rows takes no negative time
        parts *= mean_time / explained
        explained = float(mean_time)
    row, request, drafting = parts.tolist()
    return float(mean_time) - explained, row, request, drafting
