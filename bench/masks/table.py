"""Runs as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from latticework.bench.masks.summary import Summary

COLUMNS = (
    "engine",
    "tokenizer",
    "compiled",
    "all right",
    "false accepts",
    "valid refused",
    "first mask p50 / p99",
    "token p50 / p99 / p99.9",
    "peak RSS (before)",
    "start-up",
)


def cells(summary: Summary) -> tuple[str, ...]:
    """One row: schemas are counted, times are in the units they carry."""
    lost = "".join(f", {count} {status}" for status, count in sorted(summary.lost.items()))
    return (
        f"{summary.engine} {summary.version.rpartition(' ')[2]}",
        summary.tokenizer,
        f"{summary.compiled} of {summary.schemas}{lost}",
        str(summary.right),
        str(summary.false_accepts),
        str(summary.false_refusals),
        _times(summary.first_mask_ms, "ms"),
        _times(summary.token_us, "µs"),
        f"{summary.peak_rss / 2**20:.0f} ({summary.base_rss / 2**20:.0f}) MiB",
        f"{sum(summary.start_ms) / 1e3:.1f} s",
    )


def _times(values: Sequence[float] | None, unit: str) -> str:
    return " / ".join(_number(value) for value in values) + f" {unit}" if values else "-"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
