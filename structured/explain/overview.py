"""What a constraint was compiled to: its lexemes, the places where they are read, and what may come first."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import islice

from latticework.structured.automaton import Automaton, State
from latticework.structured.explain.continuations import allowed_bytes, examples, lexeme_words, where
from latticework.structured.explain.explanation import automaton_of
from latticework.structured.explain.restrictions import Keyword, restrictions
from latticework.structured.explain.walking import walk
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.automaton import Configuration
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

_PLACES = 200
_STATES = 500
_WORDS = 12
_FORCED = 200


@dataclass(frozen=True, slots=True)
class Place:
    """A lexeme at a place of the language.

    Attributes:
        before: The shortest text that was found to lead there.
        words: What may be read there: short texts for each of the lexeme's results, at most twelve.
        states: States of the lexeme's table; ``base states x counts`` for a table that counts.
        classes: Byte classes of the table.
    """

    before: bytes
    words: tuple[bytes, ...]
    states: int
    classes: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What was compiled.

    Attributes:
        spec: From what.
        keywords: How often each keyword that forbids something occurs, in alphabetical order.
        allowed: The bytes that may come first, as ranges.
        examples: Some short texts that may come first.
        forced: The bytes that every text begins with, at most 200.
        tables: Different lexeme tables, as far as they were found; 0 if the constraint is a plain automaton.
        places: Where lexemes are read, in the order of the texts that lead there, at most 200.
        states: States of a plain automaton, as far as they were counted.
        whole: Whether all places or states were found.
    """

    spec: GrammarSpec
    keywords: tuple[tuple[str, int], ...]
    allowed: tuple[tuple[int, int], ...]
    examples: tuple[bytes, ...]
    forced: bytes
    tables: int
    places: tuple[Place, ...]
    states: int
    whole: bool


def overview(
    spec: GrammarSpec,
    vocabulary: Vocabulary,
    limits: GrammarLimits = GrammarLimits(),  # noqa: B008 - frozen, so sharing the default is safe
) -> Overview:
    """Compile and look around. Raises as compiling does."""
    automaton = automaton_of(spec, vocabulary, limits)
    start = automaton.start()
    keywords = Counter(each.name for each in restrictions(spec) if isinstance(each, Keyword))
    tables, states = 0, 0
    places: tuple[Place, ...] = ()
    if isinstance(start, Configuration):
        tables, places, whole = _places(automaton, start)
    else:
        states, whole = _count_states(automaton, start)
    return Overview(
        spec,
        tuple(sorted(keywords.items())),
        allowed_bytes(automaton, start),
        examples(automaton, start),
        _forced(automaton, start),
        tables,
        places,
        states,
        whole,
    )


def _places(automaton: Automaton, start: Configuration) -> tuple[int, tuple[Place, ...], bool]:
    """Follow every word of every lexeme, once for each lexeme and symbol on top of the stack."""
    places: list[Place] = []
    tables: set[int] = set()
    queue = deque([(b"", start)])
    seen = {where(start)}
    while queue and len(places) < _PLACES:
        before, here = queue.popleft()
        if here.table is None:
            continue
        words = tuple(islice(lexeme_words(automaton, here, b""), _WORDS))
        tables.add(id(here.table))
        places.append(Place(before, words, here.table.states, here.table.delta.shape[1]))
        for word in words:
            for text, there in _after(automaton, here, word):
                if where(there) not in seen:
                    seen.add(where(there))
                    queue.append((before + text, there))
    return len(tables), tuple(places), not queue


def _after(automaton: Automaton, here: Configuration, word: bytes) -> list[tuple[bytes, Configuration]]:
    """Where a lexeme that reads ``word`` leads: a lexeme that needs to see the next byte leads to several places."""
    _, state = walk(automaton, here, word)
    if where(state) != where(here):
        return [(word, state)]
    return [(word + bytes([low]), target) for low, _, target in automaton.edges(state) if where(target) != where(here)]


def _count_states(automaton: Automaton, start: State) -> tuple[int, bool]:
    seen = {start}
    queue = deque([start])
    while queue and len(seen) < _STATES:
        for _, _, target in automaton.edges(queue.popleft()):
            if target not in seen:
                seen.add(target)
                queue.append(target)
    return len(seen), not queue


def _forced(automaton: Automaton, state: State) -> bytes:
    text = bytearray()
    while len(text) < _FORCED and not automaton.accepts(state):
        edges = automaton.edges(state)
        if len(edges) != 1 or edges[0][0] != edges[0][1]:
            break
        text.append(edges[0][0])
        state = edges[0][2]
    return bytes(text)
