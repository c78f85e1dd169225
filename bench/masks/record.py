"""A measurement as one JSON document, so that it can be compared, drawn again, and quoted with what it was taken on."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from latticework.bench.masks.plan import Plan, Run
from latticework.bench.masks.summary import refusals, summarize
from latticework.bench.workers.protocol import case_result_from, opened_from
from latticework.structured.errors import LatticeworkError

FORMAT = 1


def machine() -> dict[str, Any]:
    """What a time depends on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def record(plan: Plan, runs: Sequence[Run], data: str, *, whole: bool = True) -> dict[str, Any]:
    """The document.

    ``{"format", "what", "date", "machine", "data": {"source", "schemas", "sha256"}, "clock", "case_seconds", "whole",
    "runs": [{"engine", "tokenizer", "opened", "failure", "summary", "refusals", "results"}]}``; ``results`` holds a
    :class:`~latticework.bench.workers.protocol.CaseResult` a schema.
    """
    return {
        "format": FORMAT,
        "what": "latticework bench masks",
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "data": {"source": data, "schemas": len(plan.cases), "sha256": _digest(plan)},
        "clock": plan.clock.value,
        "case_seconds": plan.case_seconds,
        "whole": whole,
        "runs": [_run(run) for run in runs],
    }


def runs_from(document: dict[str, Any]) -> list[Run]:
    """The runs of a document that :func:`record` made."""
    return [
        Run(
            run["engine"],
            run["tokenizer"],
            opened_from(run["opened"]) if run["opened"] else None,
            run["failure"],
            [case_result_from(result.pop("name"), result.pop("family"), result) for result in run["results"]],
        )
        for run in document["runs"]
    ]


def merged(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One document of several measurements. Raises ``LatticeworkError`` if they are not about the same data."""
    first, *others = documents
    for other in others:
        for name in ("data", "clock", "machine"):
            if other[name] != first[name]:
                raise LatticeworkError("redraw", f"taken on different terms: {name} {first[name]} and {other[name]}")
    whole = all(document["whole"] for document in documents)
    return {**first, "whole": whole, "runs": [run for document in documents for run in document["runs"]]}


def _run(run: Run) -> dict[str, Any]:
    return {
        "engine": run.engine,
        "tokenizer": run.tokenizer,
        "opened": asdict(run.opened) if run.opened else None,
        "failure": run.failure,
        "summary": asdict(summarize(run)),
        "refusals": [{"reason": reason, "count": count, "first": name} for reason, count, name in refusals(run)],
        "results": [asdict(result) for result in run.results],
    }


def _digest(plan: Plan) -> str:
    digest = hashlib.sha256()
    for case in plan.cases:
        digest.update(repr((case.name, case.schema, case.instances)).encode())
    return digest.hexdigest()


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
