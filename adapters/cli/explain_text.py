"""Explanations and overviews for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from latticework.adapters.cli.explain_report import Report
from latticework.adapters.cli.explain_words import allowed_words, excerpt, line_and_column, quoted
from latticework.structured.explain import Blame, Explanation, Overview, Reason, Stop, TokenStep, meaning
from latticework.structured.json_options import JsonOptions
from latticework.structured.spec import GrammarKind, GrammarSpec

REASONS = {
    Reason.SCHEMA: "the schema forbids it, but no single keyword could be found that does",
    Reason.INCOMPLETE: "nothing is wrong so far, but the text cannot end here",
    Reason.COMPLETE: "the text is complete before this, and nothing may follow",
    Reason.REPEATED_KEY: "the object has this key already",
    Reason.SYNTAX: "no JSON document goes on like this",
    Reason.LANGUAGE: "the language has no text that begins like this",
}


def headline(explanation: Explanation) -> str:
    """What became of the text, in one line."""
    stop = explanation.stop
    if stop is None:
        return f"allowed: all {len(explanation.text)} bytes, and the end after them"
    character, line, column = line_and_column(explanation.text, stop.position)
    where = f"byte {stop.position}, character {character}, line {line}, column {column}"
    return f"not allowed: {'the end' if stop.position == len(explanation.text) else 'what stands'} at {where}"


def print_report(console: Console, report: Report) -> None:
    """Whatever was found."""
    if report.refusal is not None:
        console.print(f"refused: {report.refusal.error}", style="red", markup=False, highlight=False)
        console.print(_labelled(blamed(report.refusal.blame)))
    if report.explanation is not None:
        print_explanation(console, report.explanation)
    if report.overview is not None:
        print_overview(console, report.overview)
    if report.tokens:
        console.print()
        print_tokens(console, report.tokens)


def print_explanation(console: Console, explanation: Explanation) -> None:
    """Where, what was allowed, and why."""
    stop = explanation.stop
    console.print(headline(explanation), style="green" if stop is None else "red", highlight=False)
    if stop is None:
        return
    before, here, after = excerpt(explanation.text, stop.position)
    line = Text("  ").append(before, "green").append(here, "bold red").append(after, "dim")
    console.print()
    console.print(line, no_wrap=True, overflow="ellipsis")
    console.print(" " * (2 + cell_len(before)) + "^", style="red")
    console.print(_labelled(details(stop)))


def details(stop: Stop) -> list[tuple[str, str]]:
    """What was allowed and why the text was not, as labelled lines."""
    lines = [("allowed here", allowed_words(stop.allowed, stop.may_end))]
    if stop.examples:
        lines.append(("for example", "   ".join(map(quoted, stop.examples))))
    return lines + because(stop)


def because(stop: Stop) -> list[tuple[str, str]]:
    """The reason as labelled lines."""
    if stop.reason is not Reason.RESTRICTION:
        return [("because", REASONS[stop.reason])]
    return blamed(stop.blame)


def blamed(blame: Blame) -> list[tuple[str, str]]:
    """The restrictions to blame as labelled lines: ``and`` within an alternative, ``or`` between them."""
    lines = []
    for number, alternative in enumerate(blame.alternatives):
        for index, restriction in enumerate(alternative):
            label = "and" if index else "or" if number else "because"
            lines.append((label, f"{meaning(restriction)}\n  {restriction.pointer}"))
    if len(blame.alternatives) > 1:
        lines.append(("", "lifting any one of these is enough"))
    if not blame.minimal:
        lines.append(("", "time ran out: some of these may not be needed"))
    return lines


def print_tokens(console: Console, steps: Sequence[TokenStep]) -> None:
    """The tokens, and how many were legal at each."""
    table = Table(box=None, pad_edge=False, title="tokens", title_justify="left", title_style="bold")
    for column in ("token", "writes", "legal here", ""):
        table.add_column(column, justify="right" if column in ("token", "legal here") else "left")
    for step in steps:
        mark = "" if step.allowed else "[red]not allowed[/red]"
        mark = "[green]forced[/green]" if step.allowed and step.legal == 1 else mark
        table.add_row(str(step.token_id), escape(quoted(step.text)) or "(end)", str(step.legal), mark)
    console.print(table)


def print_overview(console: Console, found: Overview) -> None:
    """What was compiled."""
    console.print(_labelled(facts(found)))
    if not found.places:
        return
    console.print()
    rows = Table(box=None, pad_edge=False)
    rows.add_column("after", overflow="fold", ratio=3)
    rows.add_column("may follow", overflow="fold", ratio=3)
    rows.add_column("states", justify="right")
    rows.add_column("byte classes", justify="right")
    for place in found.places:
        words = "   ".join(quoted(word) or "(nothing)" for word in place.words)
        rows.add_row(escape(quoted(place.before[-40:])), escape(words), str(place.states), str(place.classes))
    console.print(rows)


def facts(found: Overview) -> list[tuple[str, str]]:
    """An overview as labelled lines."""
    spec = found.spec
    lines = [("constraint", f"{spec.kind}{_options(spec)}")]
    if found.keywords:
        counted = (f"{name} x {count}" if count > 1 else name for name, count in found.keywords)
        lines.append(("keywords", ", ".join(counted)))
    lines.append(("begins with", allowed_words(found.allowed, False)))
    if found.forced:
        lines.append(("always begins", quoted(found.forced)))
    if found.examples:
        lines.append(("for example", "   ".join(map(quoted, found.examples))))
    atleast = "" if found.whole else "at least "
    if found.tables:
        places = f"{atleast}{len(found.places)} places"
        lines.append(("compiled to", f"{atleast}{found.tables} lexeme tables, read at {places}"))
    else:
        lines.append(("compiled to", f"an automaton of {atleast}{found.states} states"))
    return lines


def _labelled(lines: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for label, text in lines:
        table.add_row(label, escape(text))
    return table


def _options(spec: GrammarSpec) -> str:
    if spec.kind not in (GrammarKind.JSON_SCHEMA, GrammarKind.JSON_OBJECT):
        return ""
    options: JsonOptions = spec.options
    formats = "asserted" if options.assert_formats else "an annotation"
    return f", keys in {options.order} order, layout {options.whitespace}, format {formats}"
