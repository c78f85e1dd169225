r"""The GBNF dialect: EBNF over characters, as the ``grammar`` and ``ebnf`` fields of vLLM and SGLang take it.

``name ::= alternatives`` where an alternative is a sequence of ``"literals"``, ``[classes]``, names and groups, each
with ``*``, ``+``, ``?``, ``{m}``, ``{m,}`` or ``{m,n}``. ``#`` begins a comment. A rule may go on over any number of
lines. The text starts at rule ``root``. There is no lexer: white space is what the grammar spells out. As in llama.cpp,
but not in xgrammar, an alternative may be empty and ``.`` is any character.
"""

from __future__ import annotations

import re

from latticework.structured.automata.codepoints import ANY, CodePoints, complement, normalize
from latticework.structured.automata.regex_syntax import Chars
from latticework.structured.cfg.positions import Source
from latticework.structured.cfg.syntax import (
    EMPTY,
    Expression,
    Name,
    Repeat,
    Text,
    choice,
    literal,
    sequence,
)

ROOT = "root"

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_NAME = re.compile(r"[A-Za-z_.\-][A-Za-z0-9_.\-]*")
_NUMBER = re.compile(r"[0-9]+")
_HEX = {"x": re.compile(r"[0-9A-Fa-f]+"), "u": re.compile(r"[0-9A-Fa-f]{4}"), "U": re.compile(r"[0-9A-Fa-f]{8}")}
_ESCAPES = {
    "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "e": "\x1b",
    '"': '"', "\\": "\\", "/": "/", "'": "'", "?": "?",
}  # fmt: skip
_CLASS_ESCAPES = {**_ESCAPES, "-": "-", "]": "]", "[": "[", "^": "^"}
#: Names that xgrammar reads as calls of its own.
_MACROS = {"TagDispatch", "TokenTagDispatch", "Token", "ExcludeToken"}
#: Longer counts are no use, and would only cost time to be read.
_MAX_DIGITS = 9


def read_gbnf(text: str, max_nesting: int) -> dict[str, Expression]:
    """The rules by name, in the order of the text.

    Raises:
        GrammarError: Not GBNF, a rule that is missing or defined twice, no ``root``; with line and column.
        UnsupportedGrammarError: Lookahead assertions, token-level macros.
        BudgetExceededError: Groups nested deeper than ``max_nesting``.
    """
    return _Reader(Source(text), max_nesting).read()


