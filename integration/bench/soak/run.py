"""The soak itself: clients, a hand on the settings file, and an eye on memory, until the time is over."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from integration.bench.soak import memory
from integration.bench.soak.client import Client, Outcome
from integration.bench.soak.gauges import Load
from integration.bench.soak.switches import Deployment, states
from integration.bench.soak.traffic import Traffic
from integration.server import Server


@dataclass(frozen=True)
class Sample:
    """One look: minutes since the traffic began, MiB of each process, and what was held."""

    minutes: float
    processes: dict[str, float]
    load: Load | None

    @property
    def mebibytes(self) -> float:
        """Of all processes."""
        return sum(self.processes.values())


@dataclass
class Seen:
    """What was seen.

    Attributes:
        outcomes: Of all requests.
        samples: Of memory.
        minutes: How long the traffic flowed.
        interrupted: Whether it was broken off.
        given_up: Whether requests under way were not waited for.
        gone: Whether the engine ended by itself.
        failures: Errors of the soak's own parts.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    minutes: float = 0.0
    interrupted: bool = False
    given_up: bool = False
    gone: bool = False
    failures: list[str] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        """Requests by result."""
        return Counter(outcome.result for outcome in self.outcomes)


@dataclass(frozen=True)
class Plan:
    """How the soak goes.

    Attributes:
        minutes: How long traffic flows.
        clients: Requests at a time.
        every: Seconds between two looks at memory.
        switch_every: Seconds between two states of the settings file.
        seed: Of the traffic and of the states.
    """

    minutes: float
    clients: int
    every: float
    switch_every: float
    seed: int


class Soak:
    """One soak of a running server.

    Args:
        server: Started with the deployment's settings.
        deployment: Its settings.
        traffic: What is sent.
        plan: How.
    """

    def __init__(self, server: Server, deployment: Deployment, traffic: Traffic, plan: Plan) -> None:
        self._server, self._deployment, self._traffic, self._plan = server, deployment, traffic, plan
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._began = time.monotonic()
        self.seen = Seen()

    def run(self, show: Callable[[float, Seen], None]) -> Seen:
        """Let traffic flow until the time is over, the engine is gone, or Ctrl-C; then let requests under way end.

        Args:
            show: Told about twice a second how many minutes have passed, and what was seen.
        """
        self._began = time.monotonic()
        with self._threads():
            try:
                while (passed := self._minutes()) < self._plan.minutes and not self._stop.wait(0.5):
                    show(passed, self.seen)
            except (KeyboardInterrupt, SystemExit):
                self.seen.interrupted = True
            self.seen.minutes = self._minutes()
        return self.seen

    def _minutes(self) -> float:
        return (time.monotonic() - self._began) / 60

    @contextmanager
    def _threads(self) -> Iterator[None]:
        work = [self._ask] * self._plan.clients + [self._look, self._switch]
        threads = [threading.Thread(target=self._guarded, args=(each,), daemon=True) for each in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            try:
                for thread in threads:
                    thread.join()
            except (KeyboardInterrupt, SystemExit):  # a second one: nobody wants to wait for requests under way
                self.seen.interrupted = self.seen.given_up = True

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # a soak that stops looking must not pass
            self.seen.failures.append(f"{work.__name__}: {type(error).__name__}: {error}")
            self._stop.set()

    def _ask(self) -> None:
        client = Client(self._server, self._deployment)
        with client.http:
            while not self._stop.is_set():
                outcome = client.send(self._traffic.request(next(self._numbers)))
                if self.seen.given_up:
                    return
                self.seen.outcomes.append(outcome)
                if outcome.result == "failed":
                    self._stop.wait(1)  # a server that is gone refuses thousands a second

    def _look(self) -> None:
        while True:
            processes = memory.resident(self._server.pid)
            if not any(size for name, size in processes.items() if name.endswith(f" {self._server.pid}")):
                self.seen.gone = True
                self._stop.set()
                return
            self.seen.samples.append(Sample(self._minutes(), processes, self._load()))
            if self._stop.wait(self._plan.every):
                return

    def _load(self) -> Load | None:
        try:
            return Load.of(self._server.samples(), self._server.engine.metrics)
        except (OSError, http.client.HTTPException, ValueError):  # it is busy, or going away
            return None

    def _switch(self) -> None:
        for state in states(self._plan.seed):
            if self._stop.wait(self._plan.switch_every):
                return
            self._deployment.write(state)
