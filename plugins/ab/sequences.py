"""Confidence sequences: intervals that may be looked at after every request, for ever, and still hold at their level.

An ordinary 95 % interval looked at a hundred times excludes the truth at some look far more often than in one of twenty
experiments. The intervals here are wider, by a factor of about 1.5 to 2, and hold at all times at once.

* :func:`mean_difference`: asymptotic confidence sequence with Robbins' normal mixture (Waudby-Smith, Arbour, Sinha,
  Kennedy and Ramdas, *Time-uniform central limit theory and asymptotic confidence sequences*, 2021, theorem 2.2).
* :func:`rate_ratio`: exact. Given that something rare has happened (an error), the chance that it was in the arm
  is ``π = w·p / (w·p + w'·p')`` with the planned shares ``w`` and rates ``p``: events are tosses of a coin, whatever
  the rates are, also when both drift together. A mixture over a beta distribution is a martingale under the true
  ``π``, so by Ville's inequality (1939) it exceeds ``1/α`` with probability at most ``α`` (Robbins, 1970).
* :func:`share_evidence`: exact. The same for how the requests are divided, against the planned shares (Lindon and
  Malek, *Anytime-valid inference for multinomial count data*, 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import betaln, gammaln
from scipy.stats import binomtest, norm

#: Below so many values in an arm, what holds for many says nothing.
LEAST = 30
#: Prior of :func:`rate_ratio`, in pseudo-events: flat enough for any ratio, narrow enough to find doublings soon.
_EVENTS = 20.0


@dataclass(frozen=True)
class Interval:
    """``low <= estimate <= high``. Infinite ends: nothing can be said yet."""

    estimate: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether ``value`` is ruled out."""
        return not self.low <= value <= self.high

    def exponential(self) -> Interval:
        """The same of what these are logarithms of."""
        return Interval(*(math.exp(min(value, 700.0)) for value in (self.estimate, self.low, self.high)))


NOTHING_YET = Interval(math.nan, -math.inf, math.inf)


@dataclass(frozen=True)
class Moments:
    """Count, mean and variance of one arm's values."""

    count: float
    mean: float
    variance: float

    @classmethod
    def of_sums(cls, count: float, total: float, squares: float) -> Moments:
        """From sums, as counters give them."""
        if count <= 0:
            return cls(0.0, math.nan, math.nan)
        mean = total / count
        variance = max(squares / count - mean * mean, 0.0) * (count / (count - 1) if count > 1 else math.nan)
        return cls(count, mean, variance)


def mixture_scale(plan: float, level: float) -> float:
    """``ρ²`` of the normal mixture that is tightest after ``plan`` values. To be fixed before anything is seen."""
    return (-2 * math.log(level) + math.log(-2 * math.log(level)) + 1) / plan


def widening(count: float, plan: float, level: float) -> float:
    """How many standard errors wide the sequence is to each side after ``count`` values; the normal's would be 1.96."""
    scaled = count * mixture_scale(plan, level)
    return math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / level))


def mean_difference(arm: Moments, control: Moments, level: float, plan: float) -> Interval:
    """Confidence sequence of the mean of ``arm`` less that of ``control``.

    Args:
        arm, control: What was seen.
        level: Chance that it is ever wrong.
        plan: Values of both arms together at which it is tightest.
    """
    if min(arm.count, control.count) < LEAST:
        return NOTHING_YET
    difference = arm.mean - control.mean
    error = math.sqrt(arm.variance / arm.count + control.variance / control.count)
    width = error * widening(arm.count + control.count, plan, level)
    return Interval(difference, difference - width, difference + width)


def mean_evidence(arm: Moments, control: Moments, level: float, plan: float) -> float:
    """Always-valid p-value of "the means are equal": at most ``level`` exactly where the sequence excludes 0."""
    if min(arm.count, control.count) < LEAST:
        return 1.0
    error = math.sqrt(arm.variance / arm.count + control.variance / control.count)
    if error == 0:
        return 1.0 if arm.mean == control.mean else 0.0
    scaled = (arm.count + control.count) * mixture_scale(plan, level)
    z = (arm.mean - control.mean) / error
    evidence = z * z * scaled / (2 * (scaled + 1)) - math.log(scaled + 1) / 2
    return min(1.0, math.exp(-evidence)) if evidence < 700 else 0.0


