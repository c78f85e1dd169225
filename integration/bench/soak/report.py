"""What a soak has shown: figures, what is wrong, tables and a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from integration.bench.soak.client import Fault, Outcome
from integration.bench.soak.gauges import BROKEN_LINE
from integration.bench.soak.memory import Growth, growth
from integration.bench.soak.run import Sample, Seen
from integration.bench.soak.traffic import KINDS

RESULTS = ("ok", "cut", "refused", "left", "failed")
_PERCENTILES = (50, 95, 99)
#: Faults of one kind that are shown and written down in full.
SHOWN = 5
#: Minutes after warming up below which the growth of memory says nothing: an engine is still filling its caches.
LEAST_MINUTES = 5.0


@dataclass(frozen=True)
class Left:
    """What there was when the traffic had ended.

    Attributes:
        held: What only requests hold, see :func:`integration.bench.soak.gauges.held`.
        alarms: Counters that should be zero.
        told: Counters that tell what happened.
        log: Lines of the request log by kind.
    """

    held: Mapping[str, float]
    alarms: Mapping[str, float]
    told: Mapping[str, float]
    log: Mapping[str, int]


@dataclass(frozen=True)
class Report:
    """A soak and its verdict.

    Attributes:
        title: Engine, model, machine.
        seen: What was seen.
        left: What was left; ``None`` where the engine could not be asked any more.
        warm_up: Minutes before memory is judged.
        most_growth: MiB a minute that memory may grow.
        states: How often the settings file became what.
        first_answers: Seconds that the engine took for an answer of each kind before the traffic.
    """

    title: str
    seen: Seen
    left: Left | None
    warm_up: float
    most_growth: float
    states: Mapping[str, int]
    first_answers: float

    @property
    def faults(self) -> list[Fault]:
        """Everything wrong with single requests, in the order of the requests."""
        found = [fault for outcome in self.seen.outcomes for fault in outcome.faults]
        return sorted(found, key=lambda fault: fault.number)

    @property
    def growth(self) -> Growth | None:
        """Of all processes together, after warming up, without masks and tables: these fill their bounds and stop."""
        return growth_of([sample for sample in self.seen.samples if sample.load], self.warm_up, beside_caches)

    @property
    def judges_memory(self) -> bool:
        """Whether it went on for long enough after warming up."""
        samples = self.seen.samples
        return bool(samples) and samples[-1].minutes - self.warm_up >= LEAST_MINUTES

    def wrong(self) -> list[str]:
        """Why the soak has failed; empty: it has passed."""
        kinds = Counter(fault.kind for fault in self.faults)
        found = [f"{kind}: {count}" for kind, count in kinds.most_common()]
        found += [f"the soak itself failed: {failure}" for failure in self.seen.failures]
        if self.seen.gone:
            found.append("the engine has ended by itself")
        if not self.seen.counts()["ok"]:
            found.append("no request was answered")
        if self.left is None:
            found.append("the engine could not be asked what it still holds")
        else:
            found += [f"still held after the traffic: {what}: {n:g}" for what, n in self.left.held.items() if n]
            found += [f"{what}: {n:g}" for what, n in self.left.alarms.items() if n]
            if broken := self.left.log.get(BROKEN_LINE, 0):
                found.append(f"lines of the request log that cannot be read: {broken}")
        grown = self.growth
        if self.judges_memory and grown is not None and grown.per_minute > self.most_growth:
            found.append(f"memory grows by {grown.per_minute:.1f} MiB a minute, more than {self.most_growth:g}")
        return found


def beside_caches(sample: Sample) -> float:
    """MiB of all processes less those of masks and tables, where these are known."""
    return sample.mebibytes - (sample.load.caches if sample.load else 0.0)


def growth_of(samples: Sequence[Sample], warm_up: float, size: Any) -> Growth | None:
    """The growth of ``size(sample)`` after ``warm_up`` minutes."""
    late = [sample for sample in samples if sample.minutes >= warm_up]
    return growth([sample.minutes for sample in late], [size(sample) for sample in late])


def percentiles(seconds: Iterable[float]) -> tuple[float, ...] | None:
    """Percentiles 50, 95 and 99; ``None`` of nothing."""
    values = list(seconds)
    return tuple(np.percentile(values, _PERCENTILES).tolist()) if values else None


def answered(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Those that were answered and waited for."""
    return [outcome for outcome in outcomes if outcome.result in ("ok", "cut")]


