"""A suffix automaton: the longest end of a text that occurred before, kept up to date token by token.

Every state stands for the substrings that end at the same places; ``length`` is the longest of them, ``link`` the state
of their longest suffix that ends elsewhere too, ``end`` one past the first place where they end. Following the cursor
costs amortised constant time a token, whatever the length of the text, and it always finds the *longest* match, with no
bound on its length.

Source: speculative spec, section 14, SAM-Decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Match:
    """How much of a text's end occurred before, and where it went on: ``text[end:]`` of the automaton's text."""

    length: int
    end: int


@dataclass(slots=True)
class SuffixAutomaton:
    """The automaton of ``text``. At most ``2 * len(text)`` states."""

    text: list[int] = field(default_factory=list)
    _length: list[int] = field(default_factory=lambda: [0])
    _link: list[int] = field(default_factory=lambda: [-1])
    _end: list[int] = field(default_factory=lambda: [0])
    _next: list[dict[int, int]] = field(default_factory=lambda: [{}])
    _last: int = 0

    def extend(self, tokens: Sequence[int]) -> None:
        """Append to the text."""
        for token in tokens:
            self._append(token)

    def advance(self, state: int, matched: int, token: int) -> tuple[int, int]:
        """The state and length of the longest match after one more token; from ``(0, 0)`` at the start of a text."""
        state = self._settled(state, matched)
        while state and token not in self._next[state]:
            state = self._link[state]
            matched = self._length[state]
        following = self._next[state].get(token)
        return (following, matched + 1) if following is not None else (0, 0)

    def match(self, state: int, matched: int) -> Match:
        """Where a state that :meth:`advance` led to first ended in the text."""
        return Match(matched, self._end[self._settled(state, matched)])

    def own_match(self) -> Match:
        """The longest end of the text that ended earlier too: what the text repeats right now."""
        state = self._link[self._last] if self._last else 0
        return Match(self._length[state], self._end[state])

    def _settled(self, state: int, matched: int) -> int:
        """The state that holds a match now: growth may have split the one that held it, and the shorter part moved."""
        while state and matched <= self._length[self._link[state]]:
            state = self._link[state]
        return state

    def _append(self, token: int) -> None:
        self.text.append(token)
        new = self._new(self._length[self._last] + 1, 0, len(self.text), {})
        at = self._last
        while at != -1 and token not in self._next[at]:
            self._next[at][token] = new
            at = self._link[at]
        if at != -1:
            old = self._next[at][token]
            if self._length[old] == self._length[at] + 1:
                self._link[new] = old
            else:
                clone = self._new(self._length[at] + 1, self._link[old], self._end[old], dict(self._next[old]))
                while at != -1 and self._next[at].get(token) == old:
                    self._next[at][token] = clone
                    at = self._link[at]
                self._link[old] = self._link[new] = clone
        self._last = new

    def _new(self, length: int, link: int, end: int, following: dict[int, int]) -> int:
        self._length.append(length)
        self._link.append(link)
        self._end.append(end)
        self._next.append(following)
        return len(self._length) - 1
