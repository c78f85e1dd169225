"""How much the requests of one worker draft: the budget policy with a clock, and with what requests ask for.

A step, as the worker tells it:

    allowance(request) for each    how many nodes its drafter may be asked for; 0: it is not asked
    choose(drafts)                 what of them is verified
    verifying(batch, nodes)        what the engine then computes
    settled(request, kept)         what was accepted

A step's time is taken from one :meth:`begin_step` to the next, so it holds drafting, scheduling and verifying. That of
a step with prompts in it says nothing about verification and is not counted (:meth:`interrupted`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from latticework.plugins import metrics
from latticework.speculative.budget_policy import BudgetPolicy
from latticework.speculative.draft import Draft

#: A longer step was no step: the process was stopped, or the machine slept.
_LONGEST_STEP = 60.0


class DraftBudgets:
    """See the module.

    Args:
        padded: Every request of a step is given as many rows as the largest draft needs.
        margin: By what share of tokens a second drafting must beat not drafting to be done.
        adaptive: ``False`` where several processes must draft alike, which times would not let them: everything that
            is drafted is verified then.
        clock: Seconds.
    """

    def __init__(
        self, *, padded: bool, margin: float, adaptive: bool = True, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._adaptive = adaptive
        self._policy = BudgetPolicy(padded=padded, margin=margin)
        self._clock = clock
        self._fixed: dict[str, int] = {}
        self._began: float | None = None
        self._verified: tuple[int, int] | None = None

    def begin(self, request_id: str, drafter: str, fixed: int | None) -> None:
        """A request has arrived; ``fixed`` is how many nodes it wants in every step, ``None``: as many as pay."""
        self._policy.begin(request_id, drafter)
        if fixed is not None:
            self._fixed[request_id] = fixed

    def end(self, request_id: str) -> None:
        """The request is over. Unknown ids are fine."""
        self._policy.end(request_id)
        self._fixed.pop(request_id, None)

    def begin_step(self) -> None:
        """Drafting begins. The step before is over, and its time known."""
        now = self._clock()
        if self._began is not None and self._verified is not None and now - self._began < _LONGEST_STEP:
            batch, nodes = self._verified
            self._policy.costs.observe(batch, nodes, now - self._began)
        self._began, self._verified = now, None

    def verifying(self, batch: int, nodes: int) -> None:
        """The engine decodes ``batch`` requests now, with ``nodes`` positions beside their pending tokens."""
        self._verified = (batch, nodes)

    def interrupted(self) -> None:
        """The step that began does something else too, or nothing followed it at once."""
        self._began = self._verified = None

    def allowance(self, request_id: str, room: int) -> int:
        """How many nodes to ask the request's drafter for, at most ``room``."""
        if room <= 0:
            return 0
        fixed = self._fixed.get(request_id)
        if fixed is not None:
            return min(fixed, room)
        return room if not self._adaptive or self._policy.wants(request_id) else 0

    def choose(self, drafts: Mapping[str, Draft], batch: int, seconds: float) -> dict[str, Draft]:
        """What of ``drafts``, which took ``seconds`` to make, is worth verifying in a step of ``batch`` requests."""
        if not self._adaptive:
            return dict(drafts)
        self._policy.drafted(len(drafts), seconds)
        fixed = frozenset(name for name in drafts if name in self._fixed)
        chosen = self._policy.choose(drafts, batch, fixed)
        held_back = sum(map(len, drafts.values())) - sum(map(len, chosen.values()))
        if held_back:
            metrics.DRAFT_HELD_BACK_TOKENS.inc(held_back)
        return chosen

    def settled(self, request_id: str, kept: tuple[int, ...]) -> None:
        """The request's last draft was verified; ``kept`` are the accepted nodes."""
        self._policy.observe(request_id, kept)
