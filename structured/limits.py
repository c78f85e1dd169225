"""What one grammar may cost, so that no client's constraint can hurt another request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GrammarLimits:
    """What one grammar may cost. Exceeding a limit is a :class:`~latticework.structured.errors.BudgetExceededError`.

    Attributes:
        max_source_bytes: Size of the payload as UTF-8.
        max_nesting: Depth of brackets in a JSON payload, of groups in a regex.
        max_states: Configurations that one compiled grammar may discover over its life.
        compile_seconds: Wall time for compiling, checked between steps of the work.
        ahead_answers, ahead_seconds: How much is asked ahead of the first token, so that later masks need not wait:
            answers of the grammar, and processor time of a usual machine (:func:`~.clock.slowness`). No error: what was
            not asked then is when a text comes to it.
        mask_seconds: Processor time for one mask that was not ready, so that no grammar can stall a whole batch.
    """

    max_source_bytes: int = 512 * 1024
    max_nesting: int = 64
    max_states: int = 50_000
    compile_seconds: float = 10.0
    ahead_answers: int = 4096
    ahead_seconds: float = 0.06
    mask_seconds: float = 2.0
