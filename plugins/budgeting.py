"""How many nodes a request may draft in a step, as requests and settings say it. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

#: The request option.
BUDGET_OPTION = "lw_drafter_budget"
#: As many as are expected to pay.
AUTO = "auto"
#: Largest fixed number.
MOST = 1024


def budget_of(value: Any) -> int | None:
    """A fixed number of nodes, or ``None`` for as many as pay.

    Args:
        value: ``auto``, or a whole number; a fraction that is one counts.

    Raises:
        ValueError: It is neither, or out of range; the message says what it must be.
    """
    if value == AUTO:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
        raise ValueError(f"must be {AUTO!r} or a whole number from 1 to {MOST}")
    return value
