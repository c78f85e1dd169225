"""REF-VLM's triplet referring as a pushdown source: a plan of what is referred to, then a text that does so.

::

    <Task>
    Unit decode (True). Class name, target unit and number:
    - Name: cat Unit: <Unit>box</Unit> Num: 2
    </Task>
    Two <Phrase>cat</Phrase>(<Unit>box</Unit>[0]<REF>[1]<REF>) are asleep.

What the plan says is kept in the symbols that wait below, so the text after it mentions exactly the planned targets, in
order and with their numbers; after ``Unit decode (False).`` it mentions none. Markers that are special tokens of the
model are those tokens; free text never holds a marker.

Source: the triplet-based referring paradigm of REF-VLM (2025).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from latticework.structured.automata.words import words_table
from latticework.structured.errors import GrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, Return, Symbol
from latticework.structured.pushdown.table import NO_RESULT, Table, build_table
from latticework.structured.tags.lexing import FINAL
from latticework.structured.tags.reading import tag_source
from latticework.structured.tags.source import Inner, TagSource, inside
from latticework.structured.vocabulary import Vocabulary

#: What stands for structure and never for text.
MARKERS = ("<Task>", "</Task>", "<Unit>", "</Unit>", "<Phrase>", "</Phrase>", "<REF>")
HEAD, WITHOUT = "<Task>\nUnit decode (", "False).\n"
WITH = "True). Class name, target unit and number:\n"
ENTRY, ENTRY_UNIT, ENTRY_COUNT = "- Name: ", " Unit: ", " Num: "


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the plan: ``count`` things called ``name``, each to be decoded as a ``unit`` (box, mask, ...)."""

    name: str
    unit: str
    count: int

    def mention(self) -> str:
        """How the text refers to it; the indices count up from 0."""
        places = "".join(f"[{index}]<REF>" for index in range(self.count))
        return f"<Phrase>{self.name}</Phrase>(<Unit>{self.unit}</Unit>{places})"


@dataclass(frozen=True, slots=True)
class _Decode:
    """Reading whether there is anything to decode."""


@dataclass(frozen=True, slots=True)
class _Line:
    """In the plan, after ``done``: reading the next target's name, then its unit, then its count."""

    done: tuple[Target, ...]
    name: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class _LineEnd:
    """Reading the beginning of another line, or the end of the plan."""

    done: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class _Before:
    """Below a piece that comes before ``place``."""

    place: _Decode | _Line


@dataclass(frozen=True, slots=True)
class _Body:
    """In the text, below the piece that ends with a mention; the targets in ``left`` are to be mentioned yet."""

    left: tuple[Target, ...]


_END = "end"
#: Results of reading a line's beginning or the plan's end.
_MORE, _NO_MORE = 0, 1


