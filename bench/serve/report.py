"""What was measured, as figures, as a table and as JSON."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latticework.bench.serve.run import Block, Measured

COLUMNS = (
    "arm",
    "answers",
    "tokens",
    "tokens/s",
    "to the first arm",
    "95 %",
    "first token p50 / p95",
    "answer p50 / p95 / p99",
    "tokens/step",
    "same text",
)
_RESAMPLES = 2000


@dataclass(frozen=True)
class Figures:
    """One arm's.

    Attributes:
        answers: Requests answered by every arm: only those count.
        failed: Requests that failed in this arm.
        tokens: Tokens of the answers.
        tokens_per_second: Of the blocks' wall time.
        ratio: ``tokens_per_second`` to the first arm's.
        ratio_low, ratio_high: 95 % bootstrap interval over blocks.
        first_seconds: Percentiles 50 and 95 of the time to the first text.
        answer_seconds: Percentiles 50, 95 and 99 of the time to the last.
        tokens_per_step: Tokens that a request gains in one of its steps; ``None`` where the engine does not say.
        same: Share of the answers whose text is the first arm's.
    """

    arm: str
    engine: str
    answers: int
    failed: int
    tokens: int
    tokens_per_second: float
    ratio: float
    ratio_low: float
    ratio_high: float
    first_seconds: tuple[float, ...]
    answer_seconds: tuple[float, ...]
    tokens_per_step: float | None
    same: float


def figures(measured: Sequence[Measured]) -> list[Figures]:
    """One entry an arm. Blocks in which a request of any arm failed are left out of all arms."""
    count = min(len(each.blocks) for each in measured)
    whole = [i for i in range(count) if not any(_failed(each.blocks[i]) for each in measured)]
    base = [measured[0].blocks[i] for i in whole]
    return [_figures(each, [each.blocks[i] for i in whole], base) for each in measured]


def cells(row: Figures) -> tuple[str, ...]:
    """A row as text, for :data:`COLUMNS`."""
    failed = f" ({row.failed} failed)" if row.failed else ""
    return (
        row.arm,
        f"{row.answers}{failed}",
        str(row.tokens),
        f"{row.tokens_per_second:.1f}",
        f"x {row.ratio:.2f}",
        f"{row.ratio_low:.2f} to {row.ratio_high:.2f}",
        f"{_milliseconds(row.first_seconds)} ms",
        f"{_milliseconds(row.answer_seconds)} ms",
        "" if row.tokens_per_step is None else f"{row.tokens_per_step:.2f}",
        f"{row.same:.0%}",
    )


def document(measured: Sequence[Measured], settings: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """Everything, for JSON: the settings, a row an arm, and every answer's figures without its text."""
    blocks = {
        each.arm.name: [
            {
                "seconds": block.seconds,
                "engine_tokens": block.tokens,
                "engine_steps": block.steps,
                "answers": [
                    {name: value for name, value in asdict(answer).items() if name != "text"}
                    for answer in block.answers
                ],
            }
            for block in each.blocks
        ]
        for each in measured
    }
    rows = [asdict(row) for row in figures(measured)]
    return {"settings": settings, "whole": whole, "rows": rows, "blocks": blocks}


def ratio_spread(tokens: Sequence[tuple[float, float]], seconds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The 95 % interval of the ratio of two arms' tokens a second, by resampling blocks.

    Args:
        tokens: Of each block: the arm's, the first arm's.
        seconds: The same.
    """
    if not tokens:
        return 0.0, 0.0
    generator = random.Random(0)
    pairs = np.concatenate((np.array(tokens, float), np.array(seconds, float)), axis=1)  # [blocks, 4]
    sums = np.stack([pairs[generator.choices(range(len(pairs)), k=len(pairs))].sum(0) for _ in range(_RESAMPLES)])
    ratios = (sums[:, 0] / sums[:, 2]) / (sums[:, 1] / sums[:, 3])
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(low), float(high)


def _figures(each: Measured, blocks: list[Block], base: list[Block]) -> Figures:
    answers = [answer for block in blocks for answer in block.answers]
    others = [answer for block in base for answer in block.answers]
    tokens, others_tokens = [_tokens(block) for block in blocks], [_tokens(block) for block in base]
    seconds, others_seconds = [block.seconds for block in blocks], [block.seconds for block in base]
    low, high = ratio_spread(
        list(zip(tokens, others_tokens, strict=True)), list(zip(seconds, others_seconds, strict=True))
    )
    steps = sum(block.steps for block in blocks)
    speed = sum(tokens) / max(sum(seconds), 1e-9)
    return Figures(
        arm=each.arm.name,
        engine=each.engine,
        answers=len(answers),
        failed=sum(_failed(block) for block in each.blocks),
        tokens=sum(tokens),
        tokens_per_second=speed,
        ratio=speed / max(sum(others_tokens) / max(sum(others_seconds), 1e-9), 1e-9),
        ratio_low=low,
        ratio_high=high,
        first_seconds=_percentiles([answer.first for answer in answers], (50, 95)),
        answer_seconds=_percentiles([answer.seconds for answer in answers], (50, 95, 99)),
        tokens_per_step=sum(block.tokens for block in blocks) / steps if steps else None,
        same=float(np.mean([a.text == b.text for a, b in zip(answers, others, strict=True)])) if answers else 0.0,
    )


def _failed(block: Block) -> int:
    return sum(bool(answer.error) for answer in block.answers)


def _tokens(block: Block) -> int:
    return sum(answer.tokens for answer in block.answers)


def _percentiles(values: list[float], which: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(np.percentile(values, which).tolist()) if values else (0.0,) * len(which)


def _milliseconds(seconds: tuple[float, ...]) -> str:
    return " / ".join(f"{1e3 * value:.0f}" for value in seconds)