class _Reader:
    def __init__(self, source: Source, max_nesting: int) -> None:
        self.source = source
        self.text = source.text
        self.position = 0
        self.max_nesting = max_nesting
        self.depth = 0

    def read(self) -> dict[str, Expression]:
        rules: dict[str, Expression] = {}
        references: dict[str, int] = {}
        self.blank()
        while self.position < len(self.text):
            at = self.position
            name = self.name()
            if name is None:
                self.source.expected(at, "the name of a rule")
            if name in rules:
                self.source.wrong(at, f"rule {name!r} is defined a second time")
            self.blank()
            if not self.take("::="):
                self.source.expected(self.position, "'::='")
            self.blank()
            rules[name] = self.alternatives(references)
            if self.text.startswith("(=", self.position):
                self.source.unsupported(self.position, "a lookahead assertion is not served")
            if self.position < len(self.text) and not self.at_rule():
                self.source.expected(self.position, "a literal, a class, a name, '(', '|' or a new rule")
        for name, at in references.items():
            if name not in rules:
                self.source.wrong(at, f"rule {name!r} is not defined")
        if ROOT not in rules:
            self.source.wrong(0, f"there is no rule {ROOT!r}, where the text would start")
        return rules

    def blank(self) -> None:
        match = _BLANK.match(self.text, self.position)
        assert match is not None
        self.position = match.end()

    def take(self, text: str) -> bool:
        if self.text.startswith(text, self.position):
            self.position += len(text)
            return True
        return False

    def name(self) -> str | None:
        match = _NAME.match(self.text, self.position)
        if match is None:
            return None
        self.position = match.end()
        return match[0]

    def at_rule(self) -> bool:
        """Whether a name and ``::=`` follow."""
        match = _NAME.match(self.text, self.position)
        if match is None:
            return False
        blank = _BLANK.match(self.text, match.end())
        assert blank is not None
        return self.text.startswith("::=", blank.end())

    def alternatives(self, references: dict[str, int]) -> Expression:
        options = [self.series(references)]
        while self.take("|"):
            self.blank()
            options.append(self.series(references))
        return choice(options)

    def series(self, references: dict[str, int]) -> Expression:
        parts: list[Expression] = []
        while (part := self.element(references)) is not None:
            self.blank()
            parts.append(part)
        return sequence(parts) if parts else Text(EMPTY)

    def element(self, references: dict[str, int]) -> Expression | None:
        at = self.position
        part: Expression
        if self.text.startswith("(=", at):
            return None
        if self.take('"'):
            part = Text(literal(self.string(at)))
        elif self.take("["):
            part = Text(Chars(self.character_class(at)))
        elif self.take("("):
            part = self.group(at, references)
        else:
            if self.at_rule():
                return None
            name = self.name()
            if name is None:
                return None
            part = self.reference(name, at, references)
        return self.repeated(part)

    def reference(self, name: str, at: int, references: dict[str, int]) -> Expression:
        if name == ".":
            return Text(Chars(ANY))
        if name in _MACROS and self.text.startswith("(", self.position):
            self.source.unsupported(at, f"{name}(...) is not served in a grammar; use a structural tag")
        references.setdefault(name, at)
        return Name(name, at)

    def group(self, at: int, references: dict[str, int]) -> Expression:
        self.depth += 1
        if self.depth > self.max_nesting:
            self.source.too_much(at, f"groups are nested deeper than {self.max_nesting}")
        self.blank()
        inner = self.alternatives(references)
        self.depth -= 1
        if not self.take(")"):
            self.source.expected(self.position, "')'")
        return inner

    def repeated(self, part: Expression) -> Expression:
        bounds: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        self.blank()
        if (symbol := self.text[self.position : self.position + 1]) in bounds and symbol:
            self.position += 1
            return Repeat(part, *bounds[symbol])
        at = self.position
        if not self.take("{"):
            return part
        low = self.number()
        high: int | None = low
        if self.take(","):
            self.blank()
            high = None if self.text.startswith("}", self.position) else self.number()
        if not self.take("}"):
            self.source.expected(self.position, "'}'" if high is None else "',' or '}'")
        if high is not None and high < low:
            self.source.wrong(at, f"the bounds {low} and {high} are out of order")
        return Repeat(part, low, high)

    def number(self) -> int:
        self.blank()
        match = _NUMBER.match(self.text, self.position)
        if match is None:
            self.source.expected(self.position, "a number")
        if len(match[0]) > _MAX_DIGITS:
            self.source.too_much(self.position, "the repeat count is too large")
        self.position = match.end()
        self.blank()
        return int(match[0])

    def string(self, at: int) -> str:
        characters: list[str] = []
        while not self.take('"'):
            characters.append(self.character(_ESCAPES, "a literal", '"', at))
        return "".join(characters)

    def character(self, escapes: dict[str, str], what: str, end: str, begun: int) -> str:
        """One character, an escape read."""
        at = self.position
        character = self.text[at : at + 1]
        if character in ("", "\n", "\r"):
            begun_at = f"begun at column {begun - self.text.rfind(chr(10), 0, begun)}"
            self.source.expected(at, f"{end!r} to end {what} {begun_at}")
        self.position += 1
        if character != "\\":
            if 0xD800 <= ord(character) <= 0xDFFF:
                self.source.wrong(at, "half a surrogate pair, which no text contains")
            return character
        letter = self.text[self.position : self.position + 1]
        if letter in escapes and letter:
            self.position += 1
            return escapes[letter]
        match = _HEX[letter].match(self.text, self.position + 1) if letter in _HEX else None
        if match is None:
            known = " ".join(f"\\{character}" for character in escapes)
            self.source.wrong(at, f"not an escape; {what} knows \\xHH \\uHHHH \\UHHHHHHHH {known}")
        self.position = match.end()
        point = int(match[0], 16)
        if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
            self.source.wrong(at, f"U+{point:X} is not a character")
        return chr(point)

    def character_class(self, at: int) -> CodePoints:
        negated = self.take("^")
        ranges: list[tuple[int, int]] = []
        while not self.take("]"):
            start = self.position
            low = ord(self.character(_CLASS_ESCAPES, "a class", "]", at))
            high = low
            if self.text.startswith("-", self.position) and not self.text.startswith("-]", self.position):
                self.position += 1
                high = ord(self.character(_CLASS_ESCAPES, "a class", "]", at))
                if high < low:
                    self.source.wrong(start, "the ends of a range are out of order")
            ranges.append((low, high))
        points = normalize(ranges)
        return complement(points) if negated else points
