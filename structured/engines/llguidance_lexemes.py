"""Grammars for llguidance in which its lexer cannot go wrong: their pieces, a check, and their text in Lark.

llguidance cuts text into lexemes and always takes the longest, while a structural tag says only which texts are
allowed. The two agree unless some text could end a lexeme *and* go on, either as what follows or as a longer lexeme:
after ``any text`` nothing can ever follow. So neighbouring texts are joined into one lexeme, inside which everything is
exact, and :func:`refuse_ambiguous` replays the lexer over the rest to find out whether it ever faces that choice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from latticework.structured.automata.combinators import sequence, union
from latticework.structured.automaton import Automaton, AutomatonBase, Edge, State
from latticework.structured.errors import UnsupportedGrammarError

_MAX_LEAVES = 5_000
_MAX_CONFIGURATIONS = 50_000
_GREEDY = "llguidance takes the longest lexeme, and "
_TOO_LARGE = "it is too large to check whether llguidance's lexer reads it right"


@dataclass(frozen=True, eq=False)
class Lexeme:
    """One terminal: its Lark expression, an automaton of at least its texts, and the path of the (first) format."""

    source: str
    automaton: Automaton
    where: str


@dataclass(frozen=True)
class Special:
    """One special token, which has no bytes and so is never confused with text."""

    token_id: int


@dataclass(frozen=True)
class Document:
    """JSON: its ``%json`` directive, its path, the bytes it can begin with, those that can lengthen a complete one."""

    source: str
    where: str
    opens: frozenset[int]
    extends: frozenset[int]


@dataclass(frozen=True, eq=False)
class Series:
    """One piece after the other; no pieces is the empty text."""

    parts: tuple[Piece, ...]


@dataclass(frozen=True, eq=False)
class Choice:
    """Any one of the options."""

    options: tuple[Piece, ...]


@dataclass(frozen=True, eq=False)
class Repeated:
    """``low`` to ``high`` times; ``high`` is ``None`` without a bound."""

    part: Piece
    low: int
    high: int | None


Leaf: TypeAlias = Lexeme | Special | Document
Piece: TypeAlias = Leaf | Series | Choice | Repeated
EMPTY = Series(())


class FreeText(AutomatonBase):
    """Text without any of ``excluded``; with ``until``, the text up to and including its first occurrence.

    A state is the longest end of the text that begins one of the strings looked for; ``None`` is after ``until``. Bytes
    that are no UTF-8 pass, so there are more texts than llguidance's regex has.
    """

    def __init__(self, excluded: Iterable[str], until: str | None = None) -> None:
        self._excluded = tuple(marker.encode() for marker in excluded)
        self._until = None if until is None else until.encode()
        markers = self._excluded if self._until is None else (*self._excluded, self._until)
        self._prefixes = {marker[:length] for marker in markers for length in range(len(marker))} | {b""}
        self._bytes = sorted({byte for marker in markers for byte in marker})

    def start(self) -> State:
        """See :meth:`Automaton.start`."""
        return b""

    def accepts(self, state: State) -> bool:
        """See :meth:`Automaton.accepts`."""
        return state is None if self._until is not None else True

    def edges(self, state: State) -> Sequence[Edge]:
        """See :meth:`Automaton.edges`."""
        if state is None:
            return ()
        edges: list[Edge] = []
        for before, byte in pairwise([-1, *self._bytes, 256]):
            if before + 1 < byte:
                edges.append((before + 1, byte - 1, b""))
            if byte < 256:
                edges.extend(self._edge(state + bytes([byte]), byte))
        return edges

    def _edge(self, text: bytes, byte: int) -> list[Edge]:
        if text.endswith(self._excluded):
            return []
        if self._until is not None and text.endswith(self._until):
            return [(byte, byte, None)]
        return [(byte, byte, next(text[i:] for i in range(len(text) + 1) if text[i:] in self._prefixes))]


class _Literal(AutomatonBase):
    """One text. A state is how many of its bytes are written."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()

    def start(self) -> State:
        return 0

    def accepts(self, state: State) -> bool:
        return bool(state == len(self._data))

    def edges(self, state: State) -> Sequence[Edge]:
        return [(self._data[state], self._data[state], state + 1)] if state < len(self._data) else ()


def literal(text: str, where: str) -> Piece:
    """Exactly ``text``."""
    return Lexeme(json.dumps(text, ensure_ascii=False), _Literal(text), where) if text else EMPTY


