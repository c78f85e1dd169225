"""Sets of Unicode code points, as sorted disjoint ranges, and their UTF-8 spelling as ranges of bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

#: Inclusive ``(first, last)`` code points, sorted, disjoint and not adjacent.
CodePoints = tuple[tuple[int, int], ...]
#: One inclusive byte range a position.
ByteRanges = tuple[tuple[int, int], ...]

_SURROGATES = (0xD800, 0xDFFF)


def normalize(ranges: Iterable[tuple[int, int]]) -> CodePoints:
    """Sort and merge ranges; surrogates are dropped, because no UTF-8 text can contain them."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    low, high = _SURROGATES
    split = [
        (max(first, start), min(last, stop))
        for first, last in merged
        for start, stop in ((0, low - 1), (high + 1, sys.maxunicode))
    ]
    return tuple((first, last) for first, last in split if first <= last)


def complement(points: CodePoints) -> CodePoints:
    """Every character that is not in ``points``."""
    gaps = []
    start = 0
    for first, last in points:
        gaps.append((start, first - 1))
        start = last + 1
    gaps.append((start, sys.maxunicode))
    return normalize((first, last) for first, last in gaps if first <= last)


ANY = normalize([(0, sys.maxunicode)])
DIGIT = ((ord("0"), ord("9")),)
WORD = normalize([(ord("0"), ord("9")), (ord("A"), ord("Z")), (ord("a"), ord("z")), (ord("_"), ord("_"))])
#: ECMA-262 WhiteSpace and LineTerminator.
SPACE = normalize(
    [
        (0x09, 0x0D),
        (0x20, 0x20),
        (0xA0, 0xA0),
        (0x1680, 0x1680),
        (0x2000, 0x200A),
        (0x2028, 0x2029),
        (0x202F, 0x202F),
        (0x205F, 0x205F),
        (0x3000, 0x3000),
        (0xFEFF, 0xFEFF),
    ]
)
LINE_TERMINATORS = normalize([(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)])


def utf8_ranges(points: CodePoints) -> list[ByteRanges]:
    """Byte-range sequences that spell exactly the characters of ``points`` in UTF-8, none of them overlapping."""
    sequences: list[ByteRanges] = []
    for first, last in points:
        for low, high in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, sys.maxunicode)):
            if first <= high and last >= low:
                _split(chr(max(first, low)).encode(), chr(min(last, high)).encode(), sequences)
    return sequences


def _split(first: bytes, last: bytes, out: list[ByteRanges]) -> None:
    """Cover ``first..last`` (same length) with products of ranges: below, between, and above the common lead byte."""
    if len(first) == 1:
        out.append(((first[0], last[0]),))
        return
    rest_low, rest_high = b"\x80" * (len(first) - 1), b"\xbf" * (len(first) - 1)
    if first[0] == last[0]:
        _prefixed(first[0], first[1:], last[1:], out)
        return
    low, high = first[0], last[0]
    if first[1:] != rest_low:
        _prefixed(low, first[1:], rest_high, out)
        low += 1
    upper = last[1:] != rest_high
    if upper:
        high -= 1
    if low <= high:
        out.append(((low, high), *((0x80, 0xBF) for _ in rest_low)))
    if upper:
        _prefixed(last[0], rest_low, last[1:], out)


def _prefixed(lead: int, first: bytes, last: bytes, out: list[ByteRanges]) -> None:
    tails: list[ByteRanges] = []
    _split(first, last, tails)
    out.extend(((lead, lead), *tail) for tail in tails)
