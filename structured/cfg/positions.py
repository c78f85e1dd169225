"""Where in a grammar's source something stands, and errors that show it."""

from __future__ import annotations

from typing import NoReturn

from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError

FIELD = "grammar"
#: Characters of the source line shown on either side of the place of an error.
_EXCERPT = 40


class Source:
    """The text of a grammar. Positions are character offsets; lines and columns count from 1."""

    def __init__(self, text: str) -> None:
        self.text = text

    def expected(self, at: int, what: str) -> NoReturn:
        """Raise ``GrammarError``: something else than ``what`` stands at ``at``."""
        raise GrammarError(FIELD, self.located(at, f"expected {what}, got {self._found(at)}"))

    def wrong(self, at: int, reason: str) -> NoReturn:
        """Raise ``GrammarError``."""
        raise GrammarError(FIELD, self.located(at, reason))

    def unsupported(self, at: int, reason: str) -> NoReturn:
        """Raise ``UnsupportedGrammarError``."""
        raise UnsupportedGrammarError(FIELD, self.located(at, reason))

    def too_much(self, at: int, reason: str) -> NoReturn:
        """Raise ``BudgetExceededError``."""
        raise BudgetExceededError(FIELD, self.located(at, reason))

    def located(self, at: int, reason: str) -> str:
        """``line L, column C: reason``, then the line with a caret under the place."""
        start = self.text.rfind("\n", 0, at) + 1
        stop = self.text.find("\n", at)
        stop = len(self.text) if stop < 0 else stop
        line = self.text.count("\n", 0, at) + 1
        left, right = max(start, at - _EXCERPT), min(stop, at + _EXCERPT)
        excerpt = self.text[left:right].replace("\t", " ").replace("\r", " ")
        return f"line {line}, column {at - start + 1}: {reason}\n  {excerpt}\n  {' ' * (at - left)}^"

    def _found(self, at: int) -> str:
        if at >= len(self.text):
            return "the end of the grammar"
        return "the end of the line" if self.text[at] in "\r\n" else repr(self.text[at])
