"""The settings that are obeyed without a restart: ``[ab]``, ``[access]``, ``[switch]`` and ``[telemetry]``.

The file is looked at when a request arrives, at most every ``ab.reload_seconds``; without requests nobody needs to
know. A new state is read and checked whole before it takes the place of the old one, by one assignment: a request sees
the old settings or the new ones, never a mixture. A file that is wrong changes nothing: the last good state goes on,
one log line says what is wrong, and a gauge is 1 until it is repaired. So does one that is being written: the beginning
of a settings file may well be one too, so a file that changes in place is read when it was not written for as long as
lies between two looks, or when a second one finds it unchanged.
Other sections need a restart; that they have changed is logged.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from latticework.plugins import metrics
from latticework.plugins.ab.routing import Router
from latticework.plugins.registry import Registry, registry
from latticework.plugins.settings import CONFIG_VARIABLE, Settings, read_settings
from latticework.structured.errors import LatticeworkError

logger = logging.getLogger("latticework.ab")

LIVE_SECTIONS = ("ab", "access", "switch", "telemetry")

#: What changes when a file does: when it was written, its size, and which file the name means.
Mark = tuple[int, int, int]


class LiveSettings:
    """The newest good state of the settings.

    Args:
        plugins: Default: the installed ones.
        clock: Seconds, not going back.
        read: Reads the settings.
    """

    def __init__(
        self,
        plugins: Registry | None = None,
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[], Settings] = read_settings,
    ) -> None:
        self._plugins, self._clock, self._read = plugins or registry(), clock, read
        path = os.environ.get(CONFIG_VARIABLE)
        self._path = Path(path) if path else None
        self._started: Settings | None = None
        self._router: Router | None = None
        self._mark = self._seen = self._look()
        self._load()
        self._next = clock() + self._interval

    def current(self) -> Router | None:
        """The router of the newest good settings; ``None`` if there never were any."""
        if self._path is not None and self._clock() >= self._next:
            self._next = self._clock() + self._interval
            mark = self._look()
            if mark != self._mark and self._is_whole(mark):
                self._mark = mark
                self._load()
        return self._router

    @property
    def _interval(self) -> float:
        return self._router.settings.ab.reload_seconds if self._router is not None else 1.0

    def _is_whole(self, mark: Mark | None) -> bool:
        """Whether a file that has changed is read now: not while somebody may still be writing into it."""
        seen, self._seen = self._seen, mark
        if mark is None or self._mark is None or mark[-1] != self._mark[-1]:
            return True  # it has taken the other's place
        return mark == seen or time.time() - mark[0] / 1e9 >= self._interval

    def _look(self) -> Mark | None:
        """The file's mark, of the newest one where the name is a link to it; ``None``: no file."""
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return found and (found.st_mtime_ns, found.st_size, found.st_ino)

    def _load(self) -> None:
        try:
            router = Router(self._read(), self._plugins)
        except LatticeworkError as error:
            kept = "the last good ones go on" if self._router is not None else "there are no experiments"
            logger.error("the settings are wrong (%s: %s); %s", error.field, error.reason, kept)
            metrics.SETTINGS_LOADS.labels(outcome="broken").inc()
            metrics.SETTINGS_BROKEN.set(1)
            return
        if self._started is None:
            self._started = router.settings
        else:
            logger.info("the settings have changed and are obeyed from the next request on")
            self._say_what_needs_a_restart(router.settings, self._started)
        self._router = router
        metrics.SETTINGS_LOADS.labels(outcome="ok").inc()
        metrics.SETTINGS_BROKEN.set(0)

    def _say_what_needs_a_restart(self, new: Settings, started: Settings) -> None:
        changed = [
            name
            for name in Settings.model_fields
            if name not in LIVE_SECTIONS and getattr(new, name) != getattr(started, name)
        ]
        if changed:
            logger.warning("changes of these sections need a restart: %s", ", ".join(changed))
