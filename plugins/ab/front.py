"""What a front end does with each request beside serving it: its arms, its outcome, the request log.

    admit ──▶ a ticket: what the engine is given, and what the client is told ──▶ served, watched ──▶ counted, logged

``None`` instead of a ticket: there is nothing to do for this request. Runs on the front end's event loop; not
thread-safe. Nothing here raises because of itself: a failure is counted and the request is served as it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from latticework.plugins import tracing
from latticework.plugins.ab.counting import count_outcome, count_route, count_trip, show_experiments, show_tripped
from latticework.plugins.ab.drafts import DraftPoll
from latticework.plugins.ab.facts import MAX_NAME, RequestFacts
from latticework.plugins.ab.guardrails import Breach, Watch
from latticework.plugins.ab.live import LiveSettings
from latticework.plugins.ab.outcome import Outcome, Result
from latticework.plugins.ab.routing import ArmKey, Route, Router
from latticework.plugins.ab.settings import Experiment
from latticework.plugins.ab.tripped import Trip, TrippedArms
from latticework.plugins.base import Role
from latticework.plugins.guard import Area, Guard, report
from latticework.plugins.options import PREFIX
from latticework.plugins.request_log import MAX_TEXT, RequestLog
from latticework.plugins.requests import ARM_LABEL, ARM_OPTION, LOG_ID

logger = logging.getLogger("latticework.ab")

OutputT = TypeVar("OutputT")


@dataclass(frozen=True)
class Seen:
    """What an output of the engine shows of its request.

    Attributes:
        tokens, prompt_tokens: So far.
        finish: The reason, once it has finished.
        result: How, then.
        complete: See :attr:`Outcome.complete`.
        first_token: Seconds to the first token, if the engine measured them.
        answer: The text so far, if it is at hand.
    """

    tokens: int = 0
    prompt_tokens: int = 0
    finish: str | None = None
    result: Result = Result.OK
    complete: bool = True
    first_token: float | None = None
    answer: str = ""


class Reader(Protocol):
    """Reads one request's outputs; an adapter's.

    Attributes:
        tokens: Written so far.
    """

    tokens: int

    def note(self, output: Any) -> bool:
        """Take note of an output, of which there may be one a token; whether the request has finished with it."""
        ...

    def seen(self) -> Seen:
        """What is known by now."""
        ...

    def result_of(self, error: BaseException) -> Result:
        """How a request ended that raised ``error``."""
        ...


class FrontEnd:
    """One front-end process.

    Args:
        live: The settings.
        clock: Seconds, not going back.
    """

    def __init__(self, live: LiveSettings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._live, self._clock = live or LiveSettings(clock=clock), clock
        self._router: Router | None = None
        self._running: dict[str, Experiment] = {}
        self._watches: dict[str, Watch] = {}
        self._tripped = TrippedArms()
        self._active: dict[ArmKey, Trip] = {}
        self._log: RequestLog | None = None
        self._log_path = ""
        self._polled = 0.0
        self._drafts = DraftPoll()

    def admit(self, facts: RequestFacts, check: Callable[[Mapping[str, Any]], None]) -> Ticket | None:
        """A request has arrived.

        Args:
            facts: What is known of it.
            check: Raises ``LatticeworkError`` where options cannot be served; not asked if there are none.

        Raises:
            LatticeworkError: The request's own options are wrong.
        """
        router = self._router
        with Guard(Area.EXPERIMENTS, "front", "the last settings that were obeyed go on"):
            router = self._refreshed()
        if router is None or (router.idle and self._log is None and ARM_OPTION not in facts.extra):
            return None
        route = router.route(facts, self._active)
        if any(key.startswith(PREFIX) for key in route.extra):
            route = route.settled(check)
        count_route(route)
        return Ticket(self, router, facts, route)

    def now(self) -> float:
        """Seconds, by the clock of this front end."""
        return self._clock()

    @property
    def log(self) -> RequestLog | None:
        """Where requests are written down."""
        return self._log

    def ended(self, route: Route, outcome: Outcome) -> None:
        """A request that was admitted is over."""
        now = self._clock()
        for given in route.assignments:
            if not given.counts:
                continue
            count_outcome(given.experiment, given.arm, outcome)
            watch = self._watches.get(given.experiment)
            if watch is not None and given.arm in self._running[given.experiment].arms:
                self._trip(given.key, watch.add(given.arm, outcome, now))

    def _refreshed(self) -> Router | None:
        router = self._live.current()
        if router is None:
            return None
        now = self._clock()
        if router is not self._router:
            self._take(router)
        if now - self._polled >= router.settings.ab.reload_seconds:
            self._polled = now
            self._tripped.refresh()
            self._show_tripped()
            self._poll_drafts(now)
        return router

    def _take(self, router: Router) -> None:
        """Go by a new state of the settings. What has not changed keeps its windows."""
        settings = router.settings
        running = settings.ab.running()
        self._watches = {
            name: self._watches[name] if self._running.get(name) == experiment else Watch(experiment)
            for name, experiment in running.items()
        }
        if self._router is None or settings.ab.tripped != self._router.settings.ab.tripped:
            self._tripped = TrippedArms(settings.ab.tripped)
        if settings.telemetry.request_log != self._log_path:
            if self._log is not None:
                self._log.close()
            self._log_path = settings.telemetry.request_log
            self._log = RequestLog(self._log_path) if self._log_path else None
        show_experiments(self._running, running)
        self._router, self._running = router, running
        self._show_tripped()

    def _show_tripped(self) -> None:
        self._active = self._tripped.active(self._running)
        for name, experiment in self._running.items():
            for arm in experiment.arms:
                show_tripped(name, arm, (name, arm) in self._active)

    def _poll_drafts(self, now: float) -> None:
        """Judge what was drafted since the last time: engines count that in other processes."""
        watched = [name for name, running in self._running.items() if running.guardrails.accept_rate is not None]
        if not watched:
            return
        for (name, arm), (drafted, accepted) in self._drafts.news().items():
            if name in watched and arm in self._running[name].arms:
                self._trip((name, arm), self._watches[name].add_drafts(arm, drafted, accepted, now))

    def _trip(self, key: ArmKey, breach: Breach | None) -> None:
        if breach is None or key in self._active:
            return
        name, arm = key
        experiment = self._running[name]
        time_now = datetime.now(UTC).isoformat(timespec="seconds")
        self._tripped.add(key, Trip(experiment.reset, breach.guardrail, breach.reason, time_now))
        count_trip(name, arm, breach.guardrail)
        logger.error(
            "guardrail %s of experiment %s tripped for arm %s (%s); its traffic goes to %s until "
            "ab.experiments.%s.reset is raised above %d",
            *(breach.guardrail, name, arm, breach.reason, experiment.control, name, experiment.reset),
        )
        self._show_tripped()


class Ticket:
    """One request that was admitted.

    Attributes:
        route: How it is served.
        extra: What the engine is given in place of what the request carried.
    """

    __slots__ = ("_began", "_ended", "_facts", "_first", "_front", "_prompt", "_router", "extra", "route")

    def __init__(self, front: FrontEnd, router: Router, facts: RequestFacts, route: Route) -> None:
        self._front, self._router, self._facts, self.route = front, router, facts, route
        self._began = front.now()
        self._first: float | None = None
        self._ended = False
        self._prompt = ""
        self.extra = self._marked(route.extra)

    def extra_for(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """What the engine is given for a part of the request that has options of its ``own``: of several prompts."""
        own = {key: value for key, value in own.items() if key != ARM_OPTION}
        return self._marked(self._router.offer(own, self.route.assignments if self.route.fits else ()))

    def _marked(self, extra: Mapping[str, Any]) -> dict[str, Any]:
        marks = {ARM_LABEL: self.route.label} if self.route.label else {}
        if self._front.log is not None:
            marks[LOG_ID] = self._facts.request_id[:MAX_NAME]
        return {**extra, **marks}

    @property
    def wants_text(self) -> bool:
        """Whether prompts and answers are to be logged."""
        return self._router.settings.telemetry.log_text and self._front.log is not None

    def prompt_is(self, text: str) -> None:
        """The prompt's text, for a log that wants it."""
        self._prompt = text if self.wants_text else ""

    async def watch(self, outputs: AsyncIterator[OutputT], reader: Reader) -> AsyncGenerator[OutputT, None]:
        """``outputs`` as they are, while what becomes of the request is noted."""
        try:
            async for output in outputs:
                try:
                    self._note(output, reader)
                except Exception as error:
                    report(Area.EXPERIMENTS, "reader", error, "a request is not counted")
                yield output
        except GeneratorExit:
            self._end_by(reader, Result.CANCELLED)
            raise
        except BaseException as error:
            self._end_by(reader, reader.result_of(error), error)
            raise
        self._end_by(reader)

    def refused(self, error: BaseException) -> None:
        """It is refused before anything was computed."""
        self.end(Seen(), Result.REFUSED, error)

    def end(self, seen: Seen, result: Result, error: BaseException | None = None) -> None:
        """It is over. Only the first call counts: an engine's consumer may leave after the last output."""
        if self._ended:
            return
        self._ended = True
        outcome = Outcome(
            result,
            self._front.now() - self._began,
            seen.first_token if seen.first_token is not None else self._first,
            seen.tokens,
            seen.prompt_tokens,
            self._facts.constrained,
            seen.complete,
            seen.finish or "",
        )
        with Guard(Area.EXPERIMENTS, "front", "a request is not counted"):
            self._front.ended(self.route, outcome)
            if self._front.log is not None:
                self._front.log.write(self._record(outcome, seen, error))
            if self._facts.traced:
                self._trace(outcome)

    def _note(self, output: Any, reader: Reader) -> None:
        finished = reader.note(output)
        # An engine that writes the answer in one piece shows its first token with the last one: then nobody saw it.
        if finished:
            self._end_by(reader)
        elif self._first is None and reader.tokens:
            self._first = self._front.now() - self._began

    def _end_by(self, reader: Reader, result: Result | None = None, error: BaseException | None = None) -> None:
        if not self._ended:
            seen = reader.seen()
            self.end(seen, result or seen.result, error)

    def _trace(self, outcome: Outcome) -> None:
        attributes: dict[str, str | bool | int] = {
            "latticework.arm": self.route.label,
            "latticework.result": outcome.result.value,
            "latticework.finish": outcome.finish,
            "latticework.constrained": outcome.constrained,
            "latticework.complete": outcome.complete,
            "latticework.tokens": outcome.tokens,
            "latticework.fits": self.route.fits,
        }
        chosen = {
            f"latticework.{role}": str(self.route.extra[key])
            for role in Role
            if (key := PREFIX + role) in self.route.extra
        }
        tracing.record(self._facts.headers, outcome.seconds, time.time_ns(), {**attributes, **chosen})

    def _record(self, outcome: Outcome, seen: Seen, error: BaseException | None) -> dict[str, Any]:
        facts, route = self._facts, self.route
        record: dict[str, Any] = {
            "kind": "request",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "id": facts.request_id[:MAX_NAME],
            "endpoint": facts.endpoint[:MAX_NAME],
            "model": facts.model[:MAX_NAME],
            "arms": {
                given.experiment: {
                    "arm": given.arm,
                    "share": given.share,
                    "unit": given.unit,
                    "source": given.source,
                    "why": given.why,
                }
                for given in route.assignments
            },
            "held_out": route.held_out,
            "fits": route.fits,
            "plugins": {key: route.extra[key] for role in Role if (key := PREFIX + role) in route.extra},
            "result": outcome.result.value,
            "finish": outcome.finish,
            "constrained": outcome.constrained,
            "complete": outcome.complete,
            "prompt_tokens": outcome.prompt_tokens,
            "tokens": outcome.tokens,
            "seconds": round(outcome.seconds, 6),
            "first_token": None if outcome.first_token is None else round(outcome.first_token, 6),
        }
        if error is not None:
            # Its text may quote the client's: it is in the log of the engine, which has its own rules for that.
            record["error"] = {"type": type(error).__name__, "field": getattr(error, "field", None)}
        if self.wants_text:
            record["text"] = {"prompt": self._prompt[:MAX_TEXT], "answer": seen.answer[:MAX_TEXT]}
        return record