def free_text(excluded: Sequence[str], where: str, until: str | None = None) -> Lexeme:
    """See :class:`FreeText`."""
    conditions = [r"/(?s:.*)/"]
    if until is not None:
        conditions = [rf"/(?s:.*){_quoted(until)}/", rf"~/(?s:.*){_quoted(until)}(?s:.+)/"]
    if excluded:
        conditions.append(rf"~/(?s:.*)(?:{'|'.join(map(_quoted, excluded))})(?s:.*)/")
    return Lexeme(f"( {' & '.join(conditions)} )", FreeText(excluded, until), where)


def _quoted(text: str) -> str:
    return "".join(rf"\u{{{ord(character):x}}}" for character in text)


def series(*parts: Piece) -> Piece:
    """One piece after the other, neighbouring lexemes joined."""
    joined: list[Piece] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Series) else (part,):
            if joined and isinstance(piece, Lexeme) and isinstance(before := joined[-1], Lexeme):
                automaton = sequence(before.automaton, piece.automaton)
                joined[-1] = Lexeme(f"{before.source} {piece.source}", automaton, before.where)
            else:
                joined.append(piece)
    return joined[0] if len(joined) == 1 else Series(tuple(joined))


def choice(options: Sequence[Piece]) -> Piece:
    """Any one of the options, a single lexeme if all of them are."""
    if len(options) == 1:
        return options[0]
    lexemes = [option for option in options if isinstance(option, Lexeme)]
    if len(lexemes) == len(options):
        source = " | ".join(lexeme.source for lexeme in lexemes)
        return Lexeme(f"( {source} )", union(*(lexeme.automaton for lexeme in lexemes)), lexemes[0].where)
    return Choice(tuple(options))


def to_lark(root: Piece) -> str:
    """The grammar's text, from ``start:`` on."""
    definitions: dict[str, str] = {}

    def reference(source: str, prefix: str) -> str:
        return definitions.setdefault(source, f"{prefix}{len(definitions)}")

    def expression(piece: Piece) -> str:
        match piece:
            case Lexeme(source):
                return reference(source, "LEXEME_")
            case Document(source):
                return reference(source, "document_")
            case Special(token_id):
                return f"<[{token_id}]>"
            case Series(parts):
                return f"( {' '.join(map(expression, parts))} )" if parts else '""'
            case Choice(options):
                return f"( {' | '.join(map(expression, options))} )"
            case Repeated(part, low, high):
                return f"( {expression(part)} ){{{low},{'' if high is None else high}}}"

    lines = [f"start: {expression(root)}"]
    return "\n".join(lines + [f"{name}: {source}" for source, name in definitions.items()])


def refuse_ambiguous(root: Piece, field: str) -> None:
    """Raise ``UnsupportedGrammarError`` if taking the longest lexeme could lose a text of the grammar.

    It names the path of the format whose end is in doubt, or ``field`` if the grammar is too large to check.
    """
    _LexerReplay(root, field).run()


