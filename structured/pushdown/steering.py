"""From anywhere in a text to an end of it: lexeme by lexeme, by short words, what closes before what opens.

The reference interpreter is steered, in plain Python: for tests that ask whether a text can be completed at all.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection

import numpy as np

from latticework.structured.pushdown.automaton import Configuration, PushdownAutomaton
from latticework.structured.pushdown.reach_kernels import reach
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: What is tried in this order, each group shuffled: brackets that close, names that some schema requires, values
#: without parts, and what goes on.
_ORDER = (b"}])", b"", b'"0123456789tfnabcdeghijklmopqrsuvwxyz', b"-{[(", b",+")
_REQUIRED, _OTHERS = 1, 2
_RANK = {byte: rank for rank, group in enumerate(_ORDER) for byte in group}
_READABLE = bytes(itertools.chain(*_ORDER, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_:/.@ "))
#: Readable bytes first; bytes that no token may write alone come last.
_BYTES = bytes([*_READABLE, *(byte for byte in range(256) if byte not in _READABLE)])
#: How often a lexeme is chosen without regard to the order, so that no preference goes round in circles.
_WHIM = 0.1
_STATES = 20_000


class DeadEndError(Exception):
    """A text may neither go on nor end."""


class Steering:
    """Knows the short words of the lexemes that it came by.

    Args:
        automaton: The language.
        required: Names that objects may need, as JSON texts. Among many others chance would find them too late, where
            each of the others opens a new object.
    """

    def __init__(self, automaton: PushdownAutomaton, required: Collection[bytes] = ()) -> None:
        self._automaton = automaton
        self._required = frozenset(name[start:] for name in required for start in range(len(name) - 1))
        self._words: dict[tuple[Table, int], list[bytes]] = {}
        self._endings: dict[tuple[Table, int], bytes | None] = {}

    def to_an_end(self, state: Configuration, chance: random.Random, longest: int) -> bytes | None:
        """A text that completes the one that led to ``state``; ``None``: none was found of ``longest`` bytes.

        Special tokens on the way write nothing, so they are not in the text.

        Raises:
            DeadEndError: Nothing may follow and the text may not end: a dead end.
        """
        text = bytearray()
        for _ in range(longest):
            if self._automaton.accepts(state):
                return bytes(text)
            if len(text) > longest:
                break
            ending = self._ending(state)
            if ending is not None:
                return bytes(text) + ending
            word, state = self._go_on(state, chance, bytes(text))
            text += word
        return None

    def _ending(self, state: Configuration) -> bytes | None:
        """A word that ends text and lexeme at once, where the lexeme by itself would not end."""
        assert state.table is not None
        key = (state.table, state.state)
        if key not in self._endings:
            self._endings[key] = _shortest_ending(*key)
        word = self._endings[key]
        target = self._read(state, word) if word else None
        return word if target is not None and self._automaton.accepts(target) else None

    def _go_on(self, state: Configuration, chance: random.Random, so_far: bytes) -> tuple[bytes, Configuration]:
        """To the end of the lexeme, or where it may have ended already, the first byte of the next."""
        assert state.table is not None
        words = self._words_from(state.table, state.state)
        ways = chance.sample(words, len(words))
        if chance.random() >= _WHIM:
            ways.sort(key=self._rank)
        if state.table.result_at(state.state) != NO_RESULT:
            beyond = [bytes([byte]) for byte in _BYTES if state.table.step(state.state, byte) == DEAD]
            ways = beyond + ways
        for word in ways:
            if (target := self._read(state, word)) is not None:
                return word, target
        specials = [target for _, target in self._automaton.special_edges(state)]
        if specials:
            return b"", chance.choice(specials)
        for byte in _BYTES:
            if (target := self._automaton.step(state, byte)) is not None:
                return bytes([byte]), target
        raise DeadEndError(f"a dead end after {so_far!r}")

    def _rank(self, word: bytes) -> int:
        return _REQUIRED if word.lstrip() in self._required else _RANK.get(word[0], _OTHERS)

    def _read(self, state: Configuration, word: bytes) -> Configuration | None:
        for byte in word:
            target = self._automaton.step(state, byte)
            if target is None:
                return None
            state = target
        return state

    def _words_from(self, table: Table, start: int) -> list[bytes]:
        """For each result, a shortest word after which the lexeme may end with it."""
        known = self._words.get((table, start))
        if known is None:
            known = self._words[table, start] = list(shortest_words(table, start).values())
        return known


def shortest_words(table: Table, start: int) -> dict[int, bytes]:
    """For each result, a shortest text that leads from ``start`` to where the lexeme may end with it; none is empty."""
    reached = _Reached(table, start)
    words: dict[int, bytes] = {}
    for place in np.flatnonzero(table.result[reached.base_states] != NO_RESULT).tolist():
        result = table.result_at(int(reached.states[place]))
        if result not in words:
            words[result] = reached.word(place)
    return words


def _shortest_ending(table: Table, start: int) -> bytes | None:
    """A shortest text after which only the whole text may end, not the lexeme by itself."""
    reached = _Reached(table, start)
    bases = reached.base_states
    ending = np.flatnonzero((table.end[bases] != NO_RESULT) & (table.result[bases] == NO_RESULT))
    return reached.word(int(ending[0])) if len(ending) else None


class _Reached:
    """The states that are reached from one of a table, each by a shortest text, of readable bytes where there are any.

    Attributes:
        states: ``int64[.]``, the nearest first.
        base_states: The same without what is counted.
    """

    def __init__(self, table: Table, start: int) -> None:
        letters = list({int(table.classes[byte]): byte for byte in reversed(_BYTES)}.values())[::-1]
        advance = table.advance if table.advance is not None else np.zeros((0, 0), np.uint8)
        last = table.thresholds[-1] if table.thresholds else 0
        self.states, self._parents, self._bytes = reach(
            table.classes, table.delta, advance, last, start, np.array(letters, np.uint8), _STATES
        )
        self.base_states = self.states % len(table.delta)

    def word(self, place: int) -> bytes:
        """The text that leads to the state at a place."""
        letters = bytearray()
        while place >= 0:
            letters.append(self._bytes[place])
            place = int(self._parents[place])
        return bytes(reversed(letters))
