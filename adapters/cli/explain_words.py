"""Bytes and positions in words that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_PRINTABLE = range(0x20, 0x7F)
_MOST_PIECES = 40
_SYMBOLS = {"\n": "↵", "\t": "⇥"}


def visible(text: bytes) -> str:
    """Text of which everything can be seen: line breaks and tabs as arrows, what else has no glyph as ``\\x07``."""
    decoded = text.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else _SYMBOLS.get(each) or _escaped(each) for each in decoded)


def quoted(text: bytes) -> str:
    """A text that may follow, with a leading or trailing blank made visible."""
    shown = visible(text)
    inner = shown.strip(" ")
    lead = len(shown) - len(shown.lstrip(" "))
    return "␣" * lead + inner + "␣" * (len(shown) - lead - len(inner)) if inner else "␣" * len(shown)


def allowed_words(ranges: Sequence[tuple[int, int]], may_end: bool) -> str:
    """Which bytes are allowed: ``0-9 - "``, or ``any character but " \\`` where that is shorter."""
    allowed = {byte for low, high in ranges for byte in range(low, high + 1)}
    words = [_ascii(allowed), _control(allowed), _beyond(allowed)]
    words.append("the end of the text" if may_end else "")
    return ", ".join(filter(None, words)) or "nothing: the text is over"


def line_and_column(text: bytes, position: int) -> tuple[int, int, int]:
    """Character index, line and column, the latter two from 1, of the character that the byte belongs to."""
    before = text[:position].decode("utf-8", "ignore")
    return len(before), before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def excerpt(text: bytes, position: int, width: int = 36) -> tuple[str, str, str]:
    """What is around a position: before, the character there (empty at the end), after; ``…`` marks cuts."""
    start = position
    while 0 < start < len(text) and text[start] & 0xC0 == 0x80:
        start -= 1
    end = start + 1
    while end < len(text) and text[end] & 0xC0 == 0x80:
        end += 1
    before, after = visible(text[:start]), visible(text[end:])
    before = before if len(before) <= width else "…" + before[-width:]
    after = after if len(after) <= width else after[:width] + "…"
    return before, visible(text[start:end]), after


def _ascii(allowed: set[int]) -> str:
    inside = [byte for byte in _PRINTABLE if byte in allowed]
    outside = [byte for byte in _PRINTABLE if byte not in allowed]
    if len(inside) == len(_PRINTABLE):
        return "any ASCII character"
    if len(outside) <= 12:
        return "any ASCII character but " + " ".join(map(_character, outside))
    pieces = _runs(inside)
    more = f" … ({len(inside)} characters)" if len(pieces) > _MOST_PIECES else ""
    return " ".join(pieces[:_MOST_PIECES]) + more


def _runs(points: Sequence[int]) -> list[str]:
    """``0-9``, ``a-f``: runs within digits or letters; other characters one by one."""
    runs: list[list[int]] = []
    for previous, point in pairwise([-2, *points]):
        joined = point == previous + 1 and chr(point).isalnum() and chr(previous).isalnum()
        if joined:
            runs[-1].append(point)
        else:
            runs.append([point])
    return [
        f"{_character(run[0])}-{_character(run[-1])}" if len(run) > 2 else " ".join(map(_character, run))
        for run in runs
    ]


def _control(allowed: set[int]) -> str:
    inside = [byte for byte in (*range(0x20), 0x7F) if byte in allowed]
    if len(inside) > 4:
        return f"{len(inside)} control characters"
    return " ".join({9: "tab", 10: "line feed", 13: "carriage return"}.get(byte, f"\\x{byte:02x}") for byte in inside)


def _beyond(allowed: set[int]) -> str:
    lead = [byte for byte in range(0xC2, 0xF5) if byte in allowed]
    following = [byte for byte in range(0x80, 0xC0) if byte in allowed]
    if following:
        return f"the rest of a non-ASCII character (byte {following[0]:02x}-{following[-1]:02x})"
    if not lead:
        return ""
    return "any other character" if len(lead) == 0xF5 - 0xC2 else f"some non-ASCII characters ({len(lead)} first bytes)"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _character(byte: int) -> str:
    return "␣" if byte == 0x20 else chr(byte)
