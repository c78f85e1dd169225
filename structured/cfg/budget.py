"""The time that compiling one grammar may take."""

from __future__ import annotations

from latticework.structured import clock
from latticework.structured.cfg.positions import FIELD
from latticework.structured.errors import BudgetExceededError


class Deadline:
    """Starts when it is made; :meth:`check` is called between steps of the work."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = clock.now() + seconds

    def check(self) -> None:
        """Raise ``BudgetExceededError`` when the time is up."""
        if clock.now() > self._end:
            raise BudgetExceededError(FIELD, f"compiling took more than {self._seconds:g} seconds")
