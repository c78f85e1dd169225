"""The texts that occur in a given text, as one lexeme: its suffix automaton, spelled in UTF-8.

A suffix automaton (Blumer et al. 1985; the online construction) has fewer than twice as many states as the text has
characters, and every path from its start is a substring. It is built over characters, so that no substring begins or
ends in the middle of one.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from latticework.structured.errors import BudgetExceededError, GrammarError
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: Bound on the length of a text, in characters.
MAX_CHARACTERS = 20_000


@lru_cache(maxsize=32)
def substrings_table(text: str, *, field: str = "text") -> Table:
    """The non-empty substrings of ``text``; result 0.

    Raises:
        GrammarError: The text is empty, or not valid Unicode.
        BudgetExceededError: It has more than :data:`MAX_CHARACTERS` characters.
    """
    if not text:
        raise GrammarError(field, "expected a text that is not empty")
    if len(text) > MAX_CHARACTERS:
        raise BudgetExceededError(field, f"{len(text)} characters, more than the limit of {MAX_CHARACTERS}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GrammarError(field, f"holds a lone surrogate: {error}") from None
    moves = suffix_automaton(text)
    edges: list[dict[int, int]] = [{} for _ in moves]
    for state, following in enumerate(moves):
        _spell(state, following, edges)
    bytes_ = sorted({byte for row in edges for byte in row})
    classes = np.full(256, len(bytes_), np.uint8)  # the last class: bytes that never occur
    classes[bytes_] = np.arange(len(bytes_))
    delta = np.full((len(edges), len(bytes_) + 1), DEAD, np.int32)
    for state, row in enumerate(edges):
        for byte, target in row.items():
            delta[state, classes[byte]] = target
    result = np.full(len(edges), NO_RESULT, np.int32)
    result[1 : len(moves)] = 0
    return Table(classes, delta, result, result, np.ones((len(edges), 1), np.uint64))


def suffix_automaton(text: str) -> list[dict[str, int]]:
    """The moves of each state, 0 the start; its words are exactly the substrings of ``text``."""
    moves: list[dict[str, int]] = [{}]
    longest, link = [0], [-1]

    def add(length: int, targets: dict[str, int], suffix: int) -> int:
        moves.append(targets)
        longest.append(length)
        link.append(suffix)
        return len(moves) - 1

    last = 0
    for character in text:
        new = add(longest[last] + 1, {}, 0)
        at = last
        while at >= 0 and character not in moves[at]:
            moves[at][character] = new
            at = link[at]
        if at >= 0:
            target = moves[at][character]
            if longest[target] > longest[at] + 1:  # the target also ends longer words: split off those that end here
                copy = add(longest[at] + 1, dict(moves[target]), link[target])
                while at >= 0 and moves[at].get(character) == target:
                    moves[at][character] = copy
                    at = link[at]
                link[target] = target = copy
            link[new] = target
        last = new
    return moves


def _spell(state: int, moves: dict[str, int], edges: list[dict[int, int]]) -> None:
    """Add the bytes of ``moves`` to ``edges``; states within a character are appended."""
    within: dict[bytes, int] = {b"": state}
    for character, target in moves.items():
        spelled = character.encode()
        for size in range(1, len(spelled)):
            if spelled[:size] not in within:
                within[spelled[:size]] = len(edges)
                edges[within[spelled[: size - 1]]][spelled[size - 1]] = len(edges)
                edges.append({})
        edges[within[spelled[:-1]]][spelled[-1]] = target