def rate_ratio(events: int, control_events: int, share: float, control_share: float, level: float) -> Interval:
    """Confidence sequence of the rate of an event in an arm, as a multiple of that in control.

    Args:
        events, control_events: How often it happened.
        share, control_share: Planned parts of the traffic.
        level: Chance that it is ever wrong.
    """
    total = events + control_events
    if total == 0 or min(share, control_share) <= 0:
        return Interval(math.nan, 0.0, math.inf)
    odds = share / control_share
    expected = share / (share + control_share)
    bound = -math.log(level)

    def excess(chance: float) -> float:
        return _coin_evidence(events, control_events, chance, expected) - bound

    least, most = 1e-12, 1 - 1e-12
    peak = min(max(events / total, least), most)  # the evidence against it is never above the bound
    low = brentq(excess, least, peak) if events and excess(least) > 0 else 0.0
    high = brentq(excess, peak, most) if control_events and excess(most) > 0 else 1.0
    estimate = events / control_events / odds if control_events else math.inf
    return Interval(estimate, _ratio(low, odds), _ratio(high, odds))


def rate_evidence(events: int, control_events: int, share: float, control_share: float) -> float:
    """Always-valid p-value of "the rates are equal"."""
    if events + control_events == 0 or min(share, control_share) <= 0:
        return 1.0
    expected = share / (share + control_share)
    return math.exp(-max(_coin_evidence(events, control_events, expected, expected), 0.0))


def _coin_evidence(events: int, control_events: int, chance: float, expected: float) -> float:
    """Logarithm of the mixture's likelihood over that of ``chance``; the prior leans to equal rates."""
    a, b = _EVENTS * expected, _EVENTS * (1 - expected)
    mixture = betaln(a + events, b + control_events) - betaln(a, b)
    return float(mixture - events * math.log(chance) - control_events * math.log1p(-chance))


def _ratio(chance: float, odds: float) -> float:
    return chance / (1 - chance) / odds if chance < 1 else math.inf


def share_evidence(counts: Sequence[float], shares: Sequence[float]) -> float:
    """Always-valid p-value of "requests are divided as planned". Small: a sample-ratio mismatch.

    Args:
        counts: Requests, or identities, by arm.
        shares: The plan, adding up to 1; arms without a share are left out.
    """
    pairs = [(count, share) for count, share in zip(counts, shares, strict=True) if share > 0]
    total = sum(count for count, _ in pairs)
    whole = sum(share for _, share in pairs)
    # The prior is as sure of the plan as a thousand requests: mismatches of practical size are small ones.
    prior = [1000.0 * share / whole for _, share in pairs]
    evidence = gammaln(sum(prior)) - gammaln(sum(prior) + total)
    for (count, share), weight in zip(pairs, prior, strict=True):
        evidence += gammaln(weight + count) - gammaln(weight) - count * math.log(share / whole)
    return math.exp(-max(float(evidence), 0.0))


def rate_interval(events: int, count: int, level: float) -> Interval:
    """One arm's own rate, at this moment alone: Wilson's interval."""
    if count == 0:
        return Interval(math.nan, 0.0, 1.0)
    found = binomtest(events, count).proportion_ci(1 - level, method="wilson")
    return Interval(events / count, float(found.low), float(found.high))


def mean_interval(arm: Moments, level: float) -> Interval:
    """One arm's own mean, at this moment alone: the normal interval."""
    if arm.count < 2:
        return NOTHING_YET
    width = float(norm.ppf(1 - level / 2)) * math.sqrt(arm.variance / arm.count)
    return Interval(arm.mean, arm.mean - width, arm.mean + width)


def detectable(arm: Moments, control: Moments, level: float, plan: float, power: float, growth: float = 1.0) -> float:
    """The difference of means that would be found with probability ``power`` at this size of the samples.

    Args:
        arm, control: What was seen.
        level, plan: As for :func:`mean_difference`.
        power: Say 0.8.
        growth: How many times as large the samples are thought to be.
    """
    if min(arm.count, control.count) < 2:
        return math.inf
    error = math.sqrt((arm.variance / arm.count + control.variance / control.count) / growth)
    return error * (widening((arm.count + control.count) * growth, plan, level) + float(norm.ppf(power)))


def growth_until(arm: Moments, control: Moments, level: float, plan: float, power: float, effect: float) -> float:
    """How many times as large the samples must be to find a difference of ``effect``; at most 1: they are enough."""
    if min(arm.count, control.count) < 2 or effect <= 0:
        return math.inf

    def excess(growth: float) -> float:
        return detectable(arm, control, level, plan, power, growth) - effect

    if excess(1e9) > 0:
        return math.inf
    if excess(1e-6) <= 0:
        return 0.0
    return math.exp(brentq(lambda log: excess(math.exp(log)), math.log(1e-6), math.log(1e9)))
