"""What a request is served with: its own options, those of its arms, and what the operator has switched off.

The request's own word counts: where it names an option of a role, the arm's options of that role are left out whole,
because half of the one and half of the other may not fit together. It stays in the arm all the same: whoever compares
arms compares those who were offered them.

An arm must not hurt a client. If a request is fine and its arm's options do not fit it (a greedy-only processor on a
sampled request, a flag the server was not started with), it is served without them, and counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from latticework.plugins import metrics
from latticework.plugins.ab.assigning import arm_of, is_enrolled, is_held_out, unit_of
from latticework.plugins.ab.facts import RequestFacts
from latticework.plugins.ab.settings import Experiment
from latticework.plugins.base import OFF, Role
from latticework.plugins.options import PREFIX, RequestOptions
from latticework.plugins.registry import Registry
from latticework.plugins.requests import ARM_OPTION
from latticework.plugins.settings import Settings
from latticework.structured.errors import LatticeworkError, one_line

logger = logging.getLogger("latticework.ab")

HELD_OUT = "holdout"

#: ``(experiment, arm)``.
ArmKey = tuple[str, str]


@dataclass(frozen=True)
class Assignment:
    """One experiment's decision about one request.

    Attributes:
        experiment, arm: Which arm serves it.
        share: Its part of the traffic that takes part.
        unit: The identity that was assigned, as the request log writes it.
        source: What it was: ``user``, ``session``, ``request``, ``header:NAME``.
        why: ``assigned``; ``forced`` by the request; ``diverted`` to control, because its own arm has tripped. Only
            the first is counted when arms are compared.
    """

    experiment: str
    arm: str
    share: float
    unit: str
    source: str
    why: str = "assigned"

    @property
    def key(self) -> ArmKey:
        """The arm's name in metrics and guardrails."""
        return (self.experiment, self.arm)

    @property
    def counts(self) -> bool:
        """Whether the request says something of its arm."""
        return self.why == "assigned"


@dataclass(frozen=True)
class Route:
    """How one request is served.

    Attributes:
        extra: What it asks for with its arms' options: what the engine is given.
        own: What it asks for without them.
        assignments: By experiment, in the order of their names.
        held_out: Whether it takes part in nothing on purpose.
        fits: Whether its arms' options are in :attr:`extra`, if there are any.
    """

    extra: Mapping[str, Any]
    own: Mapping[str, Any]
    assignments: tuple[Assignment, ...] = ()
    held_out: bool = False
    fits: bool = True

    @property
    def label(self) -> str:
        """The arms as one label of metrics: ``drafting/fusion+search/off``; empty without any."""
        if self.held_out:
            return HELD_OUT
        return "+".join(f"{given.experiment}/{given.arm}" for given in self.assignments)

    @property
    def header(self) -> str:
        """The arms as the client is told them: ``drafting=fusion, search=off``."""
        if self.held_out:
            return HELD_OUT
        return ", ".join(f"{given.experiment}={given.arm}" for given in self.assignments)

    def settled(self, check: Callable[[Mapping[str, Any]], None]) -> Route:
        """The route itself if what it asks for can be served, else without the arms' options.

        Args:
            check: Raises ``LatticeworkError`` where options cannot be served.

        Raises:
            LatticeworkError: The request's own options cannot be served.
        """
        try:
            check(self.extra)
        except LatticeworkError as error:
            if self.extra == self.own:
                raise
            check(self.own)
            for given in self.assignments:
                metrics.AB_UNFIT.labels(experiment=given.experiment, arm=given.arm).inc()
            logger.debug("the options of %s do not fit a request (%s)", self.label, one_line(error))
            return replace(self, extra=self.own, fits=False)
        return self


