r"""The part of a regex reader that is about single characters: escapes, Unicode properties and classes."""

from __future__ import annotations

import re
from enum import Enum, auto

from latticework.structured.automata import codepoints
from latticework.structured.automata.casing import without_case
from latticework.structured.automata.codepoints import CodePoints
from latticework.structured.automata.properties import property_points
from latticework.structured.errors import GrammarError, UnsupportedGrammarError


class Dialect(Enum):
    """Where a pattern comes from; ``docs/regex.md`` lists what differs."""

    #: JSON Schema's ``pattern``: ECMA-262 over code points, with the lenient forms of its annex B.
    ECMA = auto()
    #: The ``regex`` constraint: the same, and what Python and Rust write besides (``\A \Z \z``, ``{,n}``, ``(?x)``).
    PYTHON = auto()


_CLASSES: dict[str, CodePoints] = {"d": codepoints.DIGIT, "w": codepoints.WORD, "s": codepoints.SPACE}
_CONTROLS = {"n": 0x0A, "t": 0x09, "r": 0x0D, "f": 0x0C, "v": 0x0B}
_OCTAL = re.compile(r"0[0-7]{0,2}")
_LETTER = re.compile(r"[A-Za-z]")
_PROPERTY = re.compile(r"\{(\^?)([\w =&-]+)\}|([A-Z])")
_HEXADECIMAL = {
    "x": re.compile(r"([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,8})\}"),
    "u": re.compile(r"([0-9A-Fa-f]{4})|\{([0-9A-Fa-f]{1,8})\}"),
    "U": re.compile(r"([0-9A-Fa-f]{8})"),
}
_LOW_SURROGATE = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")
_SET_OPERATORS = ("&&", "--", "~~", "||")

#: Inclusive code points, in any order; surrogates may be among them.
_Ranges = tuple[tuple[int, int], ...]


