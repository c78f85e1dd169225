"""Characters spelled as bytes: from a machine over characters to a table over bytes.

A *spelling* is a graph that reads the bytes of one character and ends in the character's class. It depends on the
classes only, so it is built once and then laid over every state of the machine.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from latticework.structured.automata import moore_kernels as kernels
from latticework.structured.automata.moore import Moore
from latticework.structured.automata.spelling_kernels import lay_out
from latticework.structured.errors import BudgetExceededError, GrammarError
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table

Ints = npt.NDArray[np.int32]


class Writing(Enum):
    """How characters are written."""

    #: Plain UTF-8.
    RAW = auto()
    #: Inside a JSON string, each character in one way: raw UTF-8, except for a quote, a backslash and the controls up
    #: to U+001F, which take their short escape if they have one and ``\\u00xx`` (hexadecimal in any case) if not.
    CANONICAL = auto()
    #: Inside a JSON string, in every way RFC 8259 allows; surrogate escapes in pairs only.
    ANY = auto()


#: ``(low, high, goes to)``: a node if not negative, else the class ``~value``.
_Edge = tuple[int, int, int]

_SHORT = {0x08: "b", 0x09: "t", 0x0A: "n", 0x0C: "f", 0x0D: "r", 0x22: '"', 0x5C: "\\"}


@dataclass(frozen=True, eq=False, slots=True)
class Spelling:
    """A spelling graph in arrays; node 0 is before a character.

    Attributes:
        classes: ``uint8[256]``, classes of bytes that no node tells apart.
        width: How many of them there are.
        first: ``int32[nodes + 1]``, where the edges of a node begin.
        column: ``int32[edges]``, the byte class.
        target: ``int32[edges]``, a node, or ``~c`` for the end of a character of class ``c``.
        uniform: ``int32[nodes]``, the class in which every way on from here ends, or -1 if there are several.
    """

    classes: npt.NDArray[np.uint8]
    width: int
    first: Ints
    column: Ints
    target: Ints
    uniform: Ints


class _Builder:
    """Nodes with equal edges are one node."""

    def __init__(self, cuts: list[int], kinds: list[int]) -> None:
        self.cuts = cuts
        self.kinds = kinds
        self.nodes: list[tuple[_Edge, ...]] = [()]
        self.known: dict[tuple[_Edge, ...], int] = {}
        self.filled: dict[tuple[int, int], int] = {}

    def node(self, edges: list[_Edge]) -> int:
        key = tuple(edges)
        number = self.known.get(key)
        if number is None:
            number = self.known[key] = len(self.nodes)
            self.nodes.append(key)
        return number

    def run(self, point: int) -> int:
        return bisect_right(self.cuts, point) - 1

    def kind(self, point: int) -> int:
        return self.kinds[self.run(point)]

    def run_end(self, run: int) -> int:
        return self.cuts[run + 1] - 1 if run + 1 < len(self.cuts) else 0x10FFFF

    def block(self, start: int, level: int, low: int = 0x80, high: int = 0xBF) -> int:
        """Where ``level`` continuation bytes lead whose characters begin at ``start``; the first is ``low..high``."""
        if level == 0:
            return ~self.kind(start)
        size = 64 ** (level - 1)
        first = start + (low - 0x80) * size
        run = self.run(first)
        plain = (low, high) == (0x80, 0xBF)
        if plain and self.run_end(run) >= start + 64 * size - 1:
            return self.full(self.kinds[run], level)
        return self.node(self.children(first, low, high, level - 1))

    def children(self, first: int, low: int, high: int, level: int) -> list[_Edge]:
        """Edges on bytes ``low..high``, whose characters begin at ``first``, with ``level`` bytes to follow."""
        size = 64**level
        edges: list[_Edge] = []
        byte, point = low, first
        while byte <= high:
            whole = (self.run_end(self.run(point)) + 1 - point) // size
            last = min(high, byte + max(whole, 1) - 1)
            edges.append((byte, last, self.block(point, level)))
            point += (last + 1 - byte) * size
            byte = last + 1
        return edges

    def full(self, kind: int, level: int) -> int:
        if level == 0:
            return ~kind
        known = self.filled.get((kind, level))
        if known is None:
            known = self.filled[kind, level] = self.node([(0x80, 0xBF, self.full(kind, level - 1))])
        return known

    def multibyte(self) -> list[_Edge]:
        """Edges on the lead bytes of characters from U+0080 (RFC 3629, section 4)."""
        edges = self.children(0x80, 0xC2, 0xDF, 1)
        edges.append((0xE0, 0xE0, self.block(0, 2, 0xA0)))
        edges += self.children(0x1000, 0xE1, 0xEC, 2)
        edges.append((0xED, 0xED, self.block(0xD000, 2, 0x80, 0x9F)))
        edges += self.children(0xE000, 0xEE, 0xEF, 2)
        edges.append((0xF0, 0xF0, self.block(0, 3, 0x90)))
        edges += self.children(0x40000, 0xF1, 0xF3, 3)
        edges.append((0xF4, 0xF4, self.block(0x100000, 3, 0x80, 0x8F)))
        return edges

    def ascii(self, low: int) -> list[_Edge]:
        edges: list[_Edge] = []
        while low < 0x80:
            run = self.run(low)
            last = min(self.run_end(run), 0x7F)
            edges.append((low, last, ~self.kinds[run]))
            low = last + 1
        return edges

    def plain(self) -> list[_Edge]:
        """One character as itself, inside a JSON string."""
        edges: list[_Edge] = []
        for low, high, target in self.ascii(0x20):
            for mark in (0x22, 0x5C):
                if low <= mark <= high:
                    if low < mark:
                        edges.append((low, mark - 1, target))
                    low = mark + 1
            if low <= high:
                edges.append((low, high, target))
        return edges + self.multibyte()

    def canonical_escapes(self) -> int:
        edges = [(ord(letter), ord(letter), ~self.kind(point)) for point, letter in _SHORT.items()]
        units = [[point for point in range(high << 4, (high << 4) + 16) if point not in _SHORT] for high in (0, 1)]
        nodes = [
            self.node(
                [(ord(d), ord(d), ~self.kind(point)) for point in unit for d in {f"{point % 16:x}", f"{point % 16:X}"}]
            )
            for unit in units
        ]
        node = self.node([(0x30, 0x30, nodes[0]), (0x31, 0x31, nodes[1])])
        for _ in range(2):
            node = self.node([(0x30, 0x30, node)])
        return self.node([*edges, (ord("u"), ord("u"), node)])

    def any_escape(self) -> int:
        """Escapes of every character; only where all are of one class."""
        done = ~self.kinds[0]
        digits = [(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)]
        one = self.node([(low, high, done) for low, high in digits])
        two = self.node([(low, high, one) for low, high in digits])
        three = self.node([(low, high, two) for low, high in digits])
        low_unit = self.node([(d, d, self.node([(0x43, 0x46, two), (0x63, 0x66, two)])) for d in (0x44, 0x64)])
        pair = self.node([(0x5C, 0x5C, self.node([(0x75, 0x75, low_unit)]))])
        for _ in range(2):
            pair = self.node([(low, high, pair) for low, high in digits])
        after_d = self.node([(0x30, 0x37, two), *((d, e, pair) for d, e in ((0x38, 0x39), (0x41, 0x42), (0x61, 0x62)))])
        unit = [(0x30, 0x39, three), (0x41, 0x43, three), (0x44, 0x44, after_d), (0x45, 0x46, three)]
        unit += [(low + 0x20, high + 0x20, target) for low, high, target in unit[1:]]
        short = [(ord(letter), ord(letter), done) for letter in '"\\/bfnrt']
        return self.node([*short, (0x75, 0x75, self.node(unit))])


def spelling(machine: Moore, writing: Writing) -> Spelling:
    """The spelling graph of a machine's classes."""
    return _spelling(machine.cuts.tobytes(), machine.kinds.tobytes(), writing)


