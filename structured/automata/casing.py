"""Characters that differ in case only: Unicode's simple case folding."""

from __future__ import annotations

from bisect import bisect_right
from functools import cache, lru_cache

from latticework.structured.automata.codepoints import CodePoints, normalize

#: No character from here on has a case.
_LIMIT = 0x1F000


@lru_cache(maxsize=1024)
def without_case(points: CodePoints) -> CodePoints:
    """``points`` with every character that folds to the same character as one of them."""
    members, orbits = _orbits()
    found: list[tuple[int, int]] = list(points)
    for first, last in points:
        for index in range(bisect_right(members, first - 1), bisect_right(members, last)):
            found.extend((other, other) for other in orbits[members[index]])
    return normalize(found)


@cache
def _orbits() -> tuple[list[int], dict[int, tuple[int, ...]]]:
    """The characters that share their folding with another one, rising, and with which."""
    folded: dict[str, list[int]] = {}
    for point in range(_LIMIT):
        character = chr(point)
        fold = _folded(character)
        if fold != character:
            folded.setdefault(fold, [ord(fold)]).append(point)
    orbits = {point: tuple(orbit) for orbit in folded.values() for point in orbit}
    return sorted(orbits), orbits


def _folded(character: str) -> str:
    """Simple folding: ``str.casefold`` is the full one, which may be several characters."""
    fold = character.casefold()
    if len(fold) == 1:
        return fold
    lower = character.lower()
    return lower if len(lower) == 1 else character
