"""The clock of all budgets: it stands still while numba compiles our kernels.

Kernels are compiled once a machine, when they are first needed, and then read from numba's cache. That takes seconds,
and whoever's constraint comes first must not be refused for it.
"""

from __future__ import annotations

import threading
import time
from functools import cache

from numba.core import event


class _Compiling(event.Listener):  # type: ignore[misc]
    """How long numba has compiled so far, in any thread: it compiles in one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._since = 0.0
        self._total = 0.0

    def on_start(self, event: event.Event) -> None:
        """A kernel, or one that it calls, begins to be compiled."""
        with self._lock:
            if self._depth == 0:
                self._since = time.monotonic()
            self._depth += 1

    def on_end(self, event: event.Event) -> None:
        """It is ready, or has failed."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._total += time.monotonic() - self._since

    def seconds(self) -> float:
        """So far, the compilation that goes on included."""
        with self._lock:
            return self._total + (time.monotonic() - self._since if self._depth else 0.0)


_compiling = _Compiling()
event.register("numba:compile", _compiling)


def now() -> float:
    """Seconds since some moment, without those in which kernels were compiled."""
    return time.monotonic() - _compiling.seconds()


def worked() -> float:
    """Seconds of processor time of this thread since some moment, without those in which kernels were compiled.

    For what must not depend on how busy the machine is.
    """
    return time.thread_time() - _compiling.seconds()


#: What :func:`slowness` times, and how long it takes on the machine on which the limits were chosen.
_STEPS, _USUAL_SECONDS = 5_000, 0.11e-3
_TRIES, _SLOWEST = 20, 4.0


@cache
def slowness() -> float:
    """How much longer this machine takes than a usual one for the same work in Python: 1 to 4. Measured once.

    For work whose use does not depend on how long it takes, as masks that are made ahead.
    """
    best = min(_time_steps() for _ in range(_TRIES))
    return min(max(best / _USUAL_SECONDS, 1.0), _SLOWEST)


def _time_steps() -> float:
    start, total = time.thread_time(), 0
    for number in range(_STEPS):
        total += number * number
    return time.thread_time() - start
