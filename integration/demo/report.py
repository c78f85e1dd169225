"""What the demo shows: a table in the terminal, a picture, and a page with every answer."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from integration.demo.run import Measurement

_COLOURS = ("#9aa5b1", "#2f6f8f", "#c46a2d")


def rows(results: Sequence[Measurement], arms: Sequence[str]) -> list[tuple[str, str, list[Measurement]]]:
    """``(kind, arm, measurements)`` in the order of the table."""
    kinds = list(dict.fromkeys(result.kind for result in results))
    return [(kind, arm, [r for r in results if r.kind == kind and r.arm == arm]) for kind in kinds for arm in arms]


def tokens_per_second(group: Sequence[Measurement]) -> float:
    """All tokens of the group over all its seconds."""
    return sum(r.tokens for r in group) / sum(r.seconds for r in group)


def tokens_per_step(group: Sequence[Measurement]) -> float | None:
    """All tokens over all forward passes; ``None`` where an answer was more than one request."""
    if any(r.steps is None for r in group):
        return None
    return sum(r.tokens for r in group) / max(1, sum(r.steps or 0 for r in group))


def forced_share(group: Sequence[Measurement]) -> float | None:
    """Share of the tokens that the constraint forced; ``None`` for free text."""
    if any(r.forced is None for r in group):
        return None
    return sum((r.forced or 0.0) * r.tokens for r in group) / max(1, sum(r.tokens for r in group))


def _cells(group: Sequence[Measurement]) -> list[str]:
    step, share = tokens_per_step(group), forced_share(group)
    return [
        f"{sum(r.error is None for r in group)}/{len(group)}",
        str(sum(r.tokens for r in group)),
        f"{tokens_per_second(group):.1f}",
        "–" if step is None else f"{step:.2f}",
        "–" if share is None else f"{share:.0%}",
    ]


_HEADINGS = ("task", "arm", "valid", "tokens", "tokens/s", "tokens/step", "forced")


def print_table(results: Sequence[Measurement], arms: Sequence[str], console: Console) -> None:
    """The comparison, a line per kind of task and arm, and what went wrong."""
    table = Table(*_HEADINGS[:2], title="The same requests, greedy, one at a time")
    for heading in _HEADINGS[2:]:
        table.add_column(heading, justify="right")
    for index, (kind, arm, group) in enumerate(rows(results, arms)):
        first = index % len(arms) == 0
        table.add_row(kind if first else "", arm, *_cells(group), end_section=(index + 1) % len(arms) == 0)
    for arm in arms:
        table.add_row("all but extras", arm, *_cells([r for r in results if r.arm == arm and _comparable(r)]))
    console.print(table)
    for result in results:
        if result.error:
            console.print(f"{result.arm}, {result.kind}: {result.error}: {result.text[:100]!r}", markup=False)


def _comparable(result: Measurement) -> bool:
    """Whether both arms did the same work: constrained, and without an option that only one arm has."""
    return result.forced is not None and result.kind != "best of 4"


def write_picture(results: Sequence[Measurement], arms: Sequence[str], path: Path, machine: str) -> Path:
    """Tokens per second and tokens per step by kind of task, one bar an arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = list(dict.fromkeys(result.kind for result in results))
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    panels = (("tokens per second", tokens_per_second), ("tokens per forward pass", tokens_per_step))
    width = 0.8 / len(arms)
    for axis, (title, value) in zip(axes, panels, strict=True):
        for i, arm in enumerate(arms):
            heights = [value([r for r in results if r.kind == kind and r.arm == arm]) or 0.0 for kind in kinds]
            places = [k + i * width for k in range(len(kinds))]
            bars = axis.bar(places, heights, width, label=arm, color=_COLOURS[i])
            labels = [f"{height:.0f}" if height >= 10 else f"{height:.1f}" if height else "–" for height in heights]
            axis.bar_label(bars, labels, fontsize=7)
        axis.set_xticks([k + width * (len(arms) - 1) / 2 for k in range(len(kinds))], kinds, rotation=25, ha="right")
        axis.set_title(title)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.supxlabel(machine, fontsize=8)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    return path


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{border-bottom:1px solid #ddd;padding:.3rem .6rem;
text-align:left;vertical-align:top}td.n{text-align:right}code{white-space:pre-wrap;font-size:13px}
img{max-width:100%}.bad{color:#b00020}"""


def write_html(results: Sequence[Measurement], arms: Sequence[str], picture: Path, path: Path, machine: str) -> Path:
    """One self-contained page: the picture, the table, and every answer of every arm."""
    image = base64.b64encode(picture.read_bytes()).decode()
    head = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    body = "".join(
        f"<tr><td>{kind}</td><td>{arm}</td>{''.join(f'<td class=n>{cell}</td>' for cell in _cells(group))}</tr>"
        for kind, arm, group in rows(results, arms)
    )
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>latticework demo</title><style>{_STYLE}</style>"
        f"<h1>latticework beside the stock engine</h1><p>{html.escape(machine)}</p>"
        f'<img alt="tokens per second and per forward pass" src="data:image/png;base64,{image}">'
        f"<table><tr>{head}</tr>{body}</table><h2>Every answer</h2>{_answers(results, arms)}</html>",
        encoding="utf-8",
    )
    return path


def _answers(results: Sequence[Measurement], arms: Sequence[str]) -> str:
    by_task: dict[tuple[str, str], dict[str, Measurement]] = {}
    for result in results:
        by_task.setdefault((result.kind, result.prompt), {})[result.arm] = result
    head = "".join(f"<th>{html.escape(arm)}</th>" for arm in arms)
    lines = [f"<table><tr><th>task</th><th>prompt</th>{head}</tr>"]
    for (kind, prompt), answers in by_task.items():
        cells = "".join(_answer(answers[arm]) for arm in arms)
        lines.append(f"<tr><td>{kind}</td><td><code>{html.escape(prompt)}</code></td>{cells}</tr>")
    return "".join(lines) + "</table>"


def _answer(result: Measurement) -> str:
    wrong = f"<br><span class=bad>{html.escape(result.error)}</span>" if result.error else ""
    return f"<td><code>{html.escape(result.text)}</code>{wrong}</td>"
