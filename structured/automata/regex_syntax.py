r"""The regex dialect: text to syntax tree.

The whole text must match the pattern. Supported: literals, ``.`` (any character but a line terminator), classes
``[a-z]`` ``[^...]``, ``\d \w \s`` and their complements (``\d``, ``\w`` are ASCII, ``\s`` is Unicode, as in ECMA-262),
``\p{L}`` / ``\P{Lu}`` by general category, escapes ``\n \t \r \f \v \0 \xHH \uHHHH \u{H...} \cX``, groups ``(...)``
``(?:...)`` ``(?<name>...)`` ``(?P<name>...)``, ``|``, ``* + ? {m} {m,} {m,n}`` and their lazy forms (same language),
and ``^ $ \A \Z`` anywhere. Refused, with the position: back-references, lookaround, word boundaries, flags, possessive
quantifiers and atomic groups. ``{`` that begins no quantifier is a literal brace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from latticework.structured.automata import codepoints
from latticework.structured.automata.codepoints import CodePoints
from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError


@dataclass(frozen=True)
class Chars:
    """One character out of a set."""

    points: CodePoints


@dataclass(frozen=True)
class Concat:
    """One part after the other; no parts is the empty text."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Alternate:
    """Any one of the options."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """``low`` to ``high`` times; ``high`` is ``None`` without a bound."""

    node: Node
    low: int
    high: int | None


@dataclass(frozen=True)
class Anchor:
    """The start (``^``) or the end (``$``) of the text."""

    at_start: bool


Node = Chars | Concat | Alternate | Repeat | Anchor

_QUANTIFIER = re.compile(r"\{(\d+)(,?)(\d*)\}")
_CLASSES: dict[str, CodePoints] = {
    "d": codepoints.DIGIT,
    "w": codepoints.WORD,
    "s": codepoints.SPACE,
    "D": codepoints.complement(codepoints.DIGIT),
    "W": codepoints.complement(codepoints.WORD),
    "S": codepoints.complement(codepoints.SPACE),
}
_CONTROLS = {"n": 0x0A, "t": 0x09, "r": 0x0D, "f": 0x0C, "v": 0x0B, "0": 0x00}
_DOT = codepoints.complement(codepoints.LINE_TERMINATORS)
_MAX_DIGITS = 9


def parse(pattern: str, *, field: str = "regex", max_nesting: int = 64) -> Node:
    """Parse ``pattern``.

    Raises:
        GrammarError: Not a regex, with the position (counted in characters from 0).
        UnsupportedGrammarError: A feature that is refused, named.
        BudgetExceededError: Groups nested deeper than ``max_nesting``.
    """
    return _Parser(pattern, field, max_nesting).parse()


class _Parser:
    def __init__(self, pattern: str, field: str, max_nesting: int) -> None:
        self.pattern = pattern
        self.field = field
        self.max_nesting = max_nesting
        self.position = 0
        self.depth = 0

    def parse(self) -> Node:
        node = self.alternation()
        if self.position < len(self.pattern):
            raise self.error("unbalanced ')'")
        return node

    def error(self, reason: str, at: int | None = None) -> GrammarError:
        return GrammarError(self.field, f"{reason} at position {self.position if at is None else at}")

    def unsupported(self, what: str, at: int) -> UnsupportedGrammarError:
        return UnsupportedGrammarError(self.field, f"{what} at position {at} is not supported")

    def peek(self) -> str:
        return self.pattern[self.position : self.position + 1]

    def take(self, text: str) -> bool:
        if self.pattern.startswith(text, self.position):
            self.position += len(text)
            return True
        return False

    def alternation(self) -> Node:
        options = [self.sequence()]
        while self.take("|"):
            options.append(self.sequence())
        return options[0] if len(options) == 1 else Alternate(tuple(options))

    def sequence(self) -> Node:
        parts: list[Node] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.quantified())
        return parts[0] if len(parts) == 1 else Concat(tuple(parts))

    def quantified(self) -> Node:
        start = self.position
        node = self.atom()
        while (bounds := self.quantifier()) is not None:
            if isinstance(node, Repeat | Anchor):
                raise self.error("nothing to repeat", start)
            if self.take("+"):
                raise self.unsupported("a possessive quantifier", self.position - 1)
            self.take("?")  # a lazy quantifier describes the same language
            node = Repeat(node, *bounds)
        return node

    def quantifier(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if (symbol := self.peek()) in simple:
            self.position += 1
            return simple[symbol]
        match = _QUANTIFIER.match(self.pattern, self.position)
        if match is None:
            return None
        if max(len(match[1]), len(match[3])) > _MAX_DIGITS:
            raise BudgetExceededError(self.field, f"the repeat count at position {self.position} is too large")
        low = int(match[1])
        high = None if match[2] and not match[3] else int(match[3] or low)
        if high is not None and high < low:
            raise self.error("the bounds of the quantifier are out of order")
        self.position = match.end()
        return low, high

    def atom(self) -> Node:
        start = self.position
        character = self.peek()
        self.position += 1
        if character == "(":
            return self.group(start)
        if character == "[":
            return Chars(self.character_class(start))
        if character == ".":
            return Chars(_DOT)
        if character in "^$":
            return Anchor(character == "^")
        if character == "\\":
            return self.escape(start)
        if character in "*+?":
            raise self.error("nothing to repeat", start)
        return self.literal(ord(character), start)

    def literal(self, point: int, at: int) -> Chars:
        if 0xD800 <= point <= 0xDFFF:
            raise self.error("a lone surrogate, which no UTF-8 text contains,", at)
        return Chars(((point, point),))

    def group(self, start: int) -> Node:
        if self.take("?") and not self.take(":"):
            named = re.compile(r"P?<([A-Za-z_]\w*)>").match(self.pattern, self.position)
            if named is None:
                raise self.unsupported("a group with flags, a lookaround or an atomic group", start)
            self.position = named.end()
        self.depth += 1
        if self.depth > self.max_nesting:
            raise BudgetExceededError(self.field, f"groups are nested deeper than {self.max_nesting}")
        node = self.alternation()
        self.depth -= 1
        if not self.take(")"):
            raise self.error("a group is never closed,", start)
        # A quantified group must not look like a bare repeat, or "(a*)*" would read as "a**".
        return Concat((node,)) if isinstance(node, Repeat | Anchor) else node

    def escape(self, start: int) -> Node:
        if (anchor := self.peek()) and anchor in "AZ":
            self.position += 1
            return Anchor(anchor == "A")
        if (boundary := self.peek()) and boundary in "bB":
            raise self.unsupported("a word boundary", start)
        if (digit := self.peek()) and (digit in "123456789" or digit == "k"):
            raise self.unsupported("a back-reference", start)
        points = self.escaped_points(start)
        return Chars(points)

    def escaped_points(self, start: int) -> CodePoints:
        """What an escape stands for inside or outside a class; the backslash at ``start`` is consumed."""
        character = self.peek()
        self.position += 1
        if not character:
            raise self.error("the pattern ends with a backslash,", start)
        if character in _CLASSES:
            return _CLASSES[character]
        if character in "pP":
            return self.property_points(character == "P", start)
        if character in "xu":
            return self.literal(self.code_point(character, start), start).points
        if character == "c" and re.match(r"[A-Za-z]", self.peek()):
            self.position += 1
            return ((ord(self.pattern[self.position - 1]) % 32,) * 2,)
        if character in _CONTROLS:
            return ((_CONTROLS[character],) * 2,)
        if character.isascii() and (character.isalnum() or character == "_"):
            raise self.error(f"unknown escape \\{character}", start)
        return self.literal(ord(character), start).points

    def property_points(self, negated: bool, start: int) -> CodePoints:
        match = re.compile(r"\{(?:(?:gc|General_Category)=)?(\w+)\}").match(self.pattern, self.position)
        if match is None:
            raise self.error("expected a Unicode general category in braces, as in \\p{L},", start)
        points = codepoints.general_category(match[1])
        if points is None:
            raise self.unsupported(f"the Unicode property {match[1]!r}", start)
        self.position = match.end()
        return codepoints.complement(points) if negated else points

    def code_point(self, kind: str, start: int) -> int:
        def hexadecimal(digits: str) -> re.Match[str] | None:
            return re.compile(digits).match(self.pattern, self.position)

        if kind == "x":
            match = hexadecimal(r"([0-9A-Fa-f]{2})")
        else:
            match = hexadecimal(r"([0-9A-Fa-f]{4})") or hexadecimal(r"\{([0-9A-Fa-f]{1,6})\}")
        if match is None:
            raise self.error(f"expected hexadecimal digits after \\{kind},", start)
        self.position = match.end()
        point = int(match[1], 16)
        if 0xD800 <= point <= 0xDBFF and (pair := hexadecimal(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")):
            self.position = pair.end()
            point = 0x10000 + ((point - 0xD800) << 10) + (int(pair[1], 16) - 0xDC00)
        if point > 0x10FFFF:
            raise self.error(f"U+{point:X} is not a code point,", start)
        return point

    def character_class(self, start: int) -> CodePoints:
        negated = self.take("^")
        if self.peek() == "]":
            raise self.error("an empty class; write \\] for a literal bracket,", start)
        ranges: list[tuple[int, int]] = []
        while not self.take("]"):
            if not self.peek():
                raise self.error("a class is never closed,", start)
            at = self.position
            low = self.class_member()
            if self.peek() == "-" and self.pattern[self.position + 1 : self.position + 2] not in ("]", ""):
                self.position += 1
                high = self.class_member()
                if len(low) != 1 or len(high) != 1 or low[0][0] != low[0][1] or high[0][0] != high[0][1]:
                    raise self.error("a range needs one character on each side,", at)
                if high[0][0] < low[0][0]:
                    raise self.error("the ends of a range are out of order", at)
                low = ((low[0][0], high[0][0]),)
            ranges.extend(low)
        points = codepoints.normalize(ranges)
        return codepoints.complement(points) if negated else points

    def class_member(self) -> CodePoints:
        start = self.position
        character = self.peek()
        self.position += 1
        if character != "\\":
            return self.literal(ord(character), start).points
        if self.peek() == "b":  # inside a class it is a backspace
            self.position += 1
            return ((0x08, 0x08),)
        if self.peek() == "-":
            self.position += 1
            return ((ord("-"),) * 2,)
        return self.escaped_points(start)
