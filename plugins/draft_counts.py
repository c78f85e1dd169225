"""Counting drafts: by drafter and arm, looked up once a request instead of once a step; and by request, for the log."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from latticework.plugins import metrics
from latticework.plugins.requests import ARM_LABEL
from latticework.speculative.draft import Draft

#: Arms that get a label of their own in one process. The settings allow as many at once, but may change.
MAX_ARMS = 512
#: What those beyond are called.
OTHER = "other"
_LONGEST = 1024

_arms: set[str] = {""}
_lock = threading.Lock()


def arm_label(extra: Mapping[str, Any] | None) -> str:
    """The arms of a request as a label, as its front end wrote it; empty without any."""
    arm = (extra or {}).get(ARM_LABEL, "")
    if not isinstance(arm, str) or len(arm) > _LONGEST:
        return OTHER
    if arm in _arms:
        return arm
    with _lock:
        if len(_arms) >= MAX_ARMS:
            return OTHER
        _arms.add(arm)
    return arm


class _Counters:
    """The counters of one drafter in one arm."""

    def __init__(self, drafter: str, arm: str) -> None:
        labels = {"drafter": drafter, "arm": arm}
        self.steps = metrics.DRAFT_STEPS.labels(**labels)
        self.seconds = metrics.DRAFT_SECONDS.labels(**labels)
        self.tokens = metrics.DRAFT_TOKENS.labels(**labels)
        self.accepted = metrics.DRAFT_ACCEPTED_TOKENS.labels(**labels)
        self.forced = metrics.FORCED_TOKENS.labels(**labels)


@lru_cache(maxsize=2 * MAX_ARMS)
def _counters(drafter: str, arm: str) -> _Counters:
    return _Counters(drafter, arm)


class DraftCounts:
    """What is drafted for one request.

    Args:
        drafter: Who drafts.
        arm: See :func:`arm_label`.
    """

    __slots__ = ("_accepted", "_counters", "_drafter", "_forced", "_seconds", "_steps", "_tokens")

    def __init__(self, drafter: str, arm: str) -> None:
        self._drafter, self._counters = drafter, _counters(drafter, arm)
        self._steps = self._tokens = self._accepted = self._forced = 0
        self._seconds = 0.0

    def drafted(self, draft: Draft, seconds: float) -> None:
        """The drafter was asked, took so long, and said ``draft``."""
        self._steps += 1
        self._seconds += seconds
        self._counters.steps.inc()
        self._counters.seconds.inc(seconds)
        if not len(draft):
            return
        self._tokens += len(draft)
        self._counters.tokens.inc(len(draft))
        if draft.score is not None and (forced := int(np.count_nonzero(draft.score == 1.0))):
            self._forced += forced
            self._counters.forced.inc(forced)

    def accepted(self, tokens: int) -> None:
        """So many drafted tokens were accepted."""
        if tokens:
            self._accepted += tokens
            self._counters.accepted.inc(tokens)

    def record(self, request_id: str) -> dict[str, Any]:
        """A line of the request log."""
        return {
            "kind": "drafts",
            "id": request_id,
            "drafter": self._drafter,
            "steps": self._steps,
            "drafted": self._tokens,
            "accepted": self._accepted,
            "forced": self._forced,
            "seconds": round(self._seconds, 6),
        }
