"""A report of an experiment as one page: nothing on it runs or is loaded, the plots are part of it."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from latticework.adapters.cli.ab_text import headline, ratio, remaining, value
from latticework.plugins.ab.analysis import Comparison, Report, compare
from latticework.plugins.ab.tables import Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.2rem; } h2 { font-size: 1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; text-align: left; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid #ccc; } td.number { text-align: right; }
tr.first td { border-top: 1px solid #eee; } p.bad { background: #b3261e; color: #fff; padding: .4rem .8rem; }
.better { color: #1b7f3b; } .worse { color: #b3261e; } .different { color: #9a6700; } .note { color: #555; }
svg { max-width: 100%; height: auto; }
"""
_COLOURS = ("#2f5d9b", "#c46a1b", "#4b8b3b", "#8b4b8b", "#777777")


def page(table: Table, report: Report) -> str:
    """The page.

    Args:
        table: The experiment, look by look.
        report: What can be said at the last one.
    """
    body = [f"<h1>{escape(headline(report))}</h1>"]
    if report.mismatched:
        body.append(
            f'<p class="bad">Sample-ratio mismatch (p = {report.mismatch:.2g}): the arms got other parts of the '
            "traffic than planned. Do not trust anything below.</p>"
        )
    body += [_arms(report), f"<p>{escape(remaining(report))}.</p>"]
    body += ["<h2>Ratios to control, with intervals that hold at every look</h2>", _forest(report.comparisons)]
    body += ["<h2>All metrics</h2>", _metrics(report.comparisons)]
    body += ["<h2>Look by look</h2>", *_courses(table, report)]
    body += [f'<p class="note">{escape(note)}</p>' for note in report.notes]
    head = f'<meta charset="utf-8"><title>latticework ab report</title><style>{_STYLE}</style>'
    whole = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{whole}\n</body></html>\n'


def _arms(report: Report) -> str:
    whole = sum(units for _, units, _ in report.arms.values()) or 1.0
    rows = [
        (escape(arm), f"{requests:.0f}", f"{units:.0f}", f"{units / whole:.1%}", f"{share:.1%}")
        for arm, (requests, units, share) in sorted(report.arms.items())
    ]
    return _rows(("arm", "requests", "units", "share", "planned"), [(row, "") for row in rows])


def _metrics(comparisons: Sequence[Comparison]) -> str:
    rows = []
    for _, found in groupby(comparisons, lambda one: one.metric):
        for place, one in enumerate(found):
            compared = ("", "") if one.ratio is None else ratio(one.ratio)
            p = "" if one.p is None else ("&lt;0.001" if one.p < 0.001 else f"{one.p:.3f}")
            least = "" if one.detectable is None or math.isinf(one.detectable) else f"{one.detectable:.1%}"
            verdict = f'<span class="{one.verdict}">{one.verdict}</span>'
            what = escape(one.what) if place == 0 else ""
            cells = (what, escape(one.arm), f"{one.count:.0f}", value(one), *compared, p, least, verdict)
            rows.append((cells, "first" if place == 0 else ""))
    names = ("metric", "arm", "units", "value", "ratio", "always valid", "p", "could detect", "")
    return _rows(names, rows)


def _rows(names: Iterable[str], rows: Iterable[tuple[Sequence[str], str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in names)
    lines = [f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for cells, kind in rows]
    return f"<table><tr>{head}</tr>\n" + "\n".join(lines) + "</table>"


def _known(found: Comparison) -> bool:
    """Whether there is an interval to draw."""
    interval = found.ratio
    return interval is not None and interval.estimate > 0 and math.isfinite(interval.estimate) and interval.low > 0


def _forest(comparisons: Sequence[Comparison]) -> str:
    """Every ratio with its confidence sequence, on a logarithmic scale."""
    drawn = [found for found in comparisons if _known(found)]
    if not drawn:
        return "<p>There are too few requests to compare anything.</p>"
    figure = Figure(figsize=(9, 0.6 + 0.32 * len(drawn)), layout="constrained")
    axes = figure.subplots()
    for place, found in enumerate(reversed(drawn)):
        assert found.ratio is not None
        colour = {"better": "#1b7f3b", "worse": "#b3261e"}.get(found.verdict, "#555555")
        high = min(found.ratio.high, found.ratio.estimate * 100)
        axes.plot([found.ratio.low, high], [place, place], color=colour, linewidth=2)
        axes.plot(found.ratio.estimate, place, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(drawn)), [f"{found.what}, {found.arm}" for found in reversed(drawn)])
    axes.axvline(1.0, color="#999999", linewidth=1, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlabel("ratio to control")
    _plain_ticks(axes.xaxis)
    return _svg(figure)


def _courses(table: Table, report: Report) -> Iterable[str]:
    """How each metric's confidence sequence narrowed."""
    looks = [(look.time, compare(look, table.control, report.design)) for look in table.looks]
    began = report.began
    hours = report.ended - began > 7200
    metrics = list(dict.fromkeys(found.metric for found in report.comparisons))
    for metric in metrics:
        figure = Figure(figsize=(9, 2.6), layout="constrained")
        axes = figure.subplots()
        arms = [arm for arm in sorted(report.arms) if arm != report.control]
        drawn = [
            _course(axes, looks, metric, arm, colour, began) for arm, colour in zip(arms, _COLOURS * 2, strict=False)
        ]
        if not any(drawn):
            continue
        axes.axhline(1.0, color="#999999", linewidth=1, linestyle="--")
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
        axes.set_title(next(found.what for found in report.comparisons if found.metric == metric), loc="left", size=10)
        axes.set_xlabel("hours since the beginning" if hours else "minutes since the beginning")
        axes.xaxis.set_major_formatter(lambda at, _: f"{at / (3600 if hours else 60):g}")
        axes.legend(loc="upper right", frameon=False, fontsize=8)
        yield _svg(figure)


def _course(
    axes: Any, looks: Sequence[tuple[float, list[Comparison]]], metric: str, arm: str, colour: str, began: float
) -> bool:
    points = [
        (time - began, found.ratio)
        for time, comparisons in looks
        for found in comparisons
        if (found.metric, found.arm) == (metric, arm) and _known(found) and found.ratio is not None
    ]
    if not points:
        return False
    times = [time for time, _ in points]
    top = [min(interval.high, interval.estimate * 20) for _, interval in points]
    axes.plot(times, [interval.estimate for _, interval in points], color=colour, label=arm)
    axes.fill_between(times, [interval.low for _, interval in points], top, color=colour, alpha=0.2, linewidth=0)
    return True


def _plain_ticks(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda at, _: ""))


def _svg(figure: Figure) -> str:
    """The figure as part of a page: text stays text."""
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(file, format="svg")
    text = file.getvalue()
    return text[text.index("<svg") :]
