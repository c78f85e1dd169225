"""The numbers of a run that a table shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from latticework.bench.masks.plan import Run
from latticework.bench.workers.protocol import CaseResult, Status

LOST = (Status.TIMEOUT, Status.MEMORY, Status.CRASH, Status.ERROR)


@dataclass(frozen=True, slots=True)
class Summary:
    """One engine on one tokenizer. Times are ``None`` where nothing compiled.

    Attributes:
        engine, tokenizer, version: What was measured.
        schemas: How many schemas there were.
        compiled: How many of them compiled.
        right: How many compiled and are right about every instance.
        false_accepts: How many let an invalid instance through, silently.
        false_refusals: How many blocked a valid instance, or failed on it.
        refused: How many were declined.
        lost: How many ended in an error, a time-out, a crash or too much memory, by status.
        first_mask_ms: p50 and p99 of the time to compile and to compute the first mask.
        token_us: p50, p99 and p99.9 of the time of a token.
        tokens: How many tokens were timed.
        peak_rss, base_rss: Bytes: the worker's most, and what it needed before the engine was built.
        start_ms: Wall time to start: building the engine's tables, and warming it up.
    """

    engine: str
    tokenizer: str
    version: str
    schemas: int
    compiled: int
    right: int
    false_accepts: int
    false_refusals: int
    refused: int
    lost: dict[str, int]
    first_mask_ms: tuple[float, ...] | None
    token_us: tuple[float, ...] | None
    tokens: int
    peak_rss: int
    base_rss: int
    start_ms: tuple[float, float]


def summarize(run: Run) -> Summary:
    """The numbers of one run. A percentile is a value that was measured: the least that so many do not exceed."""
    results = run.results
    compiled = [result for result in results if result.status is Status.COMPILED]
    first = [result.first_mask_ns / 1e6 for result in compiled]
    token = token_microseconds(results)
    opened = run.opened
    return Summary(
        engine=run.engine,
        tokenizer=run.tokenizer,
        version=opened.version if opened else "",
        schemas=len(results),
        compiled=len(compiled),
        right=sum(result.right for result in results),
        false_accepts=sum(result.false_accepts > 0 for result in results),
        false_refusals=sum(result.false_refusals > 0 for result in results),
        refused=sum(result.status is Status.REFUSED for result in results),
        lost=dict(Counter(result.status.value for result in results if result.status in LOST)),
        first_mask_ms=_percentiles(first, (500, 990)),
        token_us=_percentiles(token, (500, 990, 999)),
        tokens=len(token),
        peak_rss=max((result.rss for result in results), default=0),
        base_rss=opened.base_rss if opened else 0,
        start_ms=(opened.build_ms, opened.warm_up_ms) if opened else (0.0, 0.0),
    )


def token_microseconds(results: Sequence[CaseResult]) -> list[float]:
    """The times of all tokens of all results."""
    return [nanoseconds / 1e3 for result in results for nanoseconds in result.token_ns]


def refusals(run: Run) -> list[tuple[str, int, str]]:
    """Why schemas did not compile: the reason with its particulars left out, how often, and the first such schema."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for result in run.results:
        if result.status is not Status.COMPILED:
            reason = _general(f"{result.status}: {result.reason}")
            counts[reason] += 1
            first.setdefault(reason, result.name)
    return [(reason, count, first[reason]) for reason, count in counts.most_common()]


def _general(reason: str) -> str:
    """A reason without pointers, quoted particulars and numbers, so that like ones count together."""
    reason = re.sub(r"#?/[^\s:,]+", "…", reason.partition("\n")[0])
    reason = re.sub(r"\"[^\"]{24,}\"|'[^']{24,}'", "…", reason)
    return re.sub(r"\b\d+\b", "N", reason)[:120]


def _percentiles(values: Sequence[float], permille: Sequence[int]) -> tuple[float, ...] | None:
    """In whole numbers: 99.9 % of 1000 values are 999 of them, and not a rounding error more."""
    if not values:
        return None
    rising = sorted(values)
    return tuple(rising[-(-len(rising) * point // 1000) - 1] for point in permille)
