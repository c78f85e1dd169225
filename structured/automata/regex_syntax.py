r"""The regex dialects: text to syntax tree. ``docs/regex.md`` lists what is read and what is refused.

Lazy quantifiers describe the same language as greedy ones, so they leave no trace. Assertions stay in the tree;
:mod:`latticework.structured.automata.lookaround` compiles them. Back-references, atomic groups, possessive quantifiers
and conditionals are refused with their position: they are not regular, or depend on how a matcher backtracks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from latticework.structured.automata import codepoints
from latticework.structured.automata.codepoints import CodePoints
from latticework.structured.automata.regex_characters import CharacterReader, Dialect
from latticework.structured.errors import BudgetExceededError


@dataclass(frozen=True)
class Chars:
    """One character out of a set; an empty set never matches."""

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


@dataclass(frozen=True)
class Look:
    """The text that follows (``ahead``) begins, or the text before ends, with a match of ``node``; or not."""

    node: Node
    ahead: bool
    negated: bool


Node = Chars | Concat | Alternate | Repeat | Anchor | Look

_QUANTIFIER = re.compile(r"\{(\d+)(,?)(\d*)\}")
_UPPER_BOUND = re.compile(r"\{(),(\d+)\}")
_SIMPLE: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_LOOKS = {"?=": (True, False), "?!": (True, True), "?<=": (False, False), "?<!": (False, True)}
_FLAGS = re.compile(r"\?([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)])")
_NAME = re.compile(r"\?P?<([^\W\d][\w$]*|[$][\w$]*)>")
_COMMENT = re.compile(r"\?#[^)]*\)")
_BLANK = re.compile(r"(?:\s|#[^\n]*)+")
_DOT = codepoints.complement(codepoints.LINE_TERMINATORS)
_LINE_END = Chars(codepoints.LINE_TERMINATORS)
_WORD = Chars(codepoints.WORD)
_MAX_DIGITS = 9


@lru_cache(maxsize=512)
def parse(pattern: str, *, field: str = "regex", max_nesting: int = 64, dialect: Dialect = Dialect.PYTHON) -> Node:
    """Parse ``pattern``.

    Raises:
        GrammarError: Not a regex, with the position (counted in characters from 0).
        UnsupportedGrammarError: A feature that is refused, named.
        BudgetExceededError: Groups nested deeper than ``max_nesting``.
    """
    return Parser(pattern, field, max_nesting, dialect).parse()


def word_boundary(*, negated: bool) -> Node:
    r"""``\b``: exactly one of the characters beside is a word character. ``\B``: both or none."""
    sides = ((True, False), (False, True)) if not negated else ((True, True), (False, False))
    return Alternate(
        tuple(
            Concat((Look(_WORD, ahead=False, negated=not before), Look(_WORD, ahead=True, negated=not after)))
            for before, after in sides
        )
    )


class Parser(CharacterReader):
    """Recursive descent, one method a construct; readers of other dialects override some of them."""

    def __init__(self, pattern: str, field: str, max_nesting: int, dialect: Dialect = Dialect.PYTHON) -> None:
        super().__init__(pattern, field, dialect)
        self.max_nesting = max_nesting
        self.depth = 0
        self.known_flags = "ims" if dialect is Dialect.ECMA else "imsx"

    def parse(self) -> Node:
        """The tree of the whole pattern."""
        node = self.alternation()
        if self.position < len(self.pattern):
            raise self.error("unbalanced ')'")
        return node

    def alternation(self) -> Node:
        """Options, up to the end or a closing bracket."""
        options = [self.sequence()]
        while self.take("|"):
            options.append(self.sequence())
        return options[0] if len(options) == 1 else Alternate(tuple(options))

    def sequence(self) -> Node:
        """One option."""
        parts: list[Node] = []
        while True:
            if "x" in self.flags:
                self.match(_BLANK)
            if self.peek() in ("", "|", ")"):
                return parts[0] if len(parts) == 1 else Concat(tuple(parts))
            parts.append(self.quantified())

    def quantified(self) -> Node:
        """An atom with its quantifier."""
        start = self.position
        node = self.atom()
        if "x" in self.flags:
            self.match(_BLANK)
        bounds = self.quantifier()
        if bounds is None:
            return node
        if isinstance(node, Anchor) or (isinstance(node, Look) and not node.ahead):
            raise self.error("nothing to repeat", start)
        if self.take("+"):
            raise self.unsupported("a possessive quantifier", self.position - 1)
        self.take("?")
        if self.quantifier() is not None:
            raise self.error("nothing to repeat", start)
        return Repeat(node, *bounds)

    def quantifier(self) -> tuple[int, int | None] | None:
        """The bounds of a quantifier, if one stands here."""
        if (symbol := self.peek()) in _SIMPLE:
            self.position += 1
            return _SIMPLE[symbol]
        at = self.position
        if (match := self.match(_QUANTIFIER)) is not None:
            lower, comma, upper = match.groups()
        elif self.dialect is Dialect.PYTHON and (match := self.match(_UPPER_BOUND)) is not None:
            lower, comma, upper = "0", ",", match[2]
        else:
            return None
        if max(len(lower), len(upper)) > _MAX_DIGITS:
            raise BudgetExceededError(self.field, f"the repeat count at position {at} is too large")
        low = int(lower)
        high = None if comma and not upper else int(upper or low)
        if high is not None and high < low:
            raise self.error("the bounds of the quantifier are out of order", at)
        return low, high

    def atom(self) -> Node:
        """One character, class, group or assertion."""
        start = self.position
        character = self.peek()
        if character == "{" and self.quantifier() is not None:
            raise self.error("nothing to repeat", start)
        self.position += 1
        if character == "(":
            return self.group(start)
        if character == "[":
            return Chars(self.character_class(start))
        if character == ".":
            return Chars(self.dot())
        if character in "^$":
            return self.anchor(character == "^")
        if character == "\\":
            return self.escape(start)
        if character in "*+?":
            raise self.error("nothing to repeat", start)
        return Chars(self.literal(ord(character), start))

    def dot(self) -> CodePoints:
        """What ``.`` stands for."""
        return codepoints.ANY if "s" in self.flags else _DOT

    def anchor(self, at_start: bool) -> Node:
        """``^`` or ``$``: the edge of the text, or of a line."""
        if "m" not in self.flags:
            return Anchor(at_start)
        return Alternate((Anchor(at_start), Look(_LINE_END, ahead=not at_start, negated=False)))

    def group(self, start: int) -> Node:
        """What begins with the ``(`` at ``start``, which is consumed."""
        if self.match(_COMMENT):
            return Concat(())
        outer = self.flags
        look = next((kind for opening, kind in _LOOKS.items() if self.take(opening)), None)
        if look is None and self.peek() == "?" and not self.match(_NAME):
            flags = self.match(_FLAGS)
            if flags is None:
                raise self._unknown_group(start)
            self._set_flags(flags, start)
            if flags[3] == ")":  # in force up to the end of the group around
                return Concat(())
        self.depth += 1
        if self.depth > self.max_nesting:
            raise BudgetExceededError(self.field, f"groups are nested deeper than {self.max_nesting}")
        node = self.alternation()
        self.depth -= 1
        self.flags = outer
        if not self.take(")"):
            raise self.error("a group is never closed,", start)
        if look is not None:
            return Look(node, *look)
        # A quantified group must not look like a bare repeat, or "(a*)*" would read as "a**".
        return Concat((node,)) if isinstance(node, Repeat | Anchor | Look) else node

    def _set_flags(self, flags: re.Match[str], start: int) -> None:
        on, off = flags[1], flags[2] or ""
        for flag in on + off:
            if flag not in self.known_flags:
                raise self.unsupported(f"the flag {flag!r}", start)
        self.flags = (self.flags | set(on)) - set(off)

    def _unknown_group(self, start: int) -> Exception:
        kinds = {"?>": "an atomic group", "?(": "a conditional", "?P=": "a back-reference", "?P>": "a recursion"}
        for opening, kind in (kinds | {"?&": "a recursion", "?R": "a recursion", "?|": "a branch reset"}).items():
            if self.pattern.startswith(opening, self.position):
                return self.unsupported(kind, start)
        return self.error("unknown kind of group", start)

    def escape(self, start: int) -> Node:
        """What begins with the backslash at ``start``, which is consumed."""
        character = self.peek()
        if character and character in "bB":
            self.position += 1
            return word_boundary(negated=character == "B")
        if self.dialect is Dialect.PYTHON and character and character in "AzZ":
            self.position += 1
            return Anchor(character == "A")
        if (character and character in "123456789") or self.pattern.startswith("k<", self.position):
            raise self.unsupported("a back-reference", start)
        return Chars(self.escaped_points(start))
