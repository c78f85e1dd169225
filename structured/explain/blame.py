"""Which restrictions are responsible for something being forbidden: a smallest set without which it is allowed.

It need not be a single keyword: ``minLength`` and ``pattern`` may each forbid the same closing quote. So what is looked
for are sets of which no member can be left out (minimal correction sets of the constraint), by taking everything away
and putting back as much as possible, half of it at once, then quarters, and so on. Sets that have no member in
common are alternatives: in an ``anyOf`` every branch has a reason of its own, and lifting any of them is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from latticework.structured import clock
from latticework.structured.explain.restrictions import Restriction

#: Whether it is allowed without these restrictions.
Allowed = Callable[[Sequence[Restriction]], bool]


@dataclass(frozen=True, slots=True)
class Blame:
    """Who is responsible.

    Attributes:
        alternatives: Without all restrictions of any one of these sets it would be allowed. Empty: nobody is, the
            text would be forbidden without any restriction.
        minimal: Whether no member of the sets can be left out. ``False``: time ran out while looking.
    """

    alternatives: tuple[tuple[Restriction, ...], ...] = ()
    minimal: bool = True


def find_blame(candidates: Sequence[Restriction], allowed: Allowed, *, most: int = 4, seconds: float = 10.0) -> Blame:
    """Up to ``most`` alternatives. Candidates that come later are blamed first."""
    deadline = clock.now() + seconds
    left = list(candidates)
    alternatives: list[tuple[Restriction, ...]] = []
    while left and len(alternatives) < most and allowed(left):
        found, minimal = _shrink(left, allowed, deadline)
        alternatives.append(tuple(found))
        if not minimal:
            return Blame(tuple(alternatives), minimal=False)
        left = [each for each in left if each not in found]
    return Blame(tuple(alternatives))


def _shrink(dropped: list[Restriction], allowed: Allowed, deadline: float) -> tuple[list[Restriction], bool]:
    """Put back what can be put back. The result is allowed whenever ``dropped`` was, whatever depends on what."""
    size = len(dropped)
    while size:
        size = (size + 1) // 2 if size > 1 else 0
        start = 0
        while size and start < len(dropped):
            if clock.now() > deadline:
                return dropped, False
            fewer = dropped[:start] + dropped[start + size :]
            if fewer and allowed(fewer):
                dropped = fewer
            else:
                start += size
    return dropped, True
