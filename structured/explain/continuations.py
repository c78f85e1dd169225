"""What may come next: the bytes, and short examples of what they begin."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterator

from latticework.structured.automaton import Automaton, State
from latticework.structured.explain.walking import walk
from latticework.structured.pushdown.automaton import Configuration
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

_STEPS = 4000
_LONGEST = 60
_WORDS_A_RESULT = 3
#: Which byte stands for many: letters and digits before punctuation, readable ones before others.
_READABLE = b'"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. }],:{['
_RANK = {byte: rank for rank, byte in enumerate(_READABLE)}


def allowed_bytes(automaton: Automaton, state: State) -> tuple[tuple[int, int], ...]:
    """The bytes allowed in ``state`` as ranges (inclusive), rising, neighbours joined."""
    ranges: list[tuple[int, int]] = []
    for low, high, _ in automaton.edges(state):
        if ranges and ranges[-1][1] == low - 1:
            ranges[-1] = (ranges[-1][0], high)
        else:
            ranges.append((low, high))
    return tuple(ranges)


def examples(automaton: Automaton, state: State, count: int = 8) -> tuple[bytes, ...]:
    """Up to ``count`` short texts that may come next; they end with a lexeme, or with the text.

    Each first step that leads somewhere else gets its turn before a second example of the same.
    """
    first: dict[Hashable, tuple[int, State]] = {}
    for low, high, target in automaton.edges(state):
        step = (min(range(low, high + 1), key=_rank), target)
        known = first.setdefault(_alike(target), step)
        if _rank(step[0]) < _rank(known[0]):
            first[_alike(target)] = step
    steps = dict(first.values())
    readable = [byte for byte in steps if byte < 128] or list(steps)
    ways = [_words(automaton, steps[byte], bytes([byte])) for byte in sorted(readable, key=_rank)]
    found: dict[bytes, None] = {}
    while ways and len(found) < count:
        going = []
        for way in ways:
            word = next(way, None)
            if word is not None:
                found[word] = None
                going.append(way)
        ways = going
    return tuple(sorted(list(found)[:count], key=lambda word: (len(word), word)))


def _alike(state: State) -> Hashable:
    """Equal for states that differ in nothing but the very text that was read."""
    return (state.table, state.state, state.stack) if isinstance(state, Configuration) else state


def _words(automaton: Automaton, state: State, prefix: bytes) -> Iterator[bytes]:
    """``prefix``, after which the automaton is in ``state``, prolonged in different ways, shortest first."""
    if isinstance(state, Configuration):
        return lexeme_words(automaton, state, prefix)
    return _text_words(automaton, state, prefix)


def lexeme_words(automaton: Automaton, start: Configuration, prefix: bytes) -> Iterator[bytes]:
    """To the end of the lexeme: the shortest texts for each of its results."""
    table = start.table
    if table is None:
        yield prefix
        return
    found: Counter[int] = Counter()
    seen = {start.state}
    queue = deque([(start.state, b"")])
    representatives = _representatives(table.classes.tolist())
    for _ in range(_STEPS):
        if not queue:
            return
        state, word = queue.popleft()
        result = table.result_at(state)
        if result != NO_RESULT and found[result] < _WORDS_A_RESULT and _is_whole(automaton, start, word):
            found[result] += 1
            yield prefix + word
        if len(word) < _LONGEST:
            for byte in representatives:
                target = table.step(state, byte)
                if target != DEAD and target not in seen:
                    if not table.closed(target):  # many words may end in one state
                        seen.add(target)
                    queue.append((target, word + bytes([byte])))


def _text_words(automaton: Automaton, start: State, prefix: bytes) -> Iterator[bytes]:
    """To an end of the text."""
    seen = {start}
    queue = deque([(start, prefix)])
    for _ in range(_STEPS // 8):
        if not queue:
            return
        state, word = queue.popleft()
        if automaton.accepts(state):
            yield word
        if len(word) < _LONGEST:
            for low, high, target in automaton.edges(state):
                if target not in seen:
                    seen.add(target)
                    queue.append((target, word + bytes([min(range(low, high + 1), key=_rank)])))


def _representatives(classes: list[int]) -> list[int]:
    """One byte a class, the most readable, in order of rank."""
    best: dict[int, int] = {}
    for byte, group in enumerate(classes):
        if group not in best or _rank(byte) < _rank(best[group]):
            best[group] = byte
    return sorted(best.values(), key=_rank)


def _rank(byte: int) -> tuple[int, int]:
    return (_RANK.get(byte, len(_RANK) if 32 <= byte < 127 else 2 * len(_RANK)), byte)


def where(configuration: Configuration) -> tuple[Table | None, object]:
    """The lexeme that a configuration is in: its table, and who waits for its result."""
    return configuration.table, configuration.stack[1] if configuration.stack else None


def _is_whole(automaton: Automaton, start: Configuration, word: bytes) -> bool:
    """Whether the lexeme may end after ``word``: its result must be one that is wanted."""
    position, state = walk(automaton, start, word)
    if position < len(word):
        return False
    return (
        where(state) != where(start)
        or automaton.accepts(state)
        or any(where(target) != where(start) for _, _, target in automaton.edges(state))
    )