class _LexerReplay:
    """Every set of lexemes that the lexer can be looking for at once, and every text it can have read of them.

    The grammar becomes positions (its leaves) with what can follow each; a repeat counts as without a bound, so what is
    replayed is at least what can happen.
    """

    def __init__(self, root: Piece, field: str) -> None:
        self._field = field
        self._leaves: list[Leaf] = []
        self._follow: list[set[int]] = []
        first, _, _ = self._add(root)
        self._pending = [frozenset(first)]
        self._seen = set(self._pending)
        self._configurations = 0

    def _add(self, piece: Piece) -> tuple[set[int], set[int], bool]:
        """Positions that can come first and last in ``piece``, and whether it can be empty."""
        match piece:
            case Series(parts):
                return self._add_series(parts)
            case Choice(options):
                added = [self._add(option) for option in options]
                first = set().union(*(entry[0] for entry in added))
                return first, set().union(*(entry[1] for entry in added)), any(entry[2] for entry in added)
            case Repeated(part, low, high):
                first, last, empty = self._add(part)
                if high is None or high > 1:
                    self._connect(last, first)
                return first, last, empty or low == 0
            case _:
                if len(self._leaves) == _MAX_LEAVES:
                    self._refuse(_TOO_LARGE)
                self._leaves.append(piece)
                self._follow.append(set())
                place = {len(self._leaves) - 1}
                empty = isinstance(piece, Lexeme) and piece.automaton.accepts(piece.automaton.start())
                return place, set(place), empty

    def _add_series(self, parts: Sequence[Piece]) -> tuple[set[int], set[int], bool]:
        first: set[int] = set()
        last: set[int] = set()
        empty = True
        for part in parts:
            part_first, part_last, part_empty = self._add(part)
            self._connect(last, part_first)
            first |= part_first if empty else set()
            last = part_last | (last if part_empty else set())
            empty = empty and part_empty
        return first, last, empty

    def _connect(self, last: set[int], first: set[int]) -> None:
        for position in last:
            self._follow[position] |= first

    def run(self) -> None:
        while self._pending:
            wanted = self._pending.pop()
            self._read_documents(wanted)
            for special in {leaf for i in wanted if isinstance(leaf := self._leaves[i], Special)}:
                self._go_on(i for i in wanted if self._leaves[i] == special)
            self._read_lexemes(wanted)

    def _go_on(self, ended: Iterable[int]) -> None:
        following = frozenset().union(*(self._follow[position] for position in ended))
        if following not in self._seen:
            self._seen.add(following)
            self._pending.append(following)

    def _read_documents(self, wanted: frozenset[int]) -> None:
        documents = {i: leaf for i in wanted if isinstance(leaf := self._leaves[i], Document)}
        if not documents:
            return
        opens = frozenset[int]().union(*(document.opens for document in documents.values()))
        if opens & self._first_bytes(i for i in wanted if i not in documents):
            where = next(iter(documents.values())).where
            self._refuse(_GREEDY + "text and JSON that begin alike can stand at the same place", where)
        extends = frozenset[int]().union(*(document.extends for document in documents.values()))
        if extends & self._first_bytes(position for i in documents for position in self._follow[i]):
            where = next(document.where for document in documents.values() if document.extends)
            self._refuse(_GREEDY + "what follows a JSON number can begin like more of the number", where)
        self._go_on(documents)

    def _read_lexemes(self, wanted: frozenset[int]) -> None:
        """Read all texts of all lexemes at once, as the lexer does."""
        lexemes = {i: leaf.automaton for i in wanted if isinstance(leaf := self._leaves[i], Lexeme)}
        start = frozenset((i, automaton.start()) for i, automaton in lexemes.items())
        pending = [target for _, _, target in _overlay(lexemes, start)]
        seen = set(pending)
        while pending:
            reading = pending.pop()
            self._configurations += 1
            if self._configurations > _MAX_CONFIGURATIONS:
                self._refuse(_TOO_LARGE)
            edges = _overlay(lexemes, reading)
            if ended := {i for i, state in reading if lexemes[i].accepts(state)}:
                following = self._first_bytes(position for i in ended for position in self._follow[i])
                if any(low <= byte <= high for low, high, _ in edges for byte in following):
                    where = min(leaf.where for i in ended if isinstance(leaf := self._leaves[i], Lexeme))
                    self._refuse(_GREEDY + "where this text ends cannot be told from what follows it", where)
                self._go_on(ended)
            for _, _, target in edges:
                if target not in seen:
                    seen.add(target)
                    pending.append(target)

    def _first_bytes(self, positions: Iterable[int]) -> frozenset[int]:
        found: set[int] = set()
        for leaf in (self._leaves[position] for position in set(positions)):
            if isinstance(leaf, Document):
                found |= leaf.opens
            elif isinstance(leaf, Lexeme):
                for low, high, _ in leaf.automaton.edges(leaf.automaton.start()):
                    found.update(range(low, high + 1))
        return frozenset(found)

    def _refuse(self, reason: str, where: str | None = None) -> None:
        raise UnsupportedGrammarError(where or self._field, reason)


def _overlay(lexemes: dict[int, Automaton], reading: frozenset[tuple[int, State]]) -> list[Edge]:
    ranges = [(low, high, (i, target)) for i, state in reading for low, high, target in lexemes[i].edges(state)]
    cuts = sorted({low for low, _, _ in ranges} | {high + 1 for _, high, _ in ranges})
    edges: list[Edge] = []
    for low, after in pairwise(cuts):
        if places := frozenset(place for first, last, place in ranges if first <= low <= last):
            edges.append((low, after - 1, places))
    return edges
