"""The plots of a report: pictures that are part of a page, in the page's own colours of text, light or dark."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from latticework.plugins.ab.analysis import Comparison, Report, compare
from latticework.plugins.ab.sequences import Interval
from latticework.plugins.ab.tables import Table

#: Of arms: to be told apart on white and on black, by the colour-blind too (Okabe and Ito).
_COLOURS = ("#0b84c6", "#d55e00", "#009e73", "#b8689b", "#b58900", "#7f7f7f")
_VERDICTS = {"better": "#2a9d4e", "worse": "#e0443a", "different": "#b58900"}
#: What matplotlib is told, and the page then replaces by its own colour of text.
_INK = "#010203"
_MUTED = "#888888"
_INCHES = 9.0
#: Margins in inches.
_RIGHT, _TOP, _BOTTOM = 0.2, 0.3, 0.5

#: Ticks of a short logarithmic axis around 1, and of a very short one.
_NEAR = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 4.0, 5.0)
_NEARER = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0)
#: The part of the looks, from the first on, whose wide intervals may reach out of a plot.
_EARLY = 0.2


def forest(comparisons: Sequence[Comparison]) -> str:
    """Every ratio with its confidence sequence, on a logarithmic scale; empty: there is none to draw."""
    metrics = [list(found) for _, found in groupby(filter(_known, comparisons), lambda one: one.metric)]
    if not metrics:
        return ""
    rows = sum(len(found) + 1 for found in metrics)
    figure, axes = _axes(0.2 * rows)
    place, ticks = 0.0, []
    for found in metrics:
        axes.axhline(place, color=_MUTED, linewidth=0.5, alpha=0.4)
        for one in found:
            place -= 1
            ticks.append((place + 0.5, f"{one.what}, {one.arm}"))
            _draw_ratio(axes, place + 0.5, one)
        place -= 0.6
    axes.set_ylim(place, 0.2)
    axes.set_yticks([at for at, _ in ticks], [label for _, label in ticks], size=9)
    axes.tick_params(axis="y", length=0)
    axes.axvline(1.0, color=_MUTED, linewidth=1, linestyle="--")
    axes.set_xscale("log")
    _plain_ticks(axes.xaxis, *axes.get_xlim())
    axes.set_xlabel("ratio to control", size=9)
    return _svg(figure)


def courses(table: Table, report: Report) -> Iterator[str]:
    """How each metric's confidence sequence narrowed, a plot each."""
    looks = [(look.time, compare(look, table.control, report.design)) for look in table.looks]
    unit, name = (3600.0, "hours") if report.ended - report.began > 7200 else (60.0, "minutes")
    arms = [arm for arm in sorted(report.arms) if arm != report.control]
    for metric, what in {found.metric: found.what for found in report.comparisons}.items():
        figure, axes = _axes(1.9, left=0.6)
        ends: list[float] = [1.0]
        for arm, colour in zip(arms, _COLOURS * 2, strict=False):
            points = _points(looks, metric, arm, report.began, unit)
            _course(axes, points, arm, colour)
            for _, interval in points[int(_EARLY * len(points)) :]:
                ends += interval.low, _high(interval)
        if not axes.lines:
            continue
        axes.axhline(1.0, color=_MUTED, linewidth=1, linestyle="--")
        axes.set_yscale("log")
        axes.set_ylim(min(ends) / 1.1, max(ends) * 1.1)
        _plain_ticks(axes.yaxis, *axes.get_ylim())
        axes.set_title(f"{what}, ratio to control", loc="left", size=10, color=_INK)
        axes.set_xlabel(f"{name} since the beginning", size=9)
        above = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.98), "ncols": len(arms)}
        axes.legend(**above, frameon=False, fontsize=9, labelcolor=_INK)
        yield _svg(figure)


def _known(found: Comparison) -> bool:
    """Whether there is an interval to draw."""
    interval = found.ratio
    return interval is not None and interval.estimate > 0 and math.isfinite(interval.estimate) and interval.low > 0


def _draw_ratio(axes: Any, place: float, found: Comparison) -> None:
    assert found.ratio is not None
    colour = _VERDICTS.get(found.verdict, _MUTED)
    axes.plot([found.ratio.low, _high(found.ratio)], [place, place], color=colour, linewidth=2)
    axes.plot(found.ratio.estimate, place, "o", color=colour, markersize=5)


def _high(interval: Interval) -> float:
    """The upper end, or where the plot ends if that is far away."""
    return min(interval.high, interval.estimate * 20)


def _points(
    looks: Sequence[tuple[float, list[Comparison]]], metric: str, arm: str, began: float, unit: float
) -> list[tuple[float, Interval]]:
    return [
        ((time - began) / unit, found.ratio)
        for time, comparisons in looks
        for found in comparisons
        if (found.metric, found.arm) == (metric, arm) and _known(found) and found.ratio is not None
    ]


def _course(axes: Any, points: Sequence[tuple[float, Interval]], arm: str, colour: str) -> None:
    if not points:
        return
    times = [time for time, _ in points]
    axes.plot(times, [interval.estimate for _, interval in points], color=colour, label=arm)
    low, high = [interval.low for _, interval in points], [_high(interval) for _, interval in points]
    axes.fill_between(times, low, high, color=colour, alpha=0.18, linewidth=0)


def _axes(inches: float, left: float = 2.9) -> tuple[Figure, Any]:
    """Axes so many inches high and so far from the left, without a frame around them."""
    height = inches + _TOP + _BOTTOM
    figure = Figure(figsize=(_INCHES, height), facecolor="none")
    sides = (left / _INCHES, _BOTTOM / height, 1 - (left + _RIGHT) / _INCHES, inches / height)
    axes = figure.add_axes(sides, facecolor="none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_MUTED)
    axes.tick_params(which="both", color=_MUTED, labelcolor=_INK, labelsize=9)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    return figure, axes


def _plain_ticks(axis: Any, low: float, high: float) -> None:
    """Numbers as they are read, as many as the range of a logarithmic axis needs."""
    if high / low < 8:
        known = _NEARER if high / low < 2.5 else _NEAR
        axis.set_major_locator(FixedLocator([at for at in known if low <= at <= high]))
    else:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 200 else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
    axis.set_minor_formatter(NullFormatter())


def _svg(figure: Figure) -> str:
    """The figure as part of a page: text stays text, and takes the page's colour."""
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")
