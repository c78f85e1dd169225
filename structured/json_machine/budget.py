"""How much the machine may think: a bound on work for each step of a text, so that no schema can stall its server."""

from __future__ import annotations

import time

from latticework.structured.errors import BudgetExceededError

_LOOK_EVERY = 256


class WorkBudget:
    """Counts questions, and looks at the clock now and then.

    Args:
        field: What errors call the schema.
        seconds: Wall time until :meth:`renew`.
        questions: Questions until then.
    """

    def __init__(self, field: str, seconds: float, questions: int = 100_000) -> None:
        self.field = field
        self._seconds = seconds
        self._questions = questions
        self._asked = 0
        self._work = 0
        self._deadline: float | None = None

    def limit(self, seconds: float) -> None:
        """From now on, ``seconds`` until each :meth:`renew`."""
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """A new step begins. Costs next to nothing: the clock is read when some work has been done."""
        self._asked = 0
        self._work = 0
        self._deadline = None

    def ask(self) -> None:
        """Count a question.

        Raises:
            BudgetExceededError: Too many, or they took too long.
        """
        self._asked += 1
        if self._asked > self._questions:
            self._exceeded()
        self.work()

    def work(self) -> None:
        """Count a bit of work, of which only the time is limited. Raises like :meth:`ask`."""
        self._work += 1
        if self._work % _LOOK_EVERY:
            return
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._seconds
        elif now > self._deadline:
            self._exceeded()

    def _exceeded(self) -> None:
        raise BudgetExceededError(self.field, "too many cases of its combinators; simplify the schema")


class HeldBudget(WorkBudget):
    """Of work that is part of a step: no new step begins."""

    def __init__(self, budget: WorkBudget) -> None:
        super().__init__(budget.field, 0.0, 0)

    def renew(self) -> None:
        """See :class:`WorkBudget`."""
