"""A report of an experiment as one page: nothing on it runs or is loaded, the plots are part of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

from latticework.adapters.cli.ab_plots import courses, forest
from latticework.adapters.cli.ab_text import headline, ratio, remaining, value
from latticework.plugins.ab.analysis import Comparison, Report
from latticework.plugins.ab.tables import Table

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; --note: #5a5a5a;
  --better: #1b7f3b; --worse: #b3261e; --different: #8a5c00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e4e4; --paper: #16181b; --line: #3a3d42; --note: #a8a8a8;
  --better: #5fce85; --worse: #ff8a80; --different: #e6b94d; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.4rem; margin-bottom: 0; } h2 { font-size: 1.05rem; margin-top: 2.2rem; }
h1 + p { margin-top: .2rem; }
.wide { overflow-x: auto; } .wide svg { display: block; width: 100%; min-width: 38rem; height: auto; }
table { border-collapse: collapse; } td, th { padding: .2rem 1.1rem .2rem 0; text-align: left; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.first td { border-top: 1px solid var(--line); }
p.bad { background: #b3261e; color: #fff; padding: .4rem .8rem; }
.better { color: var(--better); } .worse { color: var(--worse); } .different { color: var(--different); }
.note { color: var(--note); }
"""
#: A column: its name, and whether it holds numbers.
Column = tuple[str, bool]


def page(table: Table, report: Report) -> str:
    """The page.

    Args:
        table: The experiment, look by look.
        report: What can be said at the last one.
    """
    about, when = headline(report).split(": ", 1)
    body = [f"<h1>{escape(about)}</h1>", f'<p class="note">{escape(when)}</p>']
    if report.mismatched:
        body.append(
            f'<p class="bad">Sample-ratio mismatch (p = {report.mismatch:.2g}): the arms got other parts of the '
            "traffic than planned. Do not trust anything below.</p>"
        )
    body += [_verdicts(report), _arms(report), f"<p>{escape(remaining(report))}.</p>"]
    body += ["<h2>Ratios to control, with intervals that hold at every look</h2>", _ratios(report.comparisons)]
    body += ["<h2>All metrics</h2>", *_notes(report), _metrics(report.comparisons)]
    body += ["<h2>Look by look</h2>", *(f'<div class="wide">{plot}</div>' for plot in courses(table, report))]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(about)}</title><style>{_STYLE}</style>"
    )
    whole = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{whole}\n</body></html>\n'


def _verdicts(report: Report) -> str:
    """What each arm is better and worse in: the first thing to be read."""
    lines = []
    for arm in sorted(set(report.arms) - {report.control}):
        found = [one for one in report.comparisons if one.arm == arm and one.verdict and one.ratio is not None]
        told = [
            f'<span class="{one.verdict}">{one.verdict}</span> in {escape(one.what)} (×&nbsp;{ratio(one.ratio)[0]})'
            for one in found
            if one.ratio is not None
        ]
        lines.append(f"<li><b>{escape(arm)}</b>: {', '.join(told) or 'no difference shown so far'}</li>")
    return f"<ul>{''.join(lines)}</ul>"


def _notes(report: Report) -> Iterable[str]:
    notes = list(report.notes)
    if report.unit != "request":
        notes.append(f"One is a {report.unit}: rates are shares of those to whom it has happened at least once.")
    return (f'<p class="note">{escape(note)}</p>' for note in notes)


def _ratios(comparisons: Sequence[Comparison]) -> str:
    plot = forest(comparisons)
    if not plot:
        return "<p>There are too few requests to compare anything.</p>"
    key = (
        '<p class="note"><span class="better">Green: better</span>, <span class="worse">red: worse</span>, '
        '<span class="different">yellow: different</span>, grey: no difference shown so far.</p>'
    )
    return f'{key}<div class="wide">{plot}</div>'


def _arms(report: Report) -> str:
    whole = sum(units for _, units, _ in report.arms.values()) or 1.0
    rows = [
        (escape(arm), f"{requests:.0f}", f"{units:.0f}", f"{units / whole:.1%}", f"{share:.1%}")
        for arm, (requests, units, share) in sorted(report.arms.items())
    ]
    names = (("arm", False), ("requests", True), ("units", True), ("share", True), ("planned", True))
    return _rows(names, [(row, "") for row in rows])


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
    names = (
        *(("metric", False), ("arm", False), ("units", True), ("value", True), ("ratio", True)),
        *(("always valid", False), ("p", True), ("could detect", True), ("", False)),
    )
    return _rows(names, rows)


def _rows(columns: Sequence[Column], rows: Iterable[tuple[Sequence[str], str]]) -> str:
    """A table that may be wider than the page."""
    kinds = [' class="number"' if numbers else "" for _, numbers in columns]
    head = "".join(f"<th{kind}>{name}</th>" for (name, _), kind in zip(columns, kinds, strict=True))
    lines = [
        f'<tr class="{first}">'
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(cells, kinds, strict=True))
        + "</tr>"
        for cells, first in rows
    ]
    return f'<div class="wide"><table><tr>{head}</tr>\n' + "\n".join(lines) + "</table></div>"