def by_arm(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Answered requests by each arm that served them; those in no experiment under an empty name."""
    found: dict[str, list[Outcome]] = {}
    for outcome in answered(outcomes):
        for arm in outcome.arm.split(", "):
            found.setdefault(arm, []).append(outcome)
    return dict(sorted(found.items()))


def document(report: Report) -> dict[str, Any]:
    """Everything, for JSON."""
    seen = report.seen
    return {
        "title": report.title,
        "minutes": seen.minutes,
        "interrupted": seen.interrupted,
        "wrong": report.wrong(),
        "requests": dict(seen.counts()),
        "first_answers": report.first_answers,
        "kinds": {kind: dict(Counter(o.result for o in seen.outcomes if o.kind == kind)) for kind in KINDS},
        "arms": {arm: len(found) for arm, found in by_arm(seen.outcomes).items()},
        "states": dict(report.states),
        "seconds": percentiles(outcome.seconds for outcome in answered(seen.outcomes)),
        "first_seconds": percentiles(o.first for o in answered(seen.outcomes) if o.first is not None),
        "growth": asdict(report.growth) if report.growth else None,
        "left": asdict(report.left) if report.left else None,
        "faults": [asdict(fault) for fault in report.faults],
        "samples": [asdict(sample) for sample in seen.samples],
        "outcomes": [
            {name: value for name, value in asdict(outcome).items() if name != "faults"} for outcome in seen.outcomes
        ],
    }


def show(report: Report, console: Console) -> None:
    """Print it."""
    seen = report.seen
    how = "broken off" if seen.interrupted else "whole"
    console.print(
        f"{report.title}; {seen.minutes:.1f} minutes, {how}, after {report.first_answers:.0f} s for the first answers",
        markup=False,
    )
    console.print(_kinds(seen.outcomes))
    console.print(_arms(seen.outcomes))
    console.print(_memory(report))
    if report.left is not None:
        console.print(_left(report))
    states = ", ".join(f"{name} {count}" for name, count in sorted(report.states.items()))
    console.print(f"\nThe settings file became: {states}", markup=False)
    for kind in dict.fromkeys(fault.kind for fault in report.faults):
        for fault in [fault for fault in report.faults if fault.kind == kind][:SHOWN]:
            console.print(f"{kind}, request {fault.number}: {fault.detail}", markup=False, style="red", soft_wrap=True)
    for line in report.wrong():
        console.print(f"wrong: {line}", markup=False, style="bold red", soft_wrap=True)
    if not report.wrong():
        console.print("nothing is wrong", style="bold green")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    return table


def _milliseconds(seconds: Iterable[float]) -> str:
    found = percentiles(seconds)
    return "" if found is None else " / ".join(f"{1e3 * value:.0f}" for value in found)


def _kinds(outcomes: Sequence[Outcome]) -> Table:
    table = _table("\nRequests", "kind", "sent", *RESULTS, "answer p50 / p95 / p99 ms", "first text ms")
    for kind in (*KINDS, "all"):
        own = [outcome for outcome in outcomes if kind in (outcome.kind, "all")]
        counts = Counter(outcome.result for outcome in own)
        times = _milliseconds(outcome.seconds for outcome in answered(own))
        first = _milliseconds(outcome.first for outcome in answered(own) if outcome.first is not None)
        table.add_row(kind, str(len(own)), *(str(counts[result]) for result in RESULTS), times, first)
    return table


def _arms(outcomes: Sequence[Outcome]) -> Table:
    table = _table("\nAnswers by arm", "arm", "answers", "answer p50 / p95 / p99 ms")
    for arm, found in by_arm(outcomes).items():
        table.add_row(arm or "in no experiment", str(len(found)), _milliseconds(outcome.seconds for outcome in found))
    return table


def _memory(report: Report) -> Table:
    judged = "" if report.judges_memory else ", too short to be judged"
    title = f"\nMemory, MiB; growth from minute {report.warm_up:.1f} on{judged}"
    table = _table(title, "process", "first", "last", "most", "MiB a minute", "95 %")
    samples = report.seen.samples
    names = list(dict.fromkeys(name for sample in samples for name in sample.processes))
    for name in names:
        own = [sample for sample in samples if name in sample.processes]
        grown = growth_of(own, report.warm_up, lambda sample, name=name: sample.processes[name])
        table.add_row(name, *_course([sample.processes[name] for sample in own], grown))
    if samples:
        grown = growth_of(samples, report.warm_up, lambda sample: sample.mebibytes)
        table.add_row("all", *_course([sample.mebibytes for sample in samples], grown))
    if beside := [beside_caches(sample) for sample in samples if sample.load]:
        table.add_row("all, beside masks and tables", *_course(beside, report.growth))
    return table


def _course(sizes: Sequence[float], grown: Growth | None) -> tuple[str, ...]:
    told = ("", "") if grown is None else (f"{grown.per_minute:+.2f}", f"{grown.low:+.2f} to {grown.high:+.2f}")
    return f"{sizes[0]:.0f}", f"{sizes[-1]:.0f}", f"{max(sizes):.0f}", *told


def _left(report: Report) -> Table:
    assert report.left is not None
    table = _table("\nAfter the traffic", "what", "")
    for what, count in {**report.left.held, **report.left.alarms}.items():
        table.add_row(what, f"{count:g}", style="bold red" if count else "")
    for what, count in report.left.told.items():
        table.add_row(what, f"{count:g}")
    for what, lines in sorted(report.left.log.items()):
        table.add_row(f"request log: {what}", str(lines))
    return table