class CharacterReader:
    """A position in a pattern, and what can be read there.

    Attributes:
        pattern: The pattern.
        field: What errors call it.
        position: Where the reader is, in characters from 0.
        flags: The flags in force: ``i``, ``m``, ``s``, ``x``.
    """

    def __init__(self, pattern: str, field: str, dialect: Dialect) -> None:
        self.pattern = pattern
        self.field = field
        self.dialect = dialect
        self.position = 0
        self.flags: frozenset[str] = frozenset()

    def error(self, reason: str, at: int | None = None) -> GrammarError:
        """An error about the pattern."""
        return GrammarError(self.field, f"{reason} at position {self.position if at is None else at}")

    def unsupported(self, what: str, at: int) -> UnsupportedGrammarError:
        """An error about something that is refused."""
        return UnsupportedGrammarError(self.field, f"{what} at position {at} is not supported")

    def peek(self) -> str:
        """The next character, or nothing at the end."""
        return self.pattern[self.position : self.position + 1]

    def take(self, text: str) -> bool:
        """Go past ``text`` if it stands here."""
        if self.pattern.startswith(text, self.position):
            self.position += len(text)
            return True
        return False

    def match(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        """Go past what ``expression`` matches here."""
        match = expression.match(self.pattern, self.position)
        if match is not None:
            self.position = match.end()
        return match

    def literal(self, point: int, at: int) -> CodePoints:
        """One character, in both cases if case does not matter."""
        if 0xD800 <= point <= 0xDFFF:
            raise self.error("a lone surrogate, which no UTF-8 text contains,", at)
        return self.cased(((point, point),))

    def cased(self, points: CodePoints) -> CodePoints:
        """``points``, in both cases if case does not matter."""
        return without_case(points) if "i" in self.flags else points

    def escaped_points(self, start: int) -> CodePoints:
        """What an escape stands for; the backslash at ``start`` is consumed."""
        ranges = self._escape(start)
        if len(ranges) == 1 and 0xD800 <= ranges[0][0] == ranges[0][1] <= 0xDFFF:
            raise self.error("a lone surrogate, which no UTF-8 text contains,", start)
        return self.cased(ranges)

    def shorthand(self, letter: str) -> CodePoints:
        r"""What ``\d``, ``\w`` or ``\s`` stands for."""
        return _CLASSES[letter]

    def _escape(self, start: int) -> _Ranges:
        character = self.peek()
        self.position += 1
        if not character:
            raise self.error("the pattern ends with a backslash,", start)
        if character.lower() in _CLASSES:
            points = self.cased(self.shorthand(character.lower()))
            return codepoints.complement(points) if character.isupper() else points
        if character in "pP":
            return self._property(character == "P", start)
        if character in _HEXADECIMAL and (character != "U" or self.dialect is Dialect.PYTHON):
            return ((self._code_point(character, start),) * 2,)
        if character == "c" and self.match(_LETTER):
            return ((ord(self.pattern[self.position - 1]) % 32,) * 2,)
        if character in _CONTROLS:
            return ((_CONTROLS[character],) * 2,)
        if character == "a" and self.dialect is Dialect.PYTHON:
            return ((0x07, 0x07),)
        if character == "0":
            self.position -= 1
            octal = self.match(_OCTAL)
            assert octal is not None
            return ((int(octal[0], 8),) * 2,)
        if character.isascii() and character.isalnum():
            raise self.error(f"unknown escape \\{character}", start)
        return ((ord(character),) * 2,)

    def _property(self, negated: bool, start: int) -> CodePoints:
        match = self.match(_PROPERTY)
        if match is None:
            raise self.error("expected a Unicode property in braces, as in \\p{L},", start)
        points = property_points(match[2] or match[3])
        if points is None:
            raise self.unsupported(f"the Unicode property {match[2] or match[3]!r}", start)
        return codepoints.complement(points) if negated != bool(match[1]) else points

    def _code_point(self, kind: str, start: int) -> int:
        match = self.match(_HEXADECIMAL[kind])
        if match is None:
            raise self.error(f"expected hexadecimal digits after \\{kind},", start)
        point = int(match[1] or match[2], 16)
        if kind == "u" and 0xD800 <= point <= 0xDBFF and (pair := self.match(_LOW_SURROGATE)):
            point = 0x10000 + ((point - 0xD800) << 10) + (int(pair[1], 16) - 0xDC00)
        if point > 0x10FFFF:
            raise self.error(f"U+{point:X} is not a code point,", start)
        return point

    def character_class(self, start: int) -> CodePoints:
        """A class whose ``[`` at ``start`` is consumed."""
        negated = self.take("^")
        points = self.class_members(start)
        return codepoints.complement(points) if negated else points

    def class_members(self, start: int) -> CodePoints:
        """The members of a class, up to and including the ``]``, in both cases if case does not matter."""
        ranges: list[tuple[int, int]] = []
        # ECMA-262 reads [] as nothing at all and [^] as anything; elsewhere a bracket that comes first is a member.
        if self.dialect is Dialect.PYTHON and self.take("]"):
            ranges.append((0x5D, 0x5D))
        while not self.take("]"):
            if not self.peek():
                raise self.error("a class is never closed,", start)
            ranges.extend(self._class_range())
        return self.cased(codepoints.normalize(ranges))

    def _class_range(self) -> _Ranges:
        at = self.position
        if self.dialect is Dialect.PYTHON:
            self._refuse_ambiguous(at)
        low = self._class_member()
        if self.peek() != "-" or self.pattern[self.position + 1 : self.position + 2] in ("]", ""):
            return low
        self.position += 1
        high = self._class_member()
        if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or high[0][0] != high[0][1]:
            return (*low, (0x2D, 0x2D), *high)  # [\w-.]: annex B takes the hyphen as itself
        if high[0][0] < low[0][0]:
            raise self.error("the ends of a range are out of order", at)
        return ((low[0][0], high[0][0]),)

    def _refuse_ambiguous(self, at: int) -> None:
        if self.pattern.startswith(_SET_OPERATORS, at) and self.pattern[at + 2 : at + 3] != "]":
            raise self.unsupported("a set operation in a class (escape the signs if they are meant as such)", at)
        if self.pattern.startswith(("[:", "[.", "[="), at):
            raise self.unsupported("a POSIX class (escape the bracket if it is meant as such)", at)

    def _class_member(self) -> _Ranges:
        start = self.position
        character = self.peek()
        self.position += 1
        if character != "\\":
            return ((ord(character),) * 2,)
        if self.take("b"):  # inside a class it is a backspace
            return ((0x08, 0x08),)
        return self._escape(start)
