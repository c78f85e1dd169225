"""Reports of experiments as tables for a terminal, and as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from latticework.plugins.ab.analysis import Comparison, Report
from latticework.plugins.ab.sequences import Interval
from latticework.plugins.ab.simulation import Finding, Plan

_COLOURS = {"better": "green", "worse": "red", "different": "yellow", "": ""}
_RATES = ("errors", "refused", "incomplete", "accept_rate")


def as_data(report: Report) -> dict[str, Any]:
    """The report for programs: what is not known or infinite is null."""
    return {**_finite(asdict(report)), "mismatched": report.mismatched}


def show(report: Report, console: Console) -> None:
    """Print a report."""
    console.print(headline(report), markup=False, highlight=False)
    console.print(_arms(report))
    if report.mismatched:
        console.print(f"[red]sample-ratio mismatch (p = {report.mismatch:.2g}): do not trust what follows[/red]")
    table = RichTable(box=None, pad_edge=False)
    for column in ("metric", "arm", "units", "value", "ratio to control", "always valid", "p", "could detect", ""):
        table.add_column(column, justify="right" if column in ("units", "p", "could detect") else "left")
    for _, rows in groupby(report.comparisons, lambda found: found.metric):
        for place, found in enumerate(rows):
            table.add_row(*(Text(cell) for cell in (found.what if place == 0 else "", *_cells(found))), _verdict(found))
    console.print(table)
    console.print(remaining(report), markup=False, highlight=False)
    for note in report.notes:
        console.print(f"note: {note}", markup=False, highlight=False)


def show_simulation(plan: Plan, findings: Sequence[Finding], console: Console) -> None:
    """Print what a planned experiment would show."""
    console.print(
        f"{plan.runs} experiments of {plan.requests} requests, looked at every {plan.every}; "
        f"level {plan.design.level:g}, the arm gets {plan.share:.0%}",
        highlight=False,
    )
    table = RichTable(box=None, pad_edge=False)
    for column in ("what", "false alarms", "power", "half found it after"):
        table.add_column(column)
    for found in findings:
        power = "" if found.power is None else f"{found.power:.1%}"
        half = f"{found.half:.0f} requests" if found.half else ("" if found.power is None else "not by the end")
        table.add_row(found.what, f"{found.alarms:.1%}", power, half)
    console.print(table)


def headline(report: Report) -> str:
    """What it is about, in a line."""
    began, ended = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (report.began, report.ended))
    return f"experiment {report.experiment}: {began} to {ended} UTC; what counts as one is a {report.unit}"


def remaining(report: Report) -> str:
    """How long it must still run, in words."""
    effect = f"a change of {report.design.effect:.0%} in the times"
    if report.remaining is None:
        return f"too little is known to say when {effect} would be found"
    if math.isinf(report.remaining):
        return f"{effect} would never be found with this traffic"
    if report.remaining == 0:
        return f"there is enough traffic to find {effect} with a chance of {report.design.power:.0%}"
    chance = f"with a chance of {report.design.power:.0%}"
    return f"{_duration(report.remaining)} more of the same traffic to find {effect} {chance}"


def value(found: Comparison) -> str:
    """The arm's own value."""
    if math.isnan(found.own.estimate):
        return "–"
    if found.metric in _RATES:
        low, high = f"{found.own.low:.2%}", f"{found.own.high:.2%}"
        return f"{found.own.estimate:.2%} [{low}, {high}]"
    unit = {"seconds": " s", "first_token": " s"}.get(found.metric, "")
    estimate, low, high = map(_three_digits, (found.own.estimate, found.own.low, found.own.high))
    return f"{estimate}{unit} [{low}, {high}]"


def _three_digits(number: float) -> str:
    return f"{number:#.3g}".rstrip(".")


def ratio(found: Interval) -> tuple[str, str]:
    """A ratio, and its confidence sequence."""
    estimate = "–" if math.isnan(found.estimate) or math.isinf(found.estimate) else f"{found.estimate:.3f}"
    low, high = (f"{end:.3f}" if math.isfinite(end) else "∞" for end in (found.low, found.high))
    return estimate, f"[{low}, {high}]"


def _cells(found: Comparison) -> tuple[str, ...]:
    own = (found.arm, f"{found.count:.0f}", value(found))
    if found.ratio is None:
        return (*own, "", "", "", "")
    p = "" if found.p is None else ("<0.001" if found.p < 0.001 else f"{found.p:.3f}")
    least = "" if found.detectable is None or not math.isfinite(found.detectable) else f"{found.detectable:.1%}"
    return (*own, *ratio(found.ratio), p, least)


def _verdict(found: Comparison) -> Text:
    return Text(found.verdict, style=_COLOURS[found.verdict])


def _arms(report: Report) -> RichTable:
    table = RichTable(box=None, pad_edge=False)
    for column in ("arm", "requests", "units", "share", "planned"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    whole = sum(units for _, units, _ in report.arms.values()) or 1.0
    for arm, (requests, units, share) in sorted(report.arms.items()):
        table.add_row(arm, f"{requests:.0f}", f"{units:.0f}", f"{units / whole:.1%}", f"{share:.1%}")
    return table


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"


def _finite(found: Any) -> Any:
    match found:
        case float() if not math.isfinite(found):
            return None
        case dict():
            return {key: _finite(one) for key, one in found.items()}
        case list() | tuple():
            return [_finite(one) for one in found]
        case _:
            return found
