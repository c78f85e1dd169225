"""The replay loop: a drafter drafts, the recorded answer says how much of it was right.

As in an engine: the prefill gives the first token and is not a step; each step then drafts after the tokens so far,
keeps what agrees with the recording and adds the recording's next token (so a step gains at least one token, and what
is counted includes it). The drafter lives through all traces in their order, so later ones profit from what it keeps.

What a replay cannot show is what the target would have held likely at *rejected* nodes: drafters that learn from that
are shown the accepted positions only, and do worse here than with a model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from latticework.bench.drafts.traces import Trace
from latticework.speculative.best_path import best_path
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView, VerifiedRows, verified_top_k
from latticework.speculative.verify import match

Clock = Callable[[], int]
_SCOPE = "traces"


@dataclass(slots=True)
class Tally:
    """What was counted over some traces; times in nanoseconds, those of ``begin`` and ``end`` in ``request_ns``."""

    requests: int = 0
    steps: int = 0
    tokens: int = 0
    nodes: int = 0
    draft_ns: int = 0
    update_ns: int = 0
    request_ns: int = 0

    def add(self, other: Tally) -> None:
        """Count ``other`` in."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@contextmanager
def timed(tally: Tally, what: str, clock: Clock) -> Iterator[None]:
    """Add the time of the block to the field ``what``."""
    start = clock()
    yield
    setattr(tally, what, getattr(tally, what) + clock() - start)


def replay(
    drafter: Drafter,
    traces: Iterable[Trace],
    budget: DraftBudget,
    *,
    clock: Clock = time.perf_counter_ns,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Tally]:
    """Run a drafter over traces; the tally of each category, in the order they first occur."""
    tallies: dict[str, Tally] = {}
    for index, trace in enumerate(traces):
        tallies.setdefault(trace.category, Tally()).add(_replay_one(drafter, f"trace-{index}", trace, budget, clock))
        progress(index + 1)
    return tallies


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them as one."""
    everything = Tally()
    for tally in tallies:
        everything.add(tally)
    return everything


def _replay_one(drafter: Drafter, name: str, trace: Trace, budget: DraftBudget, clock: Clock) -> Tally:
    text = np.concatenate((trace.prompt, trace.output))
    at = prompt_length = len(trace.prompt)
    view = RequestView(name, text[:at], prompt_length, scope=_SCOPE)
    tally = Tally(requests=1)
    with timed(tally, "request_ns", clock):
        drafter.begin(view)
    at = _commit(drafter, view, text, at, min(at + 1, len(text)), None, clock, tally)
    first = at
    while at < len(text):
        with timed(tally, "draft_ns", clock):
            draft = drafter.draft(view, budget)
        draft.check()
        if not budget.branching:
            draft = best_path(draft)
        tally.nodes += len(draft)
        draft = draft.within(len(draft), len(text) - at - 1)  # the recording says nothing about what comes after it
        depths = np.concatenate(([0], draft.depth))
        gained = len(match(draft, text[at + depths]).tokens)
        shown = _shown(trace, text, at, at + gained, verified_top_k(drafter))
        at = _commit(drafter, view, text, at, at + gained, shown, clock, tally)
        tally.steps += 1
    tally.tokens = at - first
    with timed(tally, "request_ns", clock):
        drafter.end(view)
    return tally


def _commit(
    drafter: Drafter,
    view: RequestView,
    text: np.ndarray[tuple[int], np.dtype[np.int32]],
    start: int,
    end: int,
    shown: VerifiedRows | None,
    clock: Clock,
    tally: Tally,
) -> int:
    """``text[start:end]`` is written; returns ``end``."""
    if start == end:  # an empty answer
        return end
    view.tokens = text[:end]
    committed: Sequence[int] = text[start:end].tolist()
    with timed(tally, "update_ns", clock):
        drafter.observe(view, committed, shown)
    return end


def _shown(
    trace: Trace, text: np.ndarray[tuple[int], np.dtype[np.int32]], start: int, end: int, k: int
) -> VerifiedRows | None:
    """What the target held likely where it wrote ``text[start:end]``: rows of the pending and the accepted tokens."""
    if not k:
        return None
    written = slice(start - len(trace.prompt), end - len(trace.prompt))
    return VerifiedRows(
        text[start - 1 : end - 1],
        trace.top_ids[written, :k],
        trace.top_logprobs[written, :k],
        np.arange(-1, end - start - 1, dtype=np.int32),
    )
