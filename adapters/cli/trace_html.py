"""A trace as one page that needs nothing else: no script runs on it, and all that comes from a model is escaped.

What is known of a token stands beside it, hidden until it is pointed at (or reached with the Tab key), and then at the
foot of the window, so that nothing on the page moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from latticework.adapters.cli.explain_words import visible
from latticework.adapters.cli.trace_words import about, about_rejected, facts, of_step, shown, totals
from latticework.plugins.trace_file import Step, Token, Trace, Written

#: Nothing is fetched from anywhere, whatever is in a text.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto 9rem; max-width: 60rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.2rem; overflow-wrap: anywhere; } h2 { font-size: 1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .1rem .9rem .1rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; } td { overflow-wrap: anywhere; }
.legend span, .answer { font-family: ui-monospace, monospace; font-size: .95rem; }
.legend { line-height: 2.1; } .legend > * { margin-right: 1.1rem; white-space: nowrap; }
.answer { background: #f8f8f6; padding: 1rem; border-radius: 4px; line-height: 2.1; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.token { padding: .15em .05em; border-bottom: 3px solid transparent; border-radius: 2px; cursor: default; }
.forced { background: #d3e5f7; } .drafted { border-bottom-color: #1b7f3b; }
.rejected { color: #b3261e; text-decoration: line-through; font-size: .8em; padding: .15em .1em; cursor: default; }
.special { color: #777; font-style: italic; }
.begins { border-left: 2px solid #bbb; padding-left: 2px; margin-left: 2px; }
[tabindex]:hover, [tabindex]:focus { outline: 2px solid #222; }
.about { display: none; position: fixed; left: 0; right: 0; bottom: 0; padding: .7rem 1rem 1rem; background: #222;
  color: #fff; z-index: 1; white-space: normal; }
.about, .about b { font: 15px/1.5 system-ui, sans-serif; text-decoration: none; font-style: normal; }
.about b { font-family: ui-monospace, monospace; background: #444; padding: .1em .4em; border-radius: 3px; }
.about i { font-style: normal; display: block; }
.about > span { display: block; max-width: 60rem; margin: auto; padding: 0 1rem; }
:hover > .about, :focus > .about { display: block; }
.hint { position: fixed; left: 0; right: 0; bottom: 0; background: #eee; color: #555; padding: .7rem 1rem; }
.hint > div { max-width: 60rem; margin: auto; padding: 0 1rem; }
#plain:checked ~ .answer .rejected { display: none; }
.times { display: flex; align-items: flex-end; height: 90px; gap: 1px; border-bottom: 1px solid #bbb; }
.times > span { flex: 1 1 0; min-width: 1px; max-width: 24px; background: #9bb8d3; }
.times > span.over { background: repeating-linear-gradient(45deg, #9bb8d3 0 4px, #d8e4ef 4px 8px); }
.times > span:hover { background: #222; }
small { color: #555; }
"""


def page(trace: Trace) -> str:
    """The page."""
    parts = [
        f"<h1>How {escape(trace.id)} was decoded</h1>",
        _rows(facts(trace)),
        "<h2>The answer</h2>",
        _legend(),
        '<input type="checkbox" id="plain"> <label for="plain">hide rejected drafts</label>',
        f'<div class="answer">{"".join(_answer(trace))}</div>',
    ]
    if trace.steps:
        parts += ["<h2>Time of each step</h2>", _times(trace)]
    parts.append('<div class="hint"><div>Point at a token, or a bar, to see all that is known of it.</div></div>')
    body = "\n".join(parts)
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>latticework trace</title><style>{_STYLE}</style>'
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _legend() -> str:
    kinds = (
        ("token forced", "forced", "the only legal token"),
        ("token drafted", "drafted", "a guess that the model accepted"),
        ("token forced drafted", "both", ""),
        ("token", "plain", "the model's own choice"),
        ("rejected", "rejected", "a guess that it did not"),
        ("token begins", "step", "a step of the engine begins"),
    )
    words = (
        f'<span><span class="{kind}">{name}</span>{f" <small>{what}</small>" if what else ""}</span>'
        for kind, name, what in kinds
    )
    return f'<p class="legend">{" ".join(words)}</p>'


def _answer(trace: Trace) -> Iterator[str]:
    """Every token in its place; what a step rejected stands where its last accepted token ends."""
    for number, step in enumerate(trace.steps, 1):
        rejected = [
            _token("rejected", shown(node), node, about_rejected(step, number, node)) for node in step.rejected
        ]
        for place, token in enumerate(step.written):
            if token.draft is None:
                yield from rejected
                rejected = []
            yield _token(_kind(token, begins=not place), _flowing(token), token, about(step, number, token))
            if b"\n" in token.raw:
                yield "\n"
        yield from rejected


def _kind(token: Written, *, begins: bool) -> str:
    marks = (
        ("forced", token.forced),
        ("drafted", token.draft is not None),
        ("special", token.name is not None),
        ("begins", begins),
    )
    return " ".join(["token", *(name for name, holds in marks if holds)])


def _token(kind: str, text: str, token: Token, phrases: Iterable[str]) -> str:
    return f'<span class="{kind}" tabindex="0">{escape(text)}{_about(shown(token), phrases)}</span>'


def _about(title: str, phrases: Iterable[str]) -> str:
    lines = "".join(f"<i>{escape(phrase)}</i>" for phrase in phrases)
    return f'<span class="about"><span><b>{escape(title)}</b>{lines}</span></span>'


def _times(trace: Trace) -> str:
    """One bar a step. The first one, which waited and read the prompt, does not set the scale."""
    scale = max((step.seconds for step in trace.steps[1:] or trace.steps), default=0.0) or 1.0
    bars = "".join(_bar(step, number, scale) for number, step in enumerate(trace.steps, 1))
    mean = totals(trace)
    note = f"{mean.steps} steps; the hatched bar is cut: it waited for its turn and read the prompt"
    over = trace.steps[0].seconds > scale
    return f'<div class="times">{bars}</div>\n<p><small>{note if over else f"{mean.steps} steps"}</small></p>'


def _bar(step: Step, number: int, scale: float) -> str:
    height = max(100 * min(step.seconds / scale, 1.0), 1.0)
    kind = ' class="over"' if step.seconds > scale else ""
    texts = " ".join(shown(token) for token in step.written)
    return f'<span{kind} style="height: {height:.1f}%">{_about(texts, [of_step(step, number)])}</span>'


def _flowing(token: Token) -> str:
    """A token in the text, with its blanks as blanks."""
    return visible(token.raw) if token.name is None and token.text is not None else shown(token)


def _rows(lines: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in lines)
    return f"<table>{rows}</table>"
