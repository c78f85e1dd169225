"""What may follow a terminal, tried over the bytes that were read beyond it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latticework.structured.cfg.lexer import Lexer
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table


@dataclass(frozen=True, slots=True)
class Ahead:
    """What holds after some bytes: with equal ``key`` the same may follow. ``whole``: they may be whole lexemes."""

    key: int | bytes
    whole: bool


class LookAhead:
    """Answers are kept. Places allow fewer terminals than are tried here, so what is possible here may fail there.

    Args:
        lexer: The tables.
        following: Per terminal, those that may come next somewhere.
    """

    def __init__(self, lexer: Lexer, following: Mapping[int, frozenset[int]]) -> None:
        self._lexer = lexer
        self._following = following
        self._known: dict[tuple[int, bytes], Ahead | None] = {}
        self._letters: dict[tuple[int, bytes], npt.NDArray[np.bool_]] = {}

    def after(self, terminal: int, text: bytes) -> Ahead | None:
        """What is known once ``text`` was read after ``terminal``; ``None`` if nothing can begin like that."""
        key = (terminal, text)
        if key not in self._known:
            self._known[key] = self._tried(self._following[terminal], text)
        return self._known[key]

    def letters(self, terminal: int, text: bytes) -> npt.NDArray[np.bool_]:
        """The letters that may be read next, ``bool[letters]``."""
        key = (terminal, text)
        if key not in self._letters:
            ways = [self.after(terminal, text + bytes([letter])) for letter in self._lexer.side_by_side.letters]
            self._letters[key] = np.array([ahead is not None for ahead in ways])
        return self._letters[key]

    def _tried(self, following: frozenset[int], text: bytes) -> Ahead | None:
        allowed, rest = following, text
        while True:
            table = self._lexer.context(allowed).table
            state, read = run(table, rest)
            result = table.result_at(state)
            if read == len(rest):
                if not table.outcome_set(state) & sum(1 << terminal for terminal in allowed):
                    return None
                return Ahead(state if rest is text else text, result != NO_RESULT)
            if result == NO_RESULT:
                return None
            allowed, rest = frozenset(range(self._lexer.end)), rest[read:]


def run(table: Table, text: bytes) -> tuple[int, int]:
    """The state after as much of ``text`` as one lexeme takes, and how much that is."""
    state = table.start
    for place, byte in enumerate(text):
        target = table.step(state, byte)
        if target == DEAD:
            return state, place
        state = target
    return state, len(text)