@lru_cache(maxsize=256)
def _spelling(cuts: bytes, kinds: bytes, writing: Writing) -> Spelling:
    builder = _Builder(np.frombuffer(cuts, np.int32).tolist(), np.frombuffer(kinds, np.int32).tolist())
    if writing is Writing.RAW:
        root = builder.ascii(0) + builder.multibyte()
    else:
        escape = builder.any_escape() if writing is Writing.ANY else builder.canonical_escapes()
        root = [*builder.plain(), (0x5C, 0x5C, escape)]
    builder.nodes[0] = tuple(root)
    return _arrays(builder.nodes)


def _arrays(nodes: list[tuple[_Edge, ...]]) -> Spelling:
    # The quote ends a JSON string, so it needs a class of its own even where no node reads it.
    cuts = sorted({0, 0x22, 0x23} | {e[0] for node in nodes for e in node} | {e[1] + 1 for node in nodes for e in node})
    cuts = [cut for cut in cuts if cut < 256]
    number = {cut: index for index, cut in enumerate(cuts)}
    number[256] = len(cuts)
    first: list[int] = [0]
    column: list[int] = []
    target: list[int] = []
    for node in nodes:
        for low, high, goal in node:
            span = range(number[low], number[high + 1])
            column.extend(span)
            target.extend([goal] * len(span))
        first.append(len(column))
    uniform = [-1] * len(nodes)
    for index in [*range(1, len(nodes)), 0]:  # children come before their parents, except for the root
        ends = {~goal if goal < 0 else uniform[goal] for _, _, goal in nodes[index]}
        if len(ends) == 1:
            uniform[index] = ends.pop()
    classes = np.zeros(256, np.uint8)
    classes[cuts[1:]] = 1
    return Spelling(
        np.cumsum(classes).astype(np.uint8),
        len(cuts),
        np.array(first, np.int32),
        np.array(column, np.int32),
        np.array(target, np.int32),
        np.array(uniform, np.int32),
    )


