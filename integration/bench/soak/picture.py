"""Memory over time as a picture, with the line that is fitted to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from integration.bench.soak.report import Report, beside_caches

_COLOURS = ("#d1495b", "#edae49", "#3c8d5a", "#7b5ea7", "#8a6d3b", "#444444")
#: A smaller process is no curve of its own, only part of the sum.
_SMALL = 100.0


def draw(report: Report, path: Path) -> None:
    """Write the picture. The file's ending decides the format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7.6), layout="constrained")
    FigureCanvasAgg(figure)
    memory, grown, load = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1))
    _memory(memory, report)
    _growth(grown, report)
    _load(load, report)
    load.set_xlabel("minutes since the traffic began")
    figure.suptitle(report.title, fontsize=10)
    figure.savefig(path, dpi=110)


def _memory(panel: Any, report: Report) -> None:
    samples = report.seen.samples
    panel.plot([s.minutes for s in samples], [s.mebibytes for s in samples], color="#1b6ca8", lw=2, label="all")
    names = {name for sample in samples for name, size in sample.processes.items() if size >= _SMALL}
    for name, colour in zip(sorted(names), _COLOURS * 3, strict=False):
        own = [sample for sample in samples if name in sample.processes]
        label = name.rpartition(" ")[0]
        panel.plot([s.minutes for s in own], [s.processes[name] for s in own], color=colour, lw=1.2, label=label)
    panel.axvspan(0, report.warm_up, color="#eeeeee", lw=0, label="warming up")
    panel.set_ylim(bottom=0)
    panel.set_ylabel("resident memory, MiB")
    _dress(panel)


def _growth(panel: Any, report: Report) -> None:
    """The sum alone, less masks and tables, from where it stood after warming up.

    A slope that is small beside the whole shows here only.
    """
    samples, grown = report.seen.samples, report.growth
    if grown is not None:
        base = grown.base + grown.per_minute * report.warm_up
        known = [sample for sample in samples if sample.load]
        sizes = [beside_caches(sample) - base for sample in known]
        panel.plot([sample.minutes for sample in known], sizes, color="#1b6ca8", lw=1.4)
        last = samples[-1].minutes
        label = f"{grown.per_minute:+.2f} MiB a minute\n(95 %: {grown.low:+.2f} to {grown.high:+.2f})"
        line = [0.0, grown.per_minute * (last - report.warm_up)]
        panel.plot([report.warm_up, last], line, color="#222222", lw=1.4, ls="--", label=label)
    panel.axvspan(0, report.warm_up, color="#eeeeee", lw=0)
    panel.set_ylabel("growth since, beside\nmasks and tables, MiB")
    _dress(panel)


def _load(panel: Any, report: Report) -> None:
    known = [(sample.minutes, sample.load) for sample in report.seen.samples if sample.load is not None]
    minutes = [minute for minute, _ in known]
    panel.plot(minutes, [load.caches for _, load in known], color="#3c8d5a", lw=1.4, label="masks and tables, MiB")
    panel.plot(minutes, [load.sessions for _, load in known], color="#d1495b", lw=1, label="sessions")
    panel.set_ylim(bottom=0)
    _dress(panel)


def _dress(panel: Any) -> None:
    panel.grid(True, color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
