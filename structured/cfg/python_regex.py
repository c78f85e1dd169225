r"""Regular expressions as Lark takes them: Python's, as far as they are regular.

What differs from :mod:`latticework.structured.automata.regex_syntax`: ``.`` leaves out the line feed only; ``\d``,
``\w`` and ``\s`` are Unicode's; flags ``i``, ``s`` and ``u``; a lazy quantifier matters, because a terminal ends where
the expression first does. Assertions are refused: a terminal is all there is.
"""

from __future__ import annotations

import sys
from functools import cache

from latticework.structured.automata import codepoints
from latticework.structured.automata.codepoints import CodePoints
from latticework.structured.automata.properties import property_points
from latticework.structured.automata.regex_syntax import Alternate, Chars, Concat, Look, Node, Parser, Repeat
from latticework.structured.errors import UnsupportedGrammarError

_NOT_LINE_FEED = codepoints.complement(((0x0A, 0x0A),))


class LazyRepeat(Repeat):
    """A repeat that prefers to stop."""


def parse_python(pattern: str, flags: str, *, field: str, max_nesting: int) -> Node:
    """The tree of a pattern with Lark's ``flags``; lazy repeats are :class:`LazyRepeat`.

    Raises:
        GrammarError, UnsupportedGrammarError, BudgetExceededError: See
            :func:`latticework.structured.automata.regex_syntax.parse`.
    """
    for flag in flags:
        if flag not in "isum":
            raise UnsupportedGrammarError(field, f"the regex flag {flag!r} is not served")
    return _PythonParser(pattern, field, max_nesting, frozenset(flags)).parse()


class _PythonParser(Parser):
    def __init__(self, pattern: str, field: str, max_nesting: int, flags: frozenset[str]) -> None:
        super().__init__(pattern, field, max_nesting)
        self.flags = flags
        self.known_flags = "isu"

    def dot(self) -> CodePoints:
        return codepoints.ANY if "s" in self.flags else _NOT_LINE_FEED

    def shorthand(self, letter: str) -> CodePoints:
        return _unicode_class(letter)

    def anchor(self, at_start: bool) -> Node:
        raise self.unsupported("an anchor in a terminal", self.position - 1)

    def escape(self, start: int) -> Node:
        if self.peek() and self.peek() in "bBAzZ":
            raise self.unsupported("an anchor in a terminal", start)
        return super().escape(start)

    def group(self, start: int) -> Node:
        node = super().group(start)
        if isinstance(node, Look):
            raise self.unsupported("a lookaround in a terminal", start)
        return node

    def quantified(self) -> Node:
        start = self.position
        node = self.atom()
        bounds = self.quantifier()
        if bounds is None:
            return node
        if self.take("+"):
            raise self.unsupported("a possessive quantifier", self.position - 1)
        lazy = self.take("?")
        if self.quantifier() is not None:
            raise self.error("nothing to repeat", start)
        if lazy and bounds[0] != bounds[1]:
            return LazyRepeat(node, *bounds)
        return Repeat(node, *bounds)


def ends_early(node: Node, field: str) -> bool:
    """Whether a terminal ends as early as it can, which is what its lazy repeat makes of it.

    With one lazy repeat of single characters between parts of a fixed length, the match that Python prefers is the
    shortest one. Other uses of lazy repeats are ``UnsupportedGrammarError``.
    """
    if not _lazy_repeats(node):
        return False
    parts = _flat(node)
    lazy = [part for part in parts if isinstance(part, LazyRepeat)]
    rest = [part for part in parts if not isinstance(part, LazyRepeat)]
    if len(lazy) != 1 or _width(lazy[0].node) != 1 or any(_width(part) is None for part in rest):
        raise UnsupportedGrammarError(
            field,
            "a lazy quantifier is served only once in a terminal, on one character, and between parts of a fixed "
            r"length, as in /\".*?\"/; write what the repeated part may not contain, as in /[^\"]*/",
        )
    return True


def _flat(node: Node) -> list[Node]:
    return [inner for part in node.parts for inner in _flat(part)] if isinstance(node, Concat) else [node]


def _lazy_repeats(node: Node) -> bool:
    todo = [node]
    while todo:
        match todo.pop():
            case LazyRepeat():
                return True
            case Concat(parts) | Alternate(parts):
                todo.extend(parts)
            case Repeat(inner, _, _):
                todo.append(inner)
    return False


def _width(node: Node) -> int | None:
    """The number of characters of every text of ``node``; ``None`` if they differ."""
    match node:
        case Chars():
            return 1
        case Concat(parts):
            widths = [_width(part) for part in parts]
            return None if None in widths else sum(width for width in widths if width is not None)
        case Alternate(options):
            found = {_width(option) for option in options}
            return found.pop() if len(found) == 1 else None
        case Repeat(inner, low, high) if low == high:
            width = _width(inner)
            return None if width is None else low * width
    return None


def max_width(node: Node) -> int:
    """The length of the longest text in characters; ``sys.maxsize`` if there is none."""
    match node:
        case Chars():
            return 1
        case Concat(parts):
            return min(sys.maxsize, sum(max_width(part) for part in parts))
        case Alternate(options):
            return max(max_width(option) for option in options)
        case Repeat(inner, _, high):
            return sys.maxsize if high is None else min(sys.maxsize, high * max_width(inner))
    return 0


@cache
def _unicode_class(letter: str) -> CodePoints:
    r"""``\d``, ``\w`` or ``\s`` of Python's ``re`` on text."""
    categories = {"d": ("Nd",), "w": ("L", "N"), "s": ("Z",)}[letter]
    more = {"d": (), "w": ((0x5F, 0x5F),), "s": ((0x09, 0x0D), (0x1C, 0x1F), (0x85, 0x85))}[letter]
    found = [points for category in categories for points in property_points(category) or ()]
    return codepoints.normalize([*more, *found])