def quoted_table(machine: Moore, writing: Writing, *, field: str, max_states: int = 150_000) -> Table:
    """The table of a whole JSON string, quotes included; its result is the machine's label of the content.

    State 0 is the start, before the opening quote; the closed states come last, in the order of the labels.

    Raises:
        BudgetExceededError: More than ``max_states`` states.
    """
    graph = spelling(machine, writing)
    quote = int(graph.classes[0x22])
    labels = int(machine.label.max()) + 1
    inner = lay_out(machine.delta, graph.first, graph.column, graph.target, graph.uniform, graph.width, max_states)
    if len(inner) == 0:
        raise BudgetExceededError(field, f"needs more than {max_states} states of bytes")
    n = len(inner)
    rows = np.full((n + 1 + labels, graph.width), DEAD, np.int32)
    rows[1 : n + 1] = np.where(inner == DEAD, DEAD, inner + 1)
    rows[0, quote] = 1
    rows[1 : len(machine.delta) + 1, quote] = n + 1 + machine.label
    result = np.full(len(rows), NO_RESULT, np.int32)
    result[n + 1 :] = np.arange(labels)
    return finished(graph.classes, rows, result)


def raw_table(machine: Moore, *, field: str, max_states: int = 400_000) -> Table:
    """The table of plain UTF-8 texts: label ``r + 1`` is result ``r``, label 0 is no result.

    Raises:
        GrammarError: No text has a result.
        BudgetExceededError: More than ``max_states`` states.
    """
    graph = spelling(machine, Writing.RAW)
    rows = lay_out(machine.delta, graph.first, graph.column, graph.target, graph.uniform, graph.width, max_states)
    if len(rows) == 0:
        raise BudgetExceededError(field, f"needs more than {max_states} states of bytes")
    result = np.full(len(rows), NO_RESULT, np.int32)
    result[: len(machine.label)] = machine.label - 1
    table = finished(graph.classes, rows, result)
    if not table.outcomes[0].any():
        raise GrammarError(field, "matches no text at all")
    return table


def finished(classes: npt.NDArray[np.uint8], rows: Ints, result: Ints) -> Table:
    """A table from its rows; states without outcome are no longer led to."""
    width = max(int(result.max()), 0) // 64 + 1
    own = np.zeros((len(rows), width), np.uint64)
    ending = np.flatnonzero(result != NO_RESULT)
    own[ending, result[ending] // 64] = np.uint64(1) << (result[ending] % 64).astype(np.uint64)
    outcomes = kernels.outcomes(rows, own)
    dead = ~outcomes.any(axis=1)
    if dead.any():
        rows[(rows != DEAD) & dead[rows]] = DEAD
    unused = (rows == DEAD).all(axis=0)
    if unused.sum() > 1:  # most texts need few characters, and every state pays for every class
        kept = np.flatnonzero(~unused)
        number = np.full(len(unused), len(kept), np.uint8)
        number[kept] = np.arange(len(kept))
        classes = number[classes]
        rows = np.ascontiguousarray(rows[:, [*kept, int(np.flatnonzero(unused)[0])]])
    return Table(classes, rows, result, result, outcomes)
