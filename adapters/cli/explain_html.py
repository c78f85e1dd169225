"""Explanations and overviews as one static page. Nothing on it runs; everything that comes from a client is escaped."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from latticework.adapters.cli.explain_report import Report
from latticework.adapters.cli.explain_text import blamed, details, facts, headline
from latticework.adapters.cli.explain_words import quoted, visible
from latticework.structured.explain import Explanation, Keyword, Overview, TokenStep
from latticework.structured.spec import GrammarKind

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.2rem; } h2 { font-size: 1rem; margin-top: 2rem; }
h1.bad { color: #b3261e; } h1.good { color: #1b7f3b; }
pre { background: #f6f6f4; padding: .8rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; border-radius: 4px; }
pre, code, td.code { font-family: ui-monospace, monospace; font-size: .9rem; }
.ok { color: #1b7f3b; } .rest { color: #999; }
.stop { background: #b3261e; color: #fff; padding: 0 .15em; border-radius: 2px; }
mark { background: #ffd9d4; outline: 1px solid #b3261e; }
table { border-collapse: collapse; } td, th { padding: .2rem .9rem .2rem 0; vertical-align: top; text-align: left; }
th { font-weight: 600; white-space: nowrap; } td.number { text-align: right; }
td { white-space: pre-wrap; overflow-wrap: anywhere; }
.token { display: inline-block; border: 1px solid #ccc; border-radius: 3px; margin: 2px; padding: 1px 5px; }
.token small { display: block; color: #555; font-size: .7rem; } .token.no { border-color: #b3261e; color: #b3261e; }
"""


def page(report: Report) -> str:
    """The page."""
    parts: list[str] = []
    if report.refusal is not None:
        parts += [f'<h1 class="bad">refused: {escape(str(report.refusal.error))}</h1>', _rows(blamed(report.blame))]
    if report.explanation is not None:
        parts.append(_explanation(report.explanation))
    if report.tokens:
        parts += ["<h2>Tokens, and how many were legal at each</h2>", _tokens(report.tokens)]
    if report.overview is not None:
        parts.append(_overview(report.overview))
    parts += ["<h2>The constraint</h2>", _constraint(report)]
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>latticework grammar explain</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _explanation(explanation: Explanation) -> str:
    stop = explanation.stop
    head = f'<h1 class="{"bad" if stop else "good"}">{escape(headline(explanation))}</h1>'
    if stop is None:
        return f'{head}\n<pre><span class="ok">{escape(_lines(explanation.text))}</span></pre>'
    start, end = stop.position, stop.position + 1
    text = explanation.text
    while 0 < start < len(text) and text[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end += 1
    here = escape(visible(text[start:end])) or "(end)"
    shown = (
        f'<span class="ok">{escape(_lines(text[:start]))}</span><span class="stop">{here}</span>'
        f'<span class="rest">{escape(_lines(text[end:]))}</span>'
    )
    return f"{head}\n<pre>{shown}</pre>\n{_rows(details(stop))}"


def _tokens(steps: Sequence[TokenStep]) -> str:
    """One box a token; the darker, the fewer tokens were legal there."""
    most = math.log2(2 + max(step.legal for step in steps))
    boxes = []
    for step in steps:
        shade = 1 - math.log2(1 + step.legal) / most
        colour = f"background: rgba(27, 108, 168, {0.05 + 0.4 * shade:.2f})"
        kind = "token" if step.allowed else "token no"
        inside = f"<code>{escape(quoted(step.text)) or '(end)'}</code><small>{step.legal}</small>"
        boxes.append(f'<span class="{kind}" style="{colour}">{inside}</span>')
    return "\n".join(boxes)


def _overview(found: Overview) -> str:
    parts = ["<h1>What was compiled</h1>", _rows(facts(found))]
    if found.places:
        head = "".join(f"<th>{name}</th>" for name in ("after", "may follow", "states", "byte classes"))
        rows = [
            f'<tr><td class="code">{escape(quoted(place.before[-60:])) or "(the beginning)"}</td>'
            f'<td class="code">{escape("   ".join(quoted(word) or "(nothing)" for word in place.words))}</td>'
            f'<td class="number">{place.states}</td><td class="number">{place.classes}</td></tr>'
            for place in found.places
        ]
        parts += ["<h2>Lexemes, where they are read</h2>", f"<table><tr>{head}</tr>{''.join(rows)}</table>"]
    return "\n".join(parts)


def _constraint(report: Report) -> str:
    """The constraint as it was given, with the keywords to blame marked."""
    spec = report.spec
    if spec.kind in (GrammarKind.JSON_SCHEMA, GrammarKind.STRUCTURAL_TAG):
        marks = {
            restriction.path
            for alternative in report.blame.alternatives
            for restriction in alternative
            if isinstance(restriction, Keyword)
        }
        return f"<pre>{_json(spec.payload, marks, (), 0)}</pre>"
    return f"<pre>{escape(spec.text)}</pre>"


def _json(value: Any, marks: set[tuple[str | int, ...]], path: tuple[str | int, ...], depth: int) -> str:
    """Indented JSON in which the values at ``marks`` are marked, with their keys where they have some."""
    pad, inner = "  " * depth, "  " * (depth + 1)
    if isinstance(value, dict) and value:
        entries = [
            _marked(f"{escape(json.dumps(key, ensure_ascii=False))}: {_json(item, marks, (*path, key), depth + 1)}",
                    (*path, key) in marks)
            for key, item in value.items()
        ]  # fmt: skip
        text = "{\n" + ",\n".join(inner + entry for entry in entries) + f"\n{pad}}}"
    elif isinstance(value, list) and value:
        items = [
            _marked(_json(item, marks, (*path, i), depth + 1), (*path, i) in marks) for i, item in enumerate(value)
        ]
        plain = not any(isinstance(item, dict | list) for item in value)
        joined = ", ".join(items) if plain else ",\n".join(inner + item for item in items)
        text = f"[{joined}]" if plain else f"[\n{joined}\n{pad}]"
    else:
        text = escape(json.dumps(value, ensure_ascii=False))
    return _marked(text, not path and () in marks)


def _marked(text: str, mark: bool) -> str:
    return f"<mark>{text}</mark>" if mark else text


def _rows(lines: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in lines)
    return f"<table>{rows}</table>"


def _lines(text: bytes) -> str:
    """Text whose line breaks stay line breaks, and of which all else is visible."""
    return "\n".join(visible(line) for line in text.split(b"\n"))
