"""How much of its drafts a batch should verify: by what such nodes gained before, and by what verifying costs now.

Pure: a policy is told the outcome of steps and measured times, and answers with drafts cut to what pays. It reads no
clock. Two things are learned online, without training (the idea of speculative spec, section 11): how likely nodes are
kept (:mod:`latticework.speculative.acceptance`), by drafter and, leaning on that, by request; and what a step costs
(:mod:`latticework.speculative.step_cost`).

Chosen are the nodes of most expected tokens a unit of time, none where no draft pays by a margin: so under load, where
every row costs as much as a token is worth, nothing is drafted at all. What is given up is little and known: now and
then a step drafts nothing, so that the cost of drafting can be told from its gain; where nothing pays, now and then a
few nodes are tried, or nobody would learn that texts have become predictable, or verifying cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from latticework.speculative.acceptance import Acceptance, Cells
from latticework.speculative.budget_kernels import best_size, take
from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.step_cost import StepCost

Floats = npt.NDArray[np.float64]

#: Steps that a request whose drafts are not worth their making goes without, at most.
_LONGEST_REST = 32
#: Steps from one probe, or one step without drafts, to the next.
_SOONEST, _LATEST = 12, 512
#: Nodes of probes, in turn: from one size alone the cost of a row cannot be told from that of drafting at all.
_PROBES = (1, 2, 1, 4)


@dataclass(slots=True)
class _Request:
    drafter: str
    acceptance: Acceptance = field(default_factory=Acceptance)
    worth: float = 1.0  # tokens that its drafts are expected to gain, a draft; decayed mean
    fruitless: int = 0  # drafts in a row that were not worth making
    rest: int = 0  # steps to go without one
    verifying: Cells | None = None


class BudgetPolicy:
    """For the requests of one worker.

    Args:
        padded: Every request of a step is given as many rows as the largest draft needs.
        margin: By what share of tokens a second drafting must beat not drafting to be done.
        price: What share of its time a worker spends on finding out: on probes while no draft pays, on steps without
            drafts while they do.

    Attributes:
        costs: To be told the times of steps.
    """

    def __init__(self, *, padded: bool = False, margin: float = 0.03, price: float = 0.01) -> None:
        if price <= 0.0 or margin < 0.0:
            raise ValueError("need price > 0 and margin >= 0")
        self.costs = StepCost()
        self._padded, self._margin = padded, margin
        self._price = price
        self._drafters: dict[str, Acceptance] = {}
        self._requests: dict[str, _Request] = {}
        self._draft_seconds = 0.0
        self._tokens_a_second = 0.0
        self._since_plain = self._since_draft = self._probes = 0
        self._next_probe = _SOONEST

    def begin(self, request_id: str, drafter: str = "") -> None:
        """A request has arrived, for which ``drafter`` drafts."""
        self._drafters.setdefault(drafter, Acceptance(decay=0.999))
        self._requests[request_id] = _Request(drafter)

    def end(self, request_id: str) -> None:
        """The request is over. Unknown ids are fine."""
        self._requests.pop(request_id, None)

    def wants(self, request_id: str) -> bool:
        """Whether the request's drafter is worth asking in this step. To be asked once a step."""
        request = self._requests[request_id]
        if request.rest > 0:
            request.rest -= 1
            return False
        return True

    def drafted(self, drafts: int, seconds: float) -> None:
        """Making ``drafts`` drafts took ``seconds`` altogether."""
        if drafts > 0 and 0.0 <= seconds < np.inf:
            self._draft_seconds += 0.05 * (seconds / drafts - self._draft_seconds)

    def observe(self, request_id: str, kept: tuple[int, ...]) -> None:
        """What :meth:`choose` last left of a request's draft was verified; ``kept`` are the accepted nodes."""
        request = self._requests.get(request_id)
        if request is None or request.verifying is None:
            return
        cells, request.verifying = request.verifying, None
        request.acceptance.observe(cells, kept)
        self._drafters[request.drafter].observe(cells, kept)

    def choose(self, drafts: Mapping[str, Draft], batch: int, fixed: frozenset[str] = frozenset()) -> dict[str, Draft]:
        """The drafts cut to what pays, for the step that comes.

        Args:
            drafts: What the drafters of begun requests guess, by request.
            batch: Requests that the step decodes, those without drafts too.
            fixed: Requests whose drafts are verified as they are.

        The nodes of all requests compete, because each one lengthens the step for every request in it.
        """
        if not drafts:
            self._since_plain = 0
            return {}
        judged = {name: self._judge(self._requests[name], draft) for name, draft in drafts.items()}
        bound = [judged[name][1] for name in drafts if name in fixed]
        free = [name for name in drafts if name not in fixed]
        ends = np.cumsum([0, *(len(drafts[name]) for name in free)])
        chances = np.concatenate([judged[name][1] for name in free]) if free else np.zeros(0)
        taken = self._take(batch, chances, ends.astype(np.int32), bound)
        results = {name: drafts[name] for name in fixed if name in drafts}
        for name, first, end in zip(free, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            kept = taken[first:end]
            results[name] = drafts[name].select(kept) if kept.any() else EMPTY_DRAFT
            self._weigh(self._requests[name], float(chances[first:end] @ kept))
            judged[name] = judged[name][0][kept], judged[name][1]
        for name, result in results.items():
            self._requests[name].verifying = judged[name][0] if len(result) else None
        return results

    def _judge(self, request: _Request, draft: Draft) -> tuple[Cells, Floats]:
        return request.acceptance.judge(draft, self._drafters[request.drafter])

    def _take(
        self, batch: int, chances: Floats, starts: npt.NDArray[np.int32], bound: list[Floats]
    ) -> npt.NDArray[np.bool_]:
        """``bool[N]``: which nodes of the free drafts to verify, where the ``bound`` ones are in any case."""
        certain = float(sum(each.sum() for each in bound))
        sizes = [len(each) for each in bound]
        nodes = max(sizes, default=0) if self._padded else sum(sizes)
        cost = self.costs.parts(batch)
        best, plain, fastest = best_size(chances, starts, self._padded, batch, certain, nodes, *cost)
        if fastest < plain * (1.0 + self._margin):
            best, fastest = 0, plain
        self._tokens_a_second = fastest
        each = self._padded
        if self._plain_is_due(best, fastest / plain - 1.0, drafting=best + nodes > 0, free=not bound):
            best = 0
        elif self._probe_is_due(best, len(chances) > 0):
            best, each = _PROBES[self._probes % len(_PROBES)], True
            self._probes += 1
            base, row, drafting = cost
            self._next_probe = self._rest((row * best * batch + drafting) / base)
        taken: npt.NDArray[np.bool_] = take(chances, starts, each, best)
        return taken

    def _plain_is_due(self, best: int, gain: float, *, drafting: bool, free: bool) -> bool:
        self._since_plain = self._since_plain + 1 if drafting else 0
        if best == 0 or not free or self._since_plain < self._rest(gain):
            return False
        self._since_plain = 0
        return True

    def _probe_is_due(self, best: int, something: bool) -> bool:
        if best > 0:
            self._since_draft, self._next_probe = 0, _SOONEST
        elif something:
            self._since_draft += 1
        if self._since_draft < self._next_probe:
            return False
        self._since_draft = 0
        return True

    def _rest(self, loss: float) -> int:
        """Steps until what costs ``loss`` of a step may be done again."""
        return int(min(max(loss / self._price, _SOONEST), _LATEST))

    def _weigh(self, request: _Request, gain: float) -> None:
        """Whether the time that a draft takes to make is worth what is expected of it; if not, the request rests."""
        request.worth += 0.1 * (gain - request.worth)
        if request.worth >= self._draft_seconds * self._tokens_a_second:
            request.fruitless = 0
            return
        request.fruitless += 1
        request.rest = min(2**request.fruitless, _LONGEST_REST)
