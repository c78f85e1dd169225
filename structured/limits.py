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
        mask_seconds: Wall time for one mask that was not ready, so that no grammar can stall a whole batch.
        mask_bytes: Memory for the ready masks of one compiled grammar; the least recently used go first.
    """

    max_source_bytes: int = 512 * 1024
    max_nesting: int = 64
    max_states: int = 50_000
    compile_seconds: float = 10.0
    mask_seconds: float = 2.0
    mask_bytes: int = 64 * 1024 * 1024
