"""A trace for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from latticework.adapters.cli.explain_words import visible
from latticework.adapters.cli.trace_words import duration, facts, shown
from latticework.plugins.trace_file import Step, Trace, Written

FORCED, DRAFTED, BOTH, REJECTED = "bold blue", "green", "bold cyan", "red strike"


def print_trace(console: Console, trace: Trace, *, steps: bool) -> None:
    """What is known of the request, its answer in colour, and what each step did."""
    labels = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    labels.add_column(no_wrap=True, style="bold")
    labels.add_column(overflow="fold")
    for label, text in facts(trace):
        labels.add_row(label, escape(text))
    console.print(labels)
    console.print()
    legend = Text("forced", FORCED).append(" · ", "dim").append("drafted", DRAFTED).append(" · ", "dim")
    console.print(legend.append("both", BOTH).append(" · ", "dim").append("rejected", REJECTED).append(" · plain", ""))
    console.print()
    answer = Text()
    for token in trace.written:
        answer.append(_flowing(token), _style(token))
    console.print(answer, soft_wrap=True)
    if steps and trace.steps:
        console.print()
        console.print(_steps(trace))


def _steps(trace: Trace) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("step", justify="right")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("written", overflow="fold", ratio=3)
    table.add_column("legal there", overflow="fold", ratio=1)
    table.add_column("rejected", overflow="fold", ratio=1)
    for number, step in enumerate(trace.steps, 1):
        legal = " ".join("–" if token.legal is None else str(token.legal) for token in step.written)
        table.add_row(str(number), duration(step.seconds), _written(step), legal, _rejected(step))
    return table


def _written(step: Step) -> Text:
    return Text(" ").join(Text(shown(token), _style(token)) for token in step.written)


def _rejected(step: Step) -> Text:
    return Text(" ").join(Text(shown(node), REJECTED) for node in step.rejected)


def _style(token: Written) -> str:
    if token.draft is not None:
        return BOTH if token.forced else DRAFTED
    return FORCED if token.forced else ""


def _flowing(token: Written) -> str:
    """A token as it reads in the text: line breaks break lines, and nothing reaches the terminal as a command."""
    if token.name is not None or token.text is None:
        return shown(token)
    return "\n".join(map(visible, token.raw.split(b"\n")))
