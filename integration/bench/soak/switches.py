"""The settings file of the deployment, rewritten again and again: which states there are, and who may get which arm.

A state is in force from a request's arrival on that comes at least ``ab.reload_seconds`` after the file was replaced.
So a request's arm is one of those under the states that were the newest at some time from that long before it was sent
until it was answered.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latticework.plugins.ab.facts import RequestFacts
from latticework.plugins.ab.routing import ArmKey, Router
from latticework.plugins.ab.tripped import Trip, TrippedArms
from latticework.plugins.registry import registry
from latticework.plugins.settings import Settings

RELOAD_SECONDS = 0.5
#: How much later than that a server may read it where requests keep all processors busy.
LATE_SECONDS = 4.0
HEADER = "x-latticework-arm"

#: Drafters against none, a processor against none, and a foreign grammar engine against the default.
_EXPERIMENTS: dict[str, Any] = {
    "drafting": {
        "arms": {
            "control": {"options": {"lw_drafter": "off"}},
            "fusion": {"options": {"lw_drafter": "fusion"}},
            "guided": {"options": {"lw_drafter": "guided"}},
            "lookup": {"options": {"lw_drafter": "prompt_lookup", "lw_drafter_budget": 4}},
        }
    },
    "processing": {"share": 0.3, "arms": {"control": {}, "fsd": {"options": {"lw_processor": "fsd"}}}},
    "engines": {"share": 0.5, "arms": {"control": {}, "foreign": {"options": {"lw_engine": "llguidance"}}}},
}
#: A guardrail that trips every arm but control after three requests.
_IMPOSSIBLE = {"tokens_per_second": 1e6, "min_requests": 3}
_MAY_TRIP = {
    "tripping": frozenset(("drafting", arm) for arm in ("fusion", "guided", "lookup")),
    "tripped elsewhere": frozenset({("drafting", "fusion")}),
}
#: What the file becomes, in this order, again and again; ``even`` comes between.
STATES = (
    *("other weights", "tripping", "tripped elsewhere", "broken", "an arm killed", "fewer users", "assigned anew"),
    *("drafting off", "processors switched off", "all off"),
)


@dataclass(frozen=True)
class Written:
    """A good state of the file: since when it has been there, and what it says.

    Attributes:
        at: Monotonic seconds just before it was written.
        router: Who gets which arm.
        may_trip: Arms of it that may be taken back.
    """

    at: float
    router: Router
    may_trip: frozenset[ArmKey]


class Deployment:
    """A settings file and its history. Safe to use from any thread.

    Args:
        folder: Where the file, the request log and the list of tripped arms are.
        seed: Of the deployment's key.
        clock: Seconds, not going back.
    """

    def __init__(self, folder: Path, seed: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.log = folder / "settings.json", folder / "requests.jsonl"
        self._tripped, self._key, self._clock = folder / "tripped.json", f"soak {seed}", clock
        self._history: list[Written] = []
        self._lock = threading.Lock()
        self._number = 0
        self.states: dict[str, int] = {}
        self.write("even")

    def write(self, state: str) -> None:
        """Replace the file at once by ``even`` or one of :data:`STATES`."""
        self.states[state] = self.states.get(state, 0) + 1
        if state == "broken":
            self._replace('{"ab": {"experiments": ')
            return
        self._number += 1
        document = self._document(state)
        router = Router(Settings(**document), registry())
        with self._lock:
            self._history.append(Written(self._clock(), router, _MAY_TRIP.get(state, frozenset())))
        self._replace(json.dumps(document, indent=2))
        if state == "tripped elsewhere":
            trip = Trip(self._number, "error_rate", "another replica says so", "2000-01-01T00:00:00+00:00")
            TrippedArms(str(self._tripped)).add(("drafting", "fusion"), trip)

    def arms(self, user: str, sent: float, answered: float) -> set[str]:
        """What the header of an answer may say.

        Args:
            user: Who asked.
            sent, answered: When, by the clock.
        """
        facts = RequestFacts("", user=user)
        headers = set()
        for written in self._in_force(sent, answered):
            headers.add(written.router.route(facts).header)
            headers.add(written.router.route(facts, written.may_trip).header)
        return headers

    def switched_off(self, sent: float, answered: float) -> set[str]:
        """The roles that may have been off for all requests."""
        return {role for written in self._in_force(sent, answered) for role in written.router.settings.switch.off}

    def _in_force(self, sent: float, answered: float) -> Sequence[Written]:
        with self._lock:
            history = list(self._history)
        ends = [written.at for written in history[1:]] + [float("inf")]
        since = sent - RELOAD_SECONDS - LATE_SECONDS
        return [w for w, end in zip(history, ends, strict=True) if w.at <= answered and end >= since]

    def _replace(self, text: str) -> None:
        new = self.path.with_name("new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, self.path)

    def _document(self, state: str) -> dict[str, Any]:
        experiments: dict[str, Any] = json.loads(json.dumps(_EXPERIMENTS))
        for experiment in experiments.values():
            experiment |= {"identity": ["user"], "reset": self._number}
        drafting, switch = experiments["drafting"], {}
        match state:
            case "other weights":
                drafting["arms"]["fusion"]["weight"] = 5
            case "tripping":
                drafting["guardrails"] = _IMPOSSIBLE
            case "an arm killed":
                drafting["arms"]["guided"]["weight"] = 0
            case "fewer users":
                drafting["share"] = 0.2
            case "assigned anew":
                drafting["salt"] = f"drafting {self._number}"
            case "drafting off":
                drafting["enabled"] = False
            case "processors switched off":
                switch = {"off": ["processor"]}
        ab = {"key": self._key, "reload_seconds": RELOAD_SECONDS, "tripped": str(self._tripped)}
        ab |= {"experiments": experiments, "enabled": state != "all off"}
        return {"ab": ab, "switch": switch, "telemetry": {"request_log": str(self.log)}}


def states(seed: int) -> Iterator[str]:
    """What to write next, without end."""
    chance = random.Random(seed)
    while True:
        for state in chance.sample(STATES, len(STATES)):
            yield state
            yield "even"
