"""Tallies as rows: for JSON, for the table, for the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latticework.bench.drafts.replay import Tally, total

Row = dict[str, Any]
ALL = "all"
COLUMNS = ("drafter", "shape", "budget", "category", "steps", "tokens/step", "nodes/step", "kept", "draft", "update")


def rows(drafter: str, shape: str, budget: int, tallies: Mapping[str, Tally]) -> list[Row]:
    """One row a category, that of everything (category ``all``) first.

    ``tokens_per_step`` counts the target's own token too; ``accepted_share`` is of the drafted nodes; ``draft_us`` and
    ``update_us`` are means a step, ``request_us`` a request (its begin and end).
    """
    everything = {ALL: total(tallies.values()), **tallies}
    return [_row(drafter, shape, budget, category, tally) for category, tally in everything.items()]


def cells(row: Row) -> tuple[str, ...]:
    """A row as text, for :data:`COLUMNS`."""
    return (
        row["drafter"],
        row["shape"],
        str(row["budget"]),
        row["category"],
        str(row["steps"]),
        f"{row['tokens_per_step']:.2f}",
        f"{row['nodes_per_step']:.1f}",
        f"{row['accepted_share']:.0%}",
        f"{row['draft_us']:.1f} µs",
        f"{row['update_us']:.1f} µs",
    )


def draw(found: Sequence[Row], path: Path, title: str) -> None:
    """Bars of tokens a step, a group a category, a colour a drafter. The file's ending decides the format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    categories = list(dict.fromkeys(row["category"] for row in found))
    names = list(dict.fromkeys(_name(row) for row in found))
    figure = Figure(figsize=(2 + len(categories) * (0.5 + 0.22 * len(names)), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        mine = [row for row in found if _name(row) == name]
        at = [categories.index(row["category"]) + (i + 0.5) * width - 0.4 for row in mine]
        panel.bar(at, [row["tokens_per_step"] for row in mine], width * 0.92, label=name)
    panel.axhline(1.0, color="#444444", linewidth=1)
    panel.set_xticks(range(len(categories)), categories, rotation=30, ha="right")
    panel.set_ylabel("tokens a step (1: no speculation)")
    panel.grid(True, axis="y", color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.legend(frameon=False)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def _name(row: Row) -> str:
    return f"{row['drafter']}, {row['shape']} of {row['budget']}"


def _row(drafter: str, shape: str, budget: int, category: str, tally: Tally) -> Row:
    steps = max(tally.steps, 1)
    return {
        "drafter": drafter,
        "shape": shape,
        "budget": budget,
        "category": category,
        "steps": tally.steps,
        "tokens_per_step": tally.tokens / steps,
        "nodes_per_step": tally.nodes / steps,
        "accepted_share": (tally.tokens - tally.steps) / max(tally.nodes, 1),
        "draft_us": tally.draft_ns / steps / 1e3,
        "update_us": tally.update_ns / steps / 1e3,
        "request_us": tally.request_ns / max(tally.requests, 1) / 1e3,
    }
