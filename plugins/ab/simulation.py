"""A planned experiment, many times over: how often it would raise a false alarm, and how often and soon it would find.

Two arms, requests that come one by one and are assigned by chance, a time metric whose logarithm is normal, and an
event of a small rate. The same intervals as in reports are looked at after every so many requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from latticework.plugins.ab.analysis import Design
from latticework.plugins.ab.sequences import Moments, mean_difference, rate_evidence, share_evidence

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What is planned.

    Attributes:
        requests: Of both arms together.
        share: The arm's part of them.
        spread: Standard deviation of the metric's logarithm: 0.5 is a factor of 1.65.
        effect: Relative change of the metric in the arm: 0.05 for 5 % more.
        rate: Of the event in control.
        rate_ratio: That in the arm, as a multiple.
        every: Requests between two looks.
        runs: How many experiments to simulate of each kind.
        seed: Of the random numbers.
        design: How it is judged.
    """

    requests: int = 10_000
    share: float = 0.5
    spread: float = 0.5
    effect: float = 0.05
    rate: float = 0.01
    rate_ratio: float = 2.0
    every: int = 100
    runs: int = 500
    seed: int = 0
    design: Design = field(default_factory=Design)


@dataclass(frozen=True)
class Finding:
    """Of one metric, or check.

    Attributes:
        what: Its name.
        alarms: Share of the runs without a difference in which one was found at some look.
        power: Share of the runs with the difference planned in which it was found; ``None``: not planned.
        half: Requests after which half of these had found it; ``None``: fewer did.
    """

    what: str
    alarms: float
    power: float | None
    half: float | None


def simulate(plan: Plan) -> list[Finding]:
    """False alarms and power of a planned experiment."""
    rng = np.random.default_rng(plan.seed)
    null = [_run(plan, rng, 0.0, 1.0) for _ in range(plan.runs)]
    effect = [_run(plan, rng, math.log1p(plan.effect), plan.rate_ratio) for _ in range(plan.runs)]
    found = [
        _finding(what, [run[number] for run in null], [run[number] for run in effect])
        for number, what in enumerate(("time metric", "event rate"))
    ]
    mismatch = [run[2] for run in null]
    alarms = sum(math.isfinite(first) for first in mismatch) / plan.runs
    return [*found, Finding("sample-ratio mismatch", alarms, None, None)]


def _finding(what: str, null: list[float], effect: list[float]) -> Finding:
    alarms = sum(map(math.isfinite, null)) / len(null)
    power = sum(map(math.isfinite, effect)) / len(effect)
    half = float(np.median(effect))
    return Finding(what, alarms, power, half if math.isfinite(half) else None)


def _run(plan: Plan, rng: np.random.Generator, shift: float, ratio: float) -> tuple[float, float, float]:
    """One experiment: after how many requests the metric, the event and wrong shares were found; infinite: never."""
    arm = rng.random(plan.requests) < plan.share
    logs = rng.normal(5.0, plan.spread, plan.requests) + shift * arm
    event = rng.random(plan.requests) < np.where(arm, min(plan.rate * ratio, 1.0), plan.rate)
    looks = np.arange(plan.every, plan.requests + 1, plan.every) - 1
    ours, theirs = _sums(logs, arm, looks), _sums(logs, ~arm, looks)
    hits, misses = np.cumsum(arm & event)[looks], np.cumsum(~arm & event)[looks]
    level, size, design = plan.design.level, plan.share, plan.design
    first = [math.inf] * 3
    for number, look in enumerate(looks.tolist()):
        one, two = Moments.of_sums(*ours[number]), Moments.of_sums(*theirs[number])
        found = (
            mean_difference(one, two, level, design.plan).excludes(0.0),
            rate_evidence(int(hits[number]), int(misses[number]), size, 1 - size) <= level,
            share_evidence([one.count, two.count], [size, 1 - size]) <= design.mismatch,
        )
        first = [min(before, look + 1.0) if now else before for before, now in zip(first, found, strict=True)]
    return first[0], first[1], first[2]


def _sums(values: Floats, chosen: npt.NDArray[np.bool_], looks: npt.NDArray[np.intp]) -> list[tuple[float, ...]]:
    """Count, sum and sum of squares of the chosen values at each look."""
    kept = np.where(chosen, values, 0.0)
    columns = (np.cumsum(chosen), np.cumsum(kept), np.cumsum(kept * kept))
    return [tuple(map(float, row)) for row in np.stack([column[looks] for column in columns], axis=1)]