class ReferringSource(PlainSource):
    """See :class:`latticework.structured.pushdown.protocol.PushdownSource`.

    Args:
        names: What may be referred to.
        units: What it may be decoded as.
        max_targets: Most lines of a plan.
        max_count: Greatest number of a target.
        vocabulary: Whose special tokens count.
        field: What errors name.

    Raises:
        GrammarError: A list is empty, an entry is empty, spans lines or holds a marker, or a bound is not positive.
    """

    def __init__(
        self,
        names: Sequence[str],
        units: Sequence[str],
        max_targets: int,
        max_count: int,
        vocabulary: Vocabulary,
        field: str,
    ) -> None:
        _check(names, f"{field}/names")
        _check(units, f"{field}/units")
        if max_targets < 1 or max_count < 1:
            raise GrammarError(field, "max_targets and max_count must be at least 1")
        self._names, self._units = tuple(dict.fromkeys(names)), tuple(dict.fromkeys(units))
        self._max_targets = max_targets
        self._decode_table = _choice([WITHOUT, WITH + ENTRY])
        self._name_table = _choice([name + ENTRY_UNIT for name in self._names])
        self._unit_table = _choice(self._units)
        self._count_table = _choice([f"{number}\n" for number in range(1, max_count + 1)])
        end = vocabulary.special_names.get("</Task>")
        self._line_end_tables = (_line_end_table(ENTRY.encode(), end), _line_end_table(None, end))
        self._vocabulary = vocabulary

    def start(self) -> Action:
        """See :meth:`PushdownSource.start`."""
        return self._read(HEAD, _Before(_Decode()))

    def resume(self, symbol: Symbol, result: int) -> Action | None:
        """See :meth:`PushdownSource.resume`."""
        match symbol:
            case Inner(piece, inner):
                return inside(piece, self._source(piece).resume(inner, result))
            case _Before(place):
                return Enter((place,), self._table(place), 0)
            case _Decode():
                return Enter((_Line(()),), self._name_table, 0) if result else self._read("</Task>\n", _Body(()))
            case _Line():
                return self._after(symbol, result)
            case _LineEnd(done) if result == _MORE:
                return Enter((_Line(done),), self._name_table, 0)
            case _LineEnd(done):
                return self._read("\n", _Body(done))
            case _Body(left):
                return self._read(left[0], _Body(left[1:])) if left else self._read(None, _END)
        return Return(0)

    def goal(self, symbol: Symbol) -> int | None:
        """See :meth:`PushdownSource.goal`: nothing is offered that cannot be completed."""
        match symbol:
            case Inner(piece, inner):
                return self._source(piece).goal(inner)
            case _Decode() | _Line():
                table = self._table(symbol)
                return table.outcome_set(table.start)
            case _LineEnd():
                return 1 << _MORE | 1 << _NO_MORE
        return 1 << FINAL

    def _source(self, piece: Hashable) -> TagSource:
        return _piece_source(piece, self._vocabulary)

    def _table(self, place: _Decode | _Line) -> Table:
        match place:
            case _Decode():
                return self._decode_table
            case _Line(_, None):
                return self._name_table
            case _Line(_, _, None):
                return self._unit_table
        return self._count_table

    def _after(self, line: _Line, result: int) -> Action:
        if line.name is None:
            return self._read("<Unit>", _Before(_Line(line.done, self._names[result])))
        if line.unit is None:
            return self._read("</Unit>" + ENTRY_COUNT, _Before(_Line(line.done, line.name, self._units[result])))
        done = (*line.done, Target(line.name, line.unit, result + 1))
        table = self._line_end_tables[len(done) == self._max_targets]
        return Enter((_LineEnd(done),), table, table.start)

    def _read(self, piece: str | Target | None, then: Symbol) -> Action:
        action = inside(piece, self._source(piece).start(), then)
        assert action is not None
        return action


@lru_cache(maxsize=512)
def _piece_source(piece: Hashable, vocabulary: Vocabulary) -> TagSource:
    """A constant; or free text up to the end of a target's mention, or of everything. The same for all requests."""
    text = {"type": "any_text", "excludes": list(MARKERS)}
    constant = {"type": "const_string", "value": piece.mention() if isinstance(piece, Target) else piece}
    match piece:
        case str():
            tree: dict[str, Any] = constant
        case None:
            tree = text
        case _:
            tree = {"type": "sequence", "elements": [text, constant]}
    return tag_source({"format": tree}, vocabulary, GrammarLimits(), {})


def _choice(options: Sequence[str]) -> Table:
    """One of distinct texts; the result is its place in ``options``."""
    order = sorted(range(len(options)), key=lambda index: options[index].encode())
    words = [options[index].encode() for index in order]
    return words_table(words, np.array(order, np.int32), field="referring")[0]


def _line_end_table(entry: bytes | None, end: int | None) -> Table:
    """The beginning of another line unless there may be none, or the end of the plan: a special token, or its text."""
    texts = [(entry, _MORE)] if entry is not None else []
    texts += [(b"</Task>", _NO_MORE)] if end is None else []
    edges: list[list[tuple[int, int, int]]] = [[]]
    results = [NO_RESULT]
    for text, result in texts:
        at = 0
        for byte in text:
            edges[at].append((byte, byte, len(edges)))
            at = len(edges)
            edges.append([])
            results.append(NO_RESULT)
        results[at] = result
    return build_table(edges, results, specials={} if end is None else {0: ((end, _NO_MORE),)})


def _check(texts: Sequence[str], field: str) -> None:
    if not texts:
        raise GrammarError(field, "expected at least one")
    for text in texts:
        if not text or "\n" in text or any(marker in text for marker in MARKERS) or ENTRY_UNIT in text:
            raise GrammarError(field, f"{text!r} is empty, spans lines, or holds what marks the parts of a plan")
