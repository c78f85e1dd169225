"""The metrics reference, docs/metrics.md, written from the code, and which metrics a text names.

``python -m integration.metrics_page`` writes the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from integration.capabilities import ROOT
from latticework.plugins import metrics

PAGE = ROOT / "docs" / "metrics.md"
MONITORING = ROOT / "docs" / "monitoring"

_AREAS = {
    "Grammars and masks": ("grammar", "mask", "lexeme"),
    "Drafts": ("draft", "forced", "matcher"),
    "Processors and search": ("processor", "search"),
    "Experiments": ("ab_",),
    "Settings, the request log, traces": ("settings", "request_log", "traces"),
    "Process": ("errors", "sessions"),
}
_TYPES = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def all_metrics() -> list[MetricWrapperBase]:
    """Every metric of latticework."""
    return [found for found in vars(metrics).values() if isinstance(found, MetricWrapperBase)]


def name_of(metric: MetricWrapperBase) -> str:
    """As it stands on ``/metrics``; a histogram without its suffixes."""
    return f"{metric._name}_total" if isinstance(metric, Counter) else metric._name


def sample_names() -> set[str]:
    """The names that can be asked for."""
    names = set()
    for metric in all_metrics():
        suffixes = ("_bucket", "_sum", "_count") if isinstance(metric, Histogram) else ("",)
        names |= {name_of(metric) + suffix for suffix in suffixes}
    return names


def labels_by_sample() -> dict[str, set[str]]:
    """The labels of each."""
    found = {}
    for metric in all_metrics():
        for name in sample_names():
            if name.startswith(name_of(metric)) and name.removeprefix(name_of(metric)) in (
                "",
                "_bucket",
                "_sum",
                "_count",
            ):
                found[name] = {*metric._labelnames, *(["le"] if isinstance(metric, Histogram) else [])}
    return found


def named_in(text: str) -> set[str]:
    """The metrics of latticework that a text asks for."""
    return set(re.findall(r"\blatticework_[a-z_]+\b", text))


def page() -> str:
    """The page."""
    template = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    return template.replace("{tables}", "\n".join(_tables()).strip())


def _tables() -> Iterator[str]:
    left = {metric._name.removeprefix("latticework_"): metric for metric in all_metrics()}
    for area, prefixes in _AREAS.items():
        yield from ("", f"## {area}", "", "| metric | kind | labels | what |", "|---|---|---|---|")
        for name in [name for name in left if name.startswith(prefixes)]:
            metric = left.pop(name)
            labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "–"
            yield f"| `{name_of(metric)}` | {_TYPES[type(metric)]} | {labels} | {metric._documentation} |"
    if left:
        raise ValueError(f"metrics without an area: {', '.join(left)}")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} written\n")
