"""A plugin must never be able to hurt the engine: its exceptions end here, as a counter and one log line.

The line is rate-limited per plugin, because a plugin that fails fails for every request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType

from latticework.plugins import metrics
from latticework.plugins.base import Role
from latticework.structured.errors import one_line

logger = logging.getLogger("latticework.plugins")

#: Seconds between two log lines about the same plugin.
LOG_INTERVAL = 60.0


class Area(StrEnum):
    """What may fail beside the roles of plugins."""

    EXPERIMENTS = "experiments"
    TRACES = "traces"


_last_logged: dict[tuple[str, str], float] = {}
_suppressed: dict[tuple[str, str], int] = {}


def isolatable(error: BaseException) -> bool:
    """Whether an exception is the plugin's own failure. Panics of Rust extensions are, though no ``Exception``."""
    return not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def report(role: Role | Area, plugin: str, error: BaseException, consequence: str) -> None:
    """Count one failure, and log it unless the same plugin was logged within :data:`LOG_INTERVAL`.

    Args:
        role, plugin: Who failed.
        error: How.
        consequence: What happens instead, for the reader of the log ("no drafts for request r1").
    """
    metrics.ERRORS.labels(role=role.value, plugin=plugin).inc()
    key, now = (role, plugin), time.monotonic()
    if now - _last_logged.get(key, -LOG_INTERVAL) < LOG_INTERVAL:
        _suppressed[key] = _suppressed.get(key, 0) + 1
        return
    _last_logged[key] = now
    more = f" ({count} more since the last line)" if (count := _suppressed.pop(key, 0)) else ""
    logger.error(
        "%s %r failed with %s: %s; %s%s",
        role.value,
        plugin,
        type(error).__name__,
        one_line(" ".join(str(error).split())[:500]),
        one_line(consequence),
        more,
        exc_info=error if logger.isEnabledFor(logging.DEBUG) else None,
    )


class Guard:
    """``with Guard(role, plugin, consequence) as attempt: ...`` swallows and reports what the plugin raises.

    Args:
        role, plugin: Who might fail.
        consequence: What happens instead.
        on_failure: Called after a failure, to switch the plugin off.

    Attributes:
        failed: Whether the block raised.
    """

    __slots__ = ("_consequence", "_on_failure", "_plugin", "_role", "failed")

    def __init__(
        self, role: Role | Area, plugin: str, consequence: str, on_failure: Callable[[], None] | None = None
    ) -> None:
        self._role = role
        self._plugin = plugin
        self._consequence = consequence
        self._on_failure = on_failure
        self.failed = False

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None or not isolatable(error):
            return False
        self.failed = True
        report(self._role, self._plugin, error, self._consequence)
        if self._on_failure is not None:
            self._on_failure()
        return True
