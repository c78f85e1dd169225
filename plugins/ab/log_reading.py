"""An experiment's table out of request logs (:mod:`latticework.plugins.request_log`)."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from latticework.plugins.ab.counting import on_log_scale
from latticework.plugins.ab.tables import EVENTS, MEASURES, ArmTable, Look, Pairs, Table
from latticework.structured.errors import LatticeworkError

logger = logging.getLogger("latticework.ab")

#: How many looks a report shows of a log.
LOOKS = 60


@dataclass(frozen=True)
class LoggedRequest:
    """One request of an experiment. ``values``: its measures, as logarithms; ``events``: what happened to it."""

    time: float
    arm: str
    share: float
    unit: str
    source: str
    values: dict[str, float]
    events: tuple[str, ...]
    constrained: bool
    drafted: int
    accepted: int


def read_logs(paths: Iterable[Path], experiment: str, control: str = "control", since: float = 0.0) -> Table:
    """The table of one experiment.

    Args:
        paths: Logs of all replicas.
        experiment: Its name.
        control: The arm that others are compared with.
        since: Leave out what was before, seconds since the epoch.

    Raises:
        LatticeworkError: A file cannot be read, or holds nothing of this experiment.
    """
    requests = sorted(_requests(list(_records(paths)), experiment), key=lambda request: request.time)
    requests = [request for request in requests if request.time >= since]
    if not requests:
        raise LatticeworkError(experiment, "there is no request of this experiment in the logs")
    sources = {request.source for request in requests}
    by_unit = sources != {"request"}
    table = Table(experiment, control, unit="+".join(sorted(sources)) if by_unit else "request")
    arms = _Growing(by_unit)
    every = max(len(requests) // LOOKS, 1)
    for number, request in enumerate(requests, 1):
        arms.add(request)
        if number % every == 0 or number == len(requests):
            table.looks.append(Look(request.time, copy.deepcopy(arms.tables)))
    if len({(request.arm, request.share) for request in requests}) > len(arms.tables):
        table.notes.append("the planned shares have changed: compare from then on (--since)")
    return table


def experiments_in(paths: Iterable[Path]) -> list[str]:
    """The experiments that logs tell of."""
    return sorted({name for record in _records(paths) for name in record.get("arms", {})})


def _records(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    try:
                        record = json.loads(line)
                    except ValueError:
                        logger.warning("%s:%d is not a line of a request log", path, number)
                        continue
                    if isinstance(record, dict):
                        yield record
        except OSError as error:
            raise LatticeworkError(str(path), f"cannot be read: {error.strerror}") from error


def _requests(records: list[dict[str, Any]], experiment: str) -> Iterator[LoggedRequest]:
    drafts: dict[str, list[int]] = {}
    for record in records:
        if record.get("kind") == "drafts":
            sums = drafts.setdefault(str(record["id"]), [0, 0])
            sums[0] += record["drafted"]
            sums[1] += record["accepted"]
    for record in records:
        given = record.get("arms", {}).get(experiment) if record.get("kind") == "request" else None
        if given is None or given["why"] != "assigned" or record["result"] == "cancelled":
            continue
        drafted, accepted = drafts.get(record["id"], (0, 0))
        yield LoggedRequest(
            datetime.fromisoformat(record["time"]).timestamp(),
            given["arm"],
            float(given["share"]),
            given["unit"],
            given["source"],
            _values(record),
            tuple(_events(record)),
            record["result"] == "ok" and record["constrained"],
            drafted,
            accepted,
        )


def _values(record: dict[str, Any]) -> dict[str, float]:
    if record["result"] != "ok":
        return {}
    tokens, seconds = record["tokens"], record["seconds"]
    found = {
        "seconds": seconds,
        "first_token": record["first_token"],
        "tokens": tokens or None,
        "tokens_per_second": tokens / seconds if tokens and seconds else None,
    }
    return {name: on_log_scale(value) for name, value in found.items() if value is not None}


def _events(record: dict[str, Any]) -> Iterator[str]:
    if record["result"] == "error":
        yield "errors"
    elif record["result"] == "refused":
        yield "refused"
    elif record["constrained"] and not record["complete"]:
        yield "incomplete"


@dataclass
class _Unit:
    """What is known of one identity."""

    values: dict[str, tuple[int, float]] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)
    drafted: int = 0
    accepted: int = 0


class _Growing:
    """Sums over units while their requests come in, each update in the time of one request."""

    def __init__(self, by_unit: bool) -> None:
        self.tables: dict[str, ArmTable] = {}
        self._by_unit = by_unit
        self._units: dict[tuple[str, str], _Unit] = {}

    def add(self, request: LoggedRequest) -> None:
        """One more request."""
        arm = self.tables.setdefault(request.arm, ArmTable())
        arm.share = request.share
        arm.requests += 1
        arm.constrained += request.constrained
        key = (request.arm, request.unit)
        unit = self._units.get(key) if self._by_unit else None
        if unit is None:
            unit = _Unit()
            arm.units += 1
            if self._by_unit:
                self._units[key] = unit
        for name in MEASURES:
            if name in request.values:
                _add_value(arm, unit, name, request.values[name])
        for name in EVENTS:
            if name in request.events and name not in unit.events:
                unit.events.add(name)
                arm.events[name] += 1
        if request.drafted:
            _add_drafts(arm.drafts, unit, request.drafted, request.accepted)


def _add_value(arm: ArmTable, unit: _Unit, name: str, value: float) -> None:
    """A unit's value is the mean of its requests': take the old one out, put the new one in."""
    sums = arm.measures[name]
    count, total = unit.values.get(name, (0, 0.0))
    if count:
        old = total / count
        sums.total -= old
        sums.squares -= old * old
    else:
        sums.count += 1
    unit.values[name] = (count + 1, total + value)
    new = (total + value) / (count + 1)
    sums.total += new
    sums.squares += new * new


def _add_drafts(pairs: Pairs, unit: _Unit, drafted: int, accepted: int) -> None:
    if unit.drafted:
        _put(pairs, unit, -1)
    unit.drafted += drafted
    unit.accepted += accepted
    _put(pairs, unit, +1)


def _put(pairs: Pairs, unit: _Unit, sign: int) -> None:
    pairs.count += sign
    pairs.drafted += sign * unit.drafted
    pairs.accepted += sign * unit.accepted
    pairs.dd += sign * unit.drafted**2
    pairs.aa += sign * unit.accepted**2
    pairs.da += sign * unit.drafted * unit.accepted
