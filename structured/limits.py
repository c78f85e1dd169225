"""What one grammar may cost, so that no client's constraint can hurt another request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

NumberT = TypeVar("NumberT", int, float)


def _limit(default: NumberT, least: NumberT, description: str) -> NumberT:
    """A field with what settings and the manual read of it: pydantic takes arguments from metadata of these names."""
    limit: NumberT = field(default=default, metadata={"ge": least, "description": description})
    return limit


@dataclass(frozen=True)
class GrammarLimits:
    """What one grammar may cost. Exceeding a limit is a :class:`~latticework.structured.errors.BudgetExceededError`.

    What is not asked ahead for want of ``ahead_...`` is no error: it is asked when a text comes to it. What a usual
    machine is says :func:`~latticework.structured.clock.slowness`.
    """

    max_source_bytes: int = _limit(512 * 1024, 1, "size of the payload as UTF-8")
    max_nesting: int = _limit(64, 1, "depth of brackets in a JSON payload, of groups in a regex")
    max_states: int = _limit(50_000, 1, "configurations that one compiled grammar may discover over its life")
    compile_seconds: float = _limit(10.0, 0.0, "wall time for compiling, checked between steps of the work")
    ahead_answers: int = _limit(
        4096, 0, "answers of the grammar asked ahead of the first token, so that masks need not wait"
    )
    ahead_seconds: float = _limit(0.06, 0.0, "processor time of a usual machine for that")
    mask_seconds: float = _limit(
        2.0, 0.0, "processor time for one mask that was not ready, so that no grammar can stall a whole batch"
    )
