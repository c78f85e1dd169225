"""What was drafted and accepted by arm: counted where drafts are verified, read where arms are judged.

These are different processes, and prometheus_client's multiprocess files are what they share already. Reading them
takes milliseconds, so it happens in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from latticework.plugins import metrics
from latticework.plugins.ab.routing import ArmKey
from latticework.plugins.requests import compile_threads

#: ``(drafted, accepted)`` tokens.
Drafts = tuple[int, int]


class DraftPoll:
    """Says what has come since it was last asked."""

    def __init__(self) -> None:
        self._known: dict[ArmKey, Drafts] | None = None
        self._reading: Future[dict[ArmKey, Drafts]] | None = None

    def news(self) -> dict[ArmKey, Drafts]:
        """New drafts by arm, as of when it was asked before; starts to read again. Empty while reading."""
        if self._reading is None:
            self._reading = compile_threads().submit(drafts_by_arm)
            return {}
        if not self._reading.done():
            return {}
        found, self._reading = self._reading.result(), compile_threads().submit(drafts_by_arm)
        known, self._known = self._known, found
        if known is None:  # what was there when this process began says nothing of now
            return {}
        return {key: _more(drafts, known.get(key, (0, 0))) for key, drafts in found.items()}


def drafts_by_arm() -> dict[ArmKey, Drafts]:
    """All drafts so far, of every arm and experiment. Blocking."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return by_arm(registry.collect())


def by_arm(families: Iterable[Metric]) -> dict[ArmKey, Drafts]:
    """The drafts in what a registry collected."""
    names = (metrics.DRAFT_TOKENS._name, metrics.DRAFT_ACCEPTED_TOKENS._name)
    sums: dict[ArmKey, list[int]] = {}
    for family in families:
        if family.name not in names:
            continue
        for sample in family.samples:
            if not sample.name.endswith("_total"):
                continue
            for key in arms_of_label(sample.labels.get("arm", "")):
                sums.setdefault(key, [0, 0])[names.index(family.name)] += int(sample.value)
    return {key: (drafted, accepted) for key, (drafted, accepted) in sums.items()}


def arms_of_label(label: str) -> list[ArmKey]:
    """The arms in a label like ``drafting/fusion+search/off``."""
    parts = (part.partition("/") for part in label.split("+"))
    return [(experiment, arm) for experiment, slash, arm in parts if slash]


def _more(now: Drafts, before: Drafts) -> Drafts:
    """Not less than nothing: a worker that ended takes its counters along."""
    return max(now[0] - before[0], 0), max(now[1] - before[1], 0)
