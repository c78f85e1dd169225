"""The experiments' metrics: what arms are compared by, as counters that any Prometheus can add up.

Beside histograms, which are for people, each measure has its count, sum and sum of squares, of which means and
confidence intervals are made (:mod:`latticework.plugins.ab.report`). Times and rates vary by factors, so they are
measured on a logarithmic scale: the natural logarithm of the value in millionths, which is positive for any that
happens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from latticework.plugins import metrics
from latticework.plugins.ab.outcome import Outcome, Result
from latticework.plugins.ab.routing import Route
from latticework.plugins.ab.settings import Experiment

#: The unit of logarithmic measures.
MILLIONTH = 1e-6


def count_route(route: Route) -> None:
    """A request is served like this."""
    for given in route.assignments:
        metrics.AB_ASSIGNMENTS.labels(experiment=given.experiment, arm=given.arm, why=given.why).inc()


def count_outcome(experiment: str, arm: str, outcome: Outcome) -> None:
    """A request of an arm has ended like this."""
    labels = {"experiment": experiment, "arm": arm}
    metrics.AB_REQUESTS.labels(**labels, result=outcome.result.value).inc()
    if outcome.result is not Result.OK:
        return
    if outcome.constrained:
        metrics.AB_ANSWERS.labels(**labels, complete="yes" if outcome.complete else "no").inc()
    metrics.AB_SECONDS.labels(**labels).observe(outcome.seconds)
    measure("seconds", outcome.seconds, labels)
    if outcome.first_token is not None:
        metrics.AB_FIRST_TOKEN_SECONDS.labels(**labels).observe(outcome.first_token)
        measure("first_token", outcome.first_token, labels)
    if (speed := outcome.tokens_per_second) is not None:
        metrics.AB_TOKENS_PER_SECOND.labels(**labels).observe(speed)
        measure("tokens_per_second", speed, labels)
    if outcome.tokens:
        measure("tokens", outcome.tokens, labels)


def on_log_scale(value: float) -> float:
    """What is summed of a measured value: never negative, which counters could not be."""
    return math.log(max(value, MILLIONTH) / MILLIONTH)


def measure(name: str, value: float, labels: Mapping[str, str]) -> None:
    """Add one value to the moments of a measure."""
    scaled = on_log_scale(value)
    metrics.AB_MEASURE_COUNT.labels(**labels, measure=name).inc()
    metrics.AB_MEASURE_SUM.labels(**labels, measure=name).inc(scaled)
    metrics.AB_MEASURE_SQUARES.labels(**labels, measure=name).inc(scaled * scaled)


def count_trip(experiment: str, arm: str, guardrail: str) -> None:
    """A guardrail has taken an arm back."""
    metrics.AB_TRIPS.labels(experiment=experiment, arm=arm, guardrail=guardrail).inc()


def show_tripped(experiment: str, arm: str, tripped: bool) -> None:
    """Whether an arm is taken back now."""
    metrics.AB_TRIPPED.labels(experiment=experiment, arm=arm).set(int(tripped))


def show_experiments(old: Mapping[str, Experiment], new: Mapping[str, Experiment]) -> None:
    """The planned shares of the arms; those of experiments that have ended are 0."""
    for name, experiment in old.items():
        for arm in experiment.arms:
            metrics.AB_SHARE.labels(experiment=name, arm=arm).set(0)
            show_tripped(name, arm, False)
    for name, experiment in new.items():
        for arm, share in experiment.shares.items():
            metrics.AB_SHARE.labels(experiment=name, arm=arm).set(share)
