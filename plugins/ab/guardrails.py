"""A sliding window of what each arm did, and whether that is too bad to go on.

The window is a ring of :data:`SLICES` sums, so that a request costs a few additions and old ones fall out slice by
slice. A rate or mean is compared with its limit as it is: a guardrail is meant to trip early, and an arm that was
taken back by chance costs an experiment, not a client. ``min_requests`` says how early.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from latticework.plugins.ab.outcome import Outcome, Result
from latticework.plugins.ab.settings import Experiment, Guardrails

SLICES = 20


@dataclass
class Sums:
    """Of some requests. ``answers``: those whose speed is known; ``constrained``: those that were and succeeded."""

    requests: int = 0
    errors: int = 0
    refused: int = 0
    constrained: int = 0
    incomplete: int = 0
    first_tokens: int = 0
    first_token_seconds: float = 0.0
    answers: int = 0
    tokens_per_second: float = 0.0
    drafted: int = 0
    accepted: int = 0

    def add(self, outcome: Outcome) -> None:
        """One more request. Those whose client left say nothing."""
        if outcome.result is Result.CANCELLED:
            return
        self.requests += 1
        self.errors += outcome.result is Result.ERROR
        self.refused += outcome.result is Result.REFUSED
        if outcome.result is not Result.OK:
            return
        if outcome.constrained:
            self.constrained += 1
            self.incomplete += not outcome.complete
        if outcome.first_token is not None:
            self.first_tokens += 1
            self.first_token_seconds += outcome.first_token
        if (speed := outcome.tokens_per_second) is not None:
            self.answers += 1
            self.tokens_per_second += speed

    def merge(self, other: Sums) -> None:
        """Add what ``other`` has."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Window:
    """The last seconds of one arm.

    Args:
        seconds: How far back it reaches, to within one slice.
    """

    def __init__(self, seconds: float) -> None:
        self._slice = seconds / SLICES
        self._ring: list[tuple[int, Sums]] = [(-1, Sums())] * SLICES

    def at(self, now: float) -> Sums:
        """Where what happens at ``now`` is added. Seconds, of any clock that does not go back."""
        number = int(now / self._slice)
        if self._ring[number % SLICES][0] != number:
            self._ring[number % SLICES] = (number, Sums())
        return self._ring[number % SLICES][1]

    def total(self, now: float) -> Sums:
        """All that the window holds at ``now``."""
        oldest, total = int(now / self._slice) - SLICES, Sums()
        for number, sums in self._ring:
            if number > oldest:
                total.merge(sums)
        return total


@dataclass(frozen=True)
class Breach:
    """A guardrail that is broken: its name in the settings, and the reason in words."""

    guardrail: str
    reason: str


class Watch:
    """All arms of one experiment."""

    def __init__(self, experiment: Experiment) -> None:
        self._rails, self._control = experiment.guardrails, experiment.control
        self._windows = {arm: Window(self._rails.window_seconds) for arm in experiment.arms}

    def add(self, arm: str, outcome: Outcome, now: float) -> Breach | None:
        """One more request of an arm; what it broke."""
        self._windows[arm].at(now).add(outcome)
        return self.judge(arm, now)

    def add_drafts(self, arm: str, drafted: int, accepted: int, now: float) -> Breach | None:
        """What was drafted for an arm since it was last said, and accepted; what that broke."""
        sums = self._windows[arm].at(now)
        sums.drafted += drafted
        sums.accepted += accepted
        return self.judge(arm, now)

    def judge(self, arm: str, now: float) -> Breach | None:
        """What is broken in an arm. Control breaks nothing: there is nowhere else to go."""
        if arm == self._control:
            return None
        ours, control = self._windows[arm].total(now), self._windows[self._control].total(now)
        return next(_breaches(self._rails, ours, control), None)


def _breaches(rails: Guardrails, ours: Sums, control: Sums) -> Iterator[Breach]:
    least = rails.min_requests

    def above(name: str, limit: float | None, total: float, count: int, unit: str = "") -> Iterator[Breach]:
        if limit is not None and count >= least and total / count > limit:
            yield Breach(name, f"{total / count:.4g}{unit} over {count} requests, at most {limit:g}{unit}")

    def below(name: str, limit: float | None, total: float, count: int, what: str = "requests") -> Iterator[Breach]:
        if limit is not None and count >= least and total / count < limit:
            yield Breach(name, f"{total / count:.4g} over {count} {what}, at least {limit:g}")

    yield from above("error_rate", rails.error_rate, ours.errors, ours.requests)
    yield from above("refused_rate", rails.refused_rate, ours.refused, ours.requests)
    yield from above("invalid_rate", rails.invalid_rate, ours.incomplete, ours.constrained)
    yield from above("ttft_seconds", rails.ttft_seconds, ours.first_token_seconds, ours.first_tokens, " s")
    yield from below("tokens_per_second", rails.tokens_per_second, ours.tokens_per_second, ours.answers)
    yield from below("accept_rate", rails.accept_rate, ours.accepted, ours.drafted, "drafted tokens")
    if control.first_tokens >= least and control.first_token_seconds > 0:
        scale = control.first_token_seconds / control.first_tokens
        yield from above("ttft_ratio", rails.ttft_ratio, ours.first_token_seconds / scale, ours.first_tokens)
    if control.answers >= least and control.tokens_per_second > 0:
        scale = control.tokens_per_second / control.answers
        yield from below("speed_ratio", rails.speed_ratio, ours.tokens_per_second / scale, ours.answers)
