"""A nondeterministic machine over bytes, special tokens and *calls* of other sources: what a structural tag is made of.

Formats are glued together by free moves, as in Thompson's construction. A call stands for one whole document of another
source; :mod:`.lexing` turns the machine into a lexeme table whose results are the calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from latticework.structured.errors import BudgetExceededError, UnsupportedGrammarError
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

#: Well-formed UTF-8 (Unicode, table 3-7): ranges of lead bytes, and the ranges of the bytes that must follow.
_CONTINUATION = (0x80, 0xBF)
_LEADS: tuple[tuple[int, int, tuple[tuple[int, int], ...]], ...] = (
    (0x00, 0x7F, ()),
    (0xC2, 0xDF, (_CONTINUATION,)),
    (0xE0, 0xE0, ((0xA0, 0xBF), _CONTINUATION)),
    (0xE1, 0xEC, (_CONTINUATION, _CONTINUATION)),
    (0xED, 0xED, ((0x80, 0x9F), _CONTINUATION)),
    (0xEE, 0xEF, (_CONTINUATION, _CONTINUATION)),
    (0xF0, 0xF0, ((0x90, 0xBF), _CONTINUATION, _CONTINUATION)),
    (0xF1, 0xF3, (_CONTINUATION, _CONTINUATION, _CONTINUATION)),
    (0xF4, 0xF4, ((0x80, 0x8F), _CONTINUATION, _CONTINUATION)),
)
#: What is left of the character being read: the byte ranges still to come.
_Rest = tuple[tuple[int, int], ...]


class Network:
    """States are numbers; every method that reads something returns the state after it.

    Args:
        field: What errors name.
        max_states: More states than this are a ``BudgetExceededError``.
    """

    def __init__(self, field: str, max_states: int) -> None:
        self.field = field
        self.free: list[list[int]] = []
        self.reads: list[list[tuple[int, int, int]]] = []
        self.specials: list[list[tuple[int, int]]] = []
        self.calls: list[list[tuple[int, int]]] = []
        self._max_states = max_states

    def state(self) -> int:
        """A new state without any way on."""
        if len(self.free) >= self._max_states:
            raise BudgetExceededError(self.field, f"needs more than {self._max_states} states; repeat or nest less")
        for moves in (self.free, self.reads, self.specials, self.calls):
            moves.append([])
        return len(self.free) - 1

    def join(self, sources: Iterable[int], target: int | None = None) -> int:
        """Free moves from ``sources`` to ``target`` (a new state by default)."""
        target = self.state() if target is None else target
        for source in sources:
            if source != target:
                self.free[source].append(target)
        return target

    def literal(self, text: bytes, source: int) -> int:
        """Read ``text``."""
        for byte in text:
            target = self.state()
            self.reads[source].append((byte, byte, target))
            source = target
        return source

    def special(self, token_id: int, source: int) -> int:
        """Read one special token."""
        target = self.state()
        self.specials[source].append((token_id, target))
        return target

    def call(self, index: int, source: int) -> int:
        """Read one document of source number ``index``."""
        target = self.state()
        self.calls[source].append((index, target))
        return target

    def table(self, table: Table, source: int) -> int:
        """Read a text at whose end the lexeme ``table`` has a result."""
        states = [self.state() for _ in range(table.states)]
        self.free[source].append(states[table.start])
        final = self.state()
        for number, state in enumerate(states):
            for low, high, target in _ranges([table.step(number, byte) for byte in range(256)]):
                self.reads[state].append((low, high, states[target]))
            if table.end_at(number) != NO_RESULT:
                self.free[state].append(final)
        return final

    def any_tokens(self, specials: Iterable[int], source: int) -> int:
        """Read any bytes, and any of ``specials``. ``source`` itself is the state after them."""
        self.reads[source].append((0x00, 0xFF, source))
        self.specials[source].extend((token_id, source) for token_id in specials)
        return source

    def free_text(
        self, source: int, triggers: Sequence[bytes], excludes: Sequence[bytes], most: int | None = None
    ) -> tuple[int, list[int]]:
        """Read well-formed UTF-8 in which no excluded text occurs, up to its end or the first trigger.

        Args:
            source: Where it begins.
            triggers: Texts that end it.
            excludes: Texts that must not occur in it.
            most: How many characters it may have.

        Returns:
            ``(end, triggered)``: the state after a text without any trigger, and the state after each trigger.
        """
        patterns = [*triggers, *dict.fromkeys(excludes)]
        search = _Search(patterns)
        end = self.state()
        triggered = [self.state() for _ in triggers]
        start: tuple[int, _Rest, int | None] = (0, (), most)
        numbers = {start: self.state()}
        self.free[source].append(numbers[start])
        todo = [start]
        while todo:
            node, rest, left = place = todo.pop()
            if not rest:
                self.free[numbers[place]].append(end)
                if left == 0:
                    continue
                left = None if left is None else left - 1
            for low, high, after in _character_moves(rest):
                for first, last, target in search.moves(node, low, high):
                    hit = search.hit(target)
                    if hit is None:
                        following = (target, after, left)
                        if following not in numbers:
                            numbers[following] = self.state()
                            todo.append(following)
                        self.reads[numbers[place]].append((first, last, numbers[following]))
                    elif hit < len(triggers):
                        self.reads[numbers[place]].append((first, last, triggered[hit]))
        return end, triggered


    def trim(self, final: int) -> frozenset[int]:
        """Take away every way into a state from which ``final`` cannot be reached. Returns the states left."""
        sources: list[list[int]] = [[] for _ in self.free]
        for state, targets in enumerate(self.free):
            for target in targets:
                sources[target].append(state)
        for moves in (self.specials, self.calls):
            for state, pairs in enumerate(moves):
                for _, target in pairs:
                    sources[target].append(state)
        for state, ranges in enumerate(self.reads):
            for _, _, target in ranges:
                sources[target].append(state)
        alive, todo = {final}, [final]
        while todo:
            new = [source for source in sources[todo.pop()] if source not in alive]
            alive.update(new)
            todo.extend(new)
        for state in range(len(self.free)):
            self.free[state] = [target for target in self.free[state] if target in alive]
            self.reads[state] = [read for read in self.reads[state] if read[2] in alive]
            self.specials[state] = [pair for pair in self.specials[state] if pair[1] in alive]
            self.calls[state] = [pair for pair in self.calls[state] if pair[1] in alive]
        return frozenset(alive)


def _character_moves(rest: _Rest) -> list[tuple[int, int, _Rest]]:
    if rest:
        return [(*rest[0], rest[1:])]
    return [(low, high, tail) for low, high, tail in _LEADS]


class _Search:
    """Aho-Corasick: which patterns has the text, read so far, just completed, and what prefix of one does it end in."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self._children: list[dict[int, int]] = [{}]
        self._hits: list[int | None] = [None]
        for number, pattern in enumerate(patterns):
            node = 0
            for byte in pattern:
                if byte not in self._children[node]:
                    self._children[node][byte] = len(self._children)
                    self._children.append({})
                    self._hits.append(None)
                node = self._children[node][byte]
            if self._hits[node] is not None:
                raise UnsupportedGrammarError("structural_tag", f"{pattern!r} stands twice among triggers and excludes")
            self._hits[node] = number
        self._fail = [0] * len(self._children)
        queue = list(self._children[0].values())
        for node in queue:
            for byte, child in self._children[node].items():
                queue.append(child)
                self._fail[child] = self._next(self._fail[node], byte)
                if self._hits[child] is None:
                    self._hits[child] = self._hits[self._fail[child]]

    def hit(self, node: int) -> int | None:
        """The pattern that ends here."""
        return self._hits[node]

    def moves(self, node: int, low: int, high: int) -> list[tuple[int, int, int]]:
        """The nodes after the bytes ``low..high``, as ranges."""
        known: set[int] = set()
        place = node
        while True:
            known |= self._children[place].keys()
            if place == 0:
                break
            place = self._fail[place]
        cuts = sorted({low, high + 1} | {b for k in known for b in (k, k + 1) if low < b <= high})
        return [(first, after - 1, self._next(node, first)) for first, after in pairwise(cuts)]

    def _next(self, node: int, byte: int) -> int:
        while node and byte not in self._children[node]:
            node = self._fail[node]
        return self._children[node].get(byte, 0)


def _ranges(targets: Sequence[int]) -> list[tuple[int, int, int]]:
    ranges: list[tuple[int, int, int]] = []
    for byte, target in enumerate(targets):
        if target == DEAD:
            continue
        if ranges and ranges[-1][1] == byte - 1 and ranges[-1][2] == target:
            ranges[-1] = (ranges[-1][0], byte, target)
        else:
            ranges.append((byte, byte, target))
    return ranges
