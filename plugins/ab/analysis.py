"""From sums by arm to what can be said of an experiment: how arms differ, how sure that is, and when it will be surer.

All comparisons are with the control arm, and may be looked at any time (:mod:`latticework.plugins.ab.sequences`). Each
is judged at the level stated; who reads many of them must expect that share of false alarms among those that are equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from latticework.plugins.ab.counting import MILLIONTH
from latticework.plugins.ab.sequences import (
    NOTHING_YET,
    Interval,
    Moments,
    detectable,
    growth_until,
    mean_difference,
    mean_evidence,
    mean_interval,
    rate_evidence,
    rate_interval,
    rate_ratio,
    share_evidence,
)
from latticework.plugins.ab.tables import EVENTS, MEASURES, ArmTable, Look, Pairs, Table

ACCEPT_RATE = "accept_rate"


@dataclass(frozen=True)
class Design:
    """How an experiment is judged. To be fixed before anything is seen.

    Attributes:
        level: Chance of a false alarm, over all looks together.
        plan: Units of two arms together at which intervals are tightest.
        power: Chance of finding an effect of the size asked for.
        effect: That size: a relative change, 0.05 for 5 %.
        mismatch: Level of the check of the arms' shares, stricter than the others: a mismatch spoils everything.
    """

    level: float = 0.05
    plan: float = 10_000.0
    power: float = 0.8
    effect: float = 0.05
    mismatch: float = 0.001


@dataclass(frozen=True)
class Comparison:
    """One metric of one arm.

    Attributes:
        metric, what: Its name and what it is.
        arm: Which.
        count: Units it is made of.
        own: The arm's value and its interval at this moment: a geometric mean, or a rate.
        ratio: To control, with its confidence sequence; ``None`` for control itself.
        p: Always-valid p-value of "there is no difference".
        detectable: Relative change that would be found by now with the power asked for.
        growth: How many times as much traffic it takes to find the effect asked for.
        verdict: ``better``, ``worse``, ``different`` or ``""``.
    """

    metric: str
    what: str
    arm: str
    count: float
    own: Interval
    ratio: Interval | None = None
    p: float | None = None
    detectable: float | None = None
    growth: float | None = None
    verdict: str = ""


@dataclass(frozen=True)
class Report:
    """What can be said of an experiment now.

    Attributes:
        experiment, control, unit, notes: See :class:`Table`.
        design: How it was judged.
        began, ended: Seconds since the epoch.
        arms: Requests, units and planned share by arm.
        mismatch: Always-valid p-value of "units are divided as planned".
        comparisons: By metric and arm.
        remaining: Seconds of the same traffic until the effect asked for would be found in the time metrics; infinite:
            never; ``None``: there is nothing to go by.
    """

    experiment: str
    control: str
    unit: str
    design: Design
    began: float
    ended: float
    arms: dict[str, tuple[float, float, float]]
    mismatch: float
    comparisons: tuple[Comparison, ...]
    remaining: float | None
    notes: tuple[str, ...] = field(default=())

    @property
    def mismatched(self) -> bool:
        """Whether the arms got other parts of the traffic than planned: then nothing else here can be trusted."""
        return self.mismatch <= self.design.mismatch


def analyse(table: Table, design: Design | None = None) -> Report:
    """What can be said of an experiment at its last look."""
    design = design or Design()
    comparisons = tuple(compare(table.last, table.control, design))
    arms = table.last.arms
    notes = list(table.notes)
    if table.control not in arms:
        notes.append(f"nothing is known of the control arm {table.control!r}: there is nothing to compare with")
    began, ended = table.looks[0].time, table.last.time
    return Report(
        table.experiment,
        table.control,
        table.unit,
        design,
        began,
        ended,
        {name: (arm.requests, arm.units, arm.share) for name, arm in arms.items()},
        share_evidence([arm.units for arm in arms.values()], [arm.share for arm in arms.values()]),
        comparisons,
        _remaining(comparisons, ended - began),
        tuple(notes),
    )


def compare(look: Look, control: str, design: Design) -> list[Comparison]:
    """Every metric of every arm at one look."""
    found: list[Comparison] = []
    base = look.arms.get(control)
    names = sorted(look.arms, key=lambda name: (name != control, name))
    for metric, (what, more_is_better) in MEASURES.items():
        if any(arm.measures[metric].count for arm in look.arms.values()):
            found += [_measure(metric, what, more_is_better, name, look.arms[name], base, design) for name in names]
    for metric, what in EVENTS.items():
        if metric != "incomplete" or any(arm.constrained for arm in look.arms.values()):
            found += [_event(metric, what, name, look.arms[name], base, design) for name in names]
    if any(arm.drafts.drafted for arm in look.arms.values()):
        found += [_accept_rate(name, look.arms[name], base, design) for name in names]
    return found


def _measure(
    metric: str, what: str, more_is_better: bool, name: str, arm: ArmTable, base: ArmTable | None, design: Design
) -> Comparison:
    ours = _moments(arm, metric)
    own = _value(mean_interval(ours, design.level))
    if base is None or base is arm:
        return Comparison(metric, what, name, ours.count, own)
    theirs = _moments(base, metric)
    difference = mean_difference(ours, theirs, design.level, design.plan)
    verdict = ""
    if difference.excludes(0.0):
        verdict = "better" if (difference.estimate > 0) == more_is_better else "worse"
    if metric == "tokens":  # neither is better: answers are longer or shorter
        verdict = verdict and "different"
    least = detectable(ours, theirs, design.level, design.plan, design.power)
    growth = growth_until(ours, theirs, design.level, design.plan, design.power, math.log1p(design.effect))
    p = mean_evidence(ours, theirs, design.level, design.plan)
    change = math.expm1(min(least, 50.0))
    return Comparison(metric, what, name, ours.count, own, difference.exponential(), p, change, growth, verdict)


def _event(metric: str, what: str, name: str, arm: ArmTable, base: ArmTable | None, design: Design) -> Comparison:
    events, count = int(arm.events[metric]), int(arm.units)
    own = rate_interval(events, count, design.level)
    if base is None or base is arm:
        return Comparison(metric, what, name, count, own)
    theirs = int(base.events[metric])
    ratio = rate_ratio(events, theirs, arm.share, base.share, design.level)
    p = rate_evidence(events, theirs, arm.share, base.share)
    verdict = "" if not ratio.excludes(1.0) else "worse" if ratio.low > 1 else "better"
    return Comparison(metric, what, name, count, own, ratio, p, verdict=verdict)


def _accept_rate(name: str, arm: ArmTable, base: ArmTable | None, design: Design) -> Comparison:
    what, ours = "accepted drafts", _ratio_moments(arm.drafts)
    own = mean_interval(ours, design.level)
    if arm.drafts.drafted and ours.count < 2:  # totals alone: a value without an interval
        own = Interval(arm.drafts.accepted / arm.drafts.drafted, 0.0, 1.0)
    if base is None or base is arm or not base.drafts.drafted or not arm.drafts.drafted:
        return Comparison(ACCEPT_RATE, what, name, ours.count, own)
    theirs = _ratio_moments(base.drafts)
    if min(ours.count, theirs.count) < 2 or not theirs.mean:
        value = own.estimate * base.drafts.drafted / base.drafts.accepted if base.drafts.accepted else math.inf
        return Comparison(ACCEPT_RATE, what, name, ours.count, own, Interval(value, 0.0, math.inf), 1.0)
    difference = mean_difference(ours, theirs, design.level, design.plan)
    scaled = (1 + end / theirs.mean for end in (difference.estimate, difference.low, difference.high))
    ratio = Interval(*scaled) if math.isfinite(difference.low) else Interval(ours.mean / theirs.mean, 0.0, math.inf)
    verdict = "" if not difference.excludes(0.0) else "better" if difference.estimate > 0 else "worse"
    p = mean_evidence(ours, theirs, design.level, design.plan)
    return Comparison(ACCEPT_RATE, what, name, ours.count, own, ratio, p, verdict=verdict)


def _moments(arm: ArmTable, metric: str) -> Moments:
    sums = arm.measures[metric]
    return Moments.of_sums(sums.count, sums.total, sums.squares)


def _ratio_moments(pairs: Pairs) -> Moments:
    """Accepted over drafted tokens, as if it were a mean: its variance by the delta method."""
    if pairs.count < 2 or not pairs.drafted:
        return Moments(0.0, math.nan, math.nan)
    rate = pairs.accepted / pairs.drafted
    residuals = pairs.aa - 2 * rate * pairs.da + rate * rate * pairs.dd
    variance = residuals / pairs.count / (pairs.drafted / pairs.count) ** 2
    return Moments(pairs.count, rate, max(variance, 0.0))


def _value(logs: Interval) -> Interval:
    """Back from logarithms of millionths."""
    if logs is NOTHING_YET:
        return Interval(math.nan, 0.0, math.inf)
    found = logs.exponential()
    return Interval(found.estimate * MILLIONTH, found.low * MILLIONTH, found.high * MILLIONTH)


def _remaining(comparisons: tuple[Comparison, ...], elapsed: float) -> float | None:
    """The slowest arm and time metric decide."""
    known = [
        found.growth for found in comparisons if found.growth is not None and found.metric in ("seconds", "first_token")
    ]
    if not known or elapsed <= 0:
        return None
    return max(max(known) - 1.0, 0.0) * elapsed