class Router:
    """The experiments of one state of the settings.

    Args:
        settings: The deployment's.
        plugins: The installed ones.

    Raises:
        LatticeworkError: An arm's options are wrong, or two experiments want the same role; ``field`` names it.
    """

    def __init__(self, settings: Settings, plugins: Registry) -> None:
        self.settings = settings
        self._running = settings.ab.running()
        self._off = tuple(settings.switch.off)
        _check_arms(settings, plugins)
        _check_roles(self._running)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do for any request."""
        return not self._running and not self._off and self.settings.access.is_open

    def route(self, facts: RequestFacts, tripped: Collection[ArmKey] = ()) -> Route:
        """How a request is served.

        Args:
            facts: The request.
            tripped: Arms whose traffic goes to control.

        Raises:
            LatticeworkError: It names an option that it may not name, or an arm that there is not.
        """
        for extra in (facts.extra, *facts.others):
            self.settings.access.check(extra, facts.headers)
        own = {key: value for key, value in facts.extra.items() if key != ARM_OPTION}
        own = self._switched(own)
        asked = facts.extra.get(ARM_OPTION)
        if asked is not None:
            assignments = self._forced(asked)
        elif self._held_out(facts):
            return Route(own, own, held_out=True)
        else:
            assignments = self._assigned(facts, tripped)
        return Route(self.offer(own, assignments), own, assignments)

    def offer(self, own: Mapping[str, Any], assignments: Iterable[Assignment]) -> dict[str, Any]:
        """What a request with its ``own`` options asks for in its arms. Without any: what is switched off is off."""
        extra = own
        for given in assignments:
            extra = merged(extra, self._running[given.experiment].arms[given.arm].options, own)
        return self._switched(extra)

    def _switched(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        """``extra`` without what the operator has switched off."""
        kept = {key: value for key, value in extra.items() if role_of(key) not in self._off}
        return {**kept, **{PREFIX + role: OFF for role in self._off}}

    def _held_out(self, facts: RequestFacts) -> bool:
        settings = self.settings.ab
        if not self._running or settings.holdout <= 0:
            return False
        found = facts.identity(settings.identity)
        return found is not None and is_held_out(settings, found[1])

    def _assigned(self, facts: RequestFacts, tripped: Collection[ArmKey]) -> tuple[Assignment, ...]:
        return tuple(
            given
            for name, experiment in self._running.items()
            if (given := self._assign(name, experiment, facts, tripped)) is not None
        )

    def _assign(
        self, name: str, experiment: Experiment, facts: RequestFacts, tripped: Collection[ArmKey]
    ) -> Assignment | None:
        settings = self.settings.ab
        if not facts.fits(experiment.eligible) or (found := facts.identity(experiment.identity)) is None:
            return None
        source, identity = found
        if not is_enrolled(settings, name, experiment, identity):
            return None
        arm, shares, unit = (
            arm_of(settings, name, experiment, identity),
            experiment.shares,
            unit_of(settings, identity),
        )
        if (name, arm) in tripped:
            return Assignment(name, experiment.control, shares[experiment.control], unit, source, why="diverted")
        return Assignment(name, arm, shares[arm], unit, source)

    def _forced(self, asked: object) -> tuple[Assignment, ...]:
        """The arms a request chooses: ``experiment/arm``, several with commas between them."""
        if not self.settings.ab.forced_arm:
            raise LatticeworkError(ARM_OPTION, "this deployment does not let requests choose their arm")
        if not isinstance(asked, str) or len(asked) > 1024:
            raise LatticeworkError(ARM_OPTION, "must be a short text like experiment/arm")
        given: dict[str, Assignment] = {}
        for part in asked.split(","):
            name, _, arm = part.strip().partition("/")
            experiment = self._running.get(name)
            if experiment is None or arm not in experiment.arms:
                known = [f"{name}/{arm}" for name, running in self._running.items() for arm in running.arms]
                reason = f"there is no arm {part.strip()[:80]!r}; arms: {', '.join(known[:20]) or 'none'}"
                raise LatticeworkError(ARM_OPTION, reason)
            given[name] = Assignment(name, arm, experiment.shares[arm], "", "", why="forced")
        return tuple(given[name] for name in sorted(given))


def merged(extra: Mapping[str, Any], options: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``extra`` with an arm's options, of those roles that the request's ``own`` options say nothing of."""
    named = {role_of(key) for key in own}
    return {**extra, **{key: value for key, value in options.items() if role_of(key) not in named}}


def role_of(key: str) -> str:
    """What an option belongs to: its role, or itself if it has none."""
    if not key.startswith(PREFIX):
        return key
    stem = key.removeprefix(PREFIX)
    return next((role.value for role in Role if stem == role or stem.startswith(f"{role}_")), key)


def _check_arms(settings: Settings, plugins: Registry) -> None:
    for name, experiment in settings.ab.experiments.items():
        for arm, chosen in experiment.arms.items():
            where = f"ab.experiments.{name}.arms.{arm}.options"
            for key in chosen.options:
                if not key.startswith(PREFIX) or key == ARM_OPTION:
                    raise LatticeworkError(f"{where}.{key}", "is no option of a request; they begin with lw_")
            try:
                RequestOptions.parse(chosen.options, settings, plugins)
            except LatticeworkError as error:
                raise LatticeworkError(f"{where}.{error.field}", error.reason) from error


def _check_roles(running: Mapping[str, Experiment]) -> None:
    """Two experiments with the same role would not be independent: one would undo the other."""
    owners: dict[str, str] = {}
    for name, experiment in running.items():
        for role in {role_of(key) for arm in experiment.arms.values() for key in arm.options}:
            other = owners.setdefault(role, name)
            if other != name:
                reason = f"sets options of the same role ({role}) as the experiment {other!r}; enable one at a time"
                raise LatticeworkError(f"ab.experiments.{name}", reason)
