"""What the server's own metrics say: while traffic flows, and of what is left when it has ended."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.samples import Sample

from integration.launch import MetricNames
from integration.server import Server
from integration.tests.client import chat

#: How long an engine may take to become idle, and to let go of its last requests.
PATIENCE = 120.0
#: What must be zero at the end, if everything has gone well.
ALARMS = {
    "exceptions of plugins": ("latticework_errors_total", {}),
    "grammars that refused a committed token": ("latticework_matcher_desyncs_total", {}),
    "lines of the request log that were dropped": ("latticework_request_log_dropped_total", {}),
    "grammars that crashed while compiling": ("latticework_grammar_compiles_total", {"outcome": "crashed"}),
}
#: What the report tells besides.
TOLD = {
    "tokens drafted": ("latticework_draft_tokens_total", {}),
    "drafted tokens accepted": ("latticework_draft_accepted_tokens_total", {}),
    "grammars compiled": ("latticework_grammar_compiles_total", {"outcome": "ok"}),
    "constraints that the next engine served": ("latticework_grammar_fallbacks_total", {}),
    "searches": ("latticework_searches_total", {}),
    "rows of logits processed": ("latticework_processor_rows_total", {}),
    "settings read": ("latticework_settings_loads_total", {"outcome": "ok"}),
    "broken settings kept out": ("latticework_settings_loads_total", {"outcome": "broken"}),
    "arms tripped": ("latticework_ab_trips_total", {}),
    "requests that their arm did not fit": ("latticework_ab_unfit_total", {}),
}


def total(samples: Iterable[Sample], name: str, labels: Mapping[str, str] | None = None) -> float:
    """Sum of the samples with this name and these labels."""
    wanted = (labels or {}).items()
    return sum(sample.value for sample in samples if sample.name == name and wanted <= sample.labels.items())


def told(samples: list[Sample], which: Mapping[str, tuple[str, Mapping[str, str]]]) -> dict[str, float]:
    """The sums that ``which`` names."""
    return {what: total(samples, name, labels) for what, (name, labels) in which.items()}


@dataclass(frozen=True)
class Load:
    """What is held at one time: requests that the engine computes, sessions, and MiB of masks and tables."""

    running: float
    sessions: float
    caches: float

    @classmethod
    def of(cls, samples: list[Sample], names: MetricNames) -> Load:
        """As the server's metrics say."""
        caches = total(samples, "latticework_mask_bytes") / 2**20
        return cls(total(samples, names.running), total(samples, "latticework_sessions"), caches)


def held(samples: list[Sample], names: MetricNames) -> dict[str, float]:
    """What only a request under way may hold: all of it is zero when there is none."""
    arrived = total(samples, "latticework_ab_assignments_total", {"why": "assigned"})
    return {
        "requests computed": total(samples, names.running),
        "requests waiting": total(samples, names.waiting),
        "sessions (drafters, grammars, processors)": total(samples, "latticework_sessions"),
        "requests of arms that never ended": arrived - total(samples, "latticework_ab_requests_total"),
    }


def held_when_idle(server: Server, patience: float = PATIENCE) -> tuple[dict[str, float], list[Sample]]:
    """:func:`held` once nothing is, or after ``patience`` seconds, and all samples of that time.

    An engine may keep its last batch until the next one, so requests that need no session are sent in between.
    """
    end = time.monotonic() + patience
    while True:
        samples = server.samples()
        found = held(samples, server.engine.metrics)
        if not any(found.values()) or time.monotonic() > end:
            return found, samples
        chat(server, "x", max_tokens=1, options={"lw_drafter": "off", "lw_processor": "off"})
        time.sleep(1)


def read_log(path: Path) -> dict[str, int]:
    """How many lines of the request log there are of each kind and result, and how many that cannot be read."""
    counts: dict[str, int] = {}
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        kind = _kind(line)
        counts[kind] = counts.get(kind, 0) + 1
    return counts


BROKEN_LINE = "unreadable"


def _kind(line: str) -> str:
    try:
        record: dict[str, Any] = json.loads(line)
        return f"{record['kind']} {record['result']}" if record["kind"] == "request" else str(record["kind"])
    except (ValueError, LookupError, TypeError):
        return BROKEN_LINE
