"""Which arms have been taken back, and why: kept until the experiment's ``reset`` number is raised.

In a file, if the settings name one, so that a restart does not forget, and other processes and replicas that see the
file follow within the interval at which it is looked at::

    {"drafting/fusion": {"reset": 0, "guardrail": "error_rate", "reason": "0.08 over 50 requests, ...", "time": "..."}}
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from latticework.plugins.ab.routing import ArmKey
from latticework.plugins.ab.settings import Experiment

logger = logging.getLogger("latticework.ab")


@dataclass(frozen=True)
class Trip:
    """One arm taken back. ``reset``: the experiment's number at that time; ``time``: ISO 8601, UTC."""

    reset: int
    guardrail: str
    reason: str
    time: str


class TrippedArms:
    """The arms that are taken back.

    Args:
        path: The file; empty: nothing is kept beyond this process.
    """

    def __init__(self, path: str = "") -> None:
        self._path = Path(path) if path else None
        self._trips: dict[ArmKey, Trip] = {}
        self._seen: object = None
        self.refresh()

    def refresh(self) -> None:
        """Look whether the file has changed. A file that cannot be read changes nothing, and is logged once."""
        if self._path is None or (mark := _mark(self._path)) == self._seen:
            return
        self._seen = mark
        if mark is not None:
            self._trips = {**self._trips, **self._read()}

    def active(self, running: Mapping[str, Experiment]) -> dict[ArmKey, Trip]:
        """The arms of ``running`` experiments that are taken back now."""
        return {
            (name, arm): trip
            for (name, arm), trip in self._trips.items()
            if name in running and arm in running[name].arms and trip.reset == running[name].reset
        }

    def add(self, key: ArmKey, trip: Trip) -> None:
        """Take an arm back. If the file cannot be written, this process still does."""
        self._trips = {**self._trips, key: trip}
        if self._path is None:
            return
        try:
            self._write(self._path, key, trip)
        except OSError as error:
            logger.error(
                "cannot write %s (%s): other processes do not know that %s/%s has tripped", self._path, error, *key
            )

    def _read(self) -> dict[ArmKey, Trip]:
        assert self._path is not None
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
            return {_key(name): Trip(**fields) for name, fields in values.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            logger.error("cannot read tripped arms from %s: %s", self._path, error)
            return {}

    def _write(self, path: Path, key: ArmKey, trip: Trip) -> None:
        """One writer at a time, and readers see the old file or the new one."""
        with path.with_name(path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._read() if path.exists() else {}
            known[key] = trip
            text = json.dumps({"/".join(name): asdict(one) for name, one in known.items()}, indent=2)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
                file.write(text + "\n")
            os.replace(file.name, path)


def _key(name: str) -> ArmKey:
    experiment, _, arm = name.partition("/")
    return experiment, arm


def _mark(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
