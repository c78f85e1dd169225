"""A time limit for a call into native code that cannot be interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from latticework.structured.errors import BudgetExceededError

T = TypeVar("T")

#: Calls that may run at once, those that are late and left to themselves among them: nothing else bounds what hostile
#: constraints keep a server's processors busy with.
AT_ONCE = 4

_places = threading.BoundedSemaphore(AT_ONCE)


def run_with_deadline(call: Callable[[], T], seconds: float, field: str, what: str) -> T:
    """The result of ``call``, or ``BudgetExceededError`` for ``field`` after ``seconds``.

    The call runs in a daemon thread, which is left to finish by itself when it is late: it must not change anything
    that others see. While :data:`AT_ONCE` of them run, it waits as long for a place.
    """
    if not _places.acquire(timeout=seconds):
        raise BudgetExceededError(field, f"{what} is busy with earlier ones that take too long; try again later")
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        finally:
            _places.release()

    threading.Thread(target=run, name="latticework-compile", daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except TimeoutError:
        if future.done():  # the call's own TimeoutError
            raise
        raise BudgetExceededError(field, f"{what} took more than {seconds:g} seconds") from None
