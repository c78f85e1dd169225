"""LasUIE's linearised hierarchical expressions: universal information extraction with spans that are in the input.

::

    span   ::= B ( N | (B text C attr E)+ ) E
    pair   ::= B ( N | (B text C attr B rel D text C attr E E)+ ) E
    hyper  ::= B ( N | (B text C attr (B rel D text C attr E)+ E)+ ) E

``text`` is a substring of the input, ``attr`` and ``rel`` are of the task's lists, and the markers are the sentinels of
T5 unless told otherwise. Markers that are special tokens of the model are those tokens.

Source: Fei et al. 2022, LasUIE; the markers are those of its released code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from latticework.structured.errors import GrammarError, LatticeworkError
from latticework.structured.presets.layouts import malformed, one_of, tag_spec
from latticework.structured.spec import GrammarSpec
from latticework.structured.tags.layouts import constant, either, plus, sequence


class Form(StrEnum):
    """What is extracted: single spans, pairs of spans, or a span with any number of others (events, roles)."""

    SPAN = "span"
    PAIR = "pair"
    HYPER = "hyper"


@dataclass(frozen=True, slots=True)
class Markers:
    """The markers: begin, end, between a text and its label, before the second text, nothing found."""

    begin: str = "<extra_id_0>"
    end: str = "<extra_id_1>"
    label: str = "<extra_id_2>"
    second: str = "<extra_id_3>"
    nothing: str = "<extra_id_4>"

    def all(self) -> tuple[str, ...]:
        """All five."""
        return (self.begin, self.end, self.label, self.second, self.nothing)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the input and its label."""

    text: str
    attribute: str


@dataclass(frozen=True, slots=True)
class Record:
    """A span and its relations to others: none in form ``span``, one in ``pair``, one or more in ``hyper``."""

    span: Span
    relations: tuple[tuple[str, Span], ...] = ()


def lasuie(
    form: Form, text: str, attributes: Sequence[str], relations: Sequence[str] = (), markers: Markers = Markers()
) -> GrammarSpec:
    """The language of what can be extracted from ``text``.

    Raises:
        GrammarError: A list that the form needs is empty, or a marker occurs where it would be read as one.
    """
    lists = [("attributes", attributes)] + ([("relations", relations)] if form is not Form.SPAN else [])
    for field, names in lists:
        if not names or not all(names):
            raise GrammarError(field, "expected texts, none of them empty")
    given = [("text", text), *((field, name) for field, names in lists for name in names)]
    for field, value in given:
        if marker := next((marker for marker in markers.all() if marker in value), None):
            raise GrammarError(field, f"holds the marker {marker!r}")
    begin, end, label, second, nothing = map(constant, markers.all())
    span = sequence({"type": "substring", "text": text}, label, one_of(*attributes))
    relation = sequence(begin, one_of(*relations), second, span, end) if form is not Form.SPAN else None
    match form:
        case Form.SPAN:
            record = sequence(begin, span, end)
        case Form.PAIR:
            record = sequence(begin, span, relation or span, end)
        case Form.HYPER:
            record = sequence(begin, span, plus(relation or span), end)
    return tag_spec(sequence(begin, either(nothing, plus(record)), end))


def serialise(records: Sequence[Record], markers: Markers = Markers()) -> str:
    """The text of ``records``, of whatever form; ``nothing`` if there is none."""
    begin, end, label, second, nothing = markers.all()

    def spelled(span: Span) -> str:
        return f"{span.text}{label}{span.attribute}"

    texts = [
        f"{begin}{spelled(record.span)}"
        + "".join(f"{begin}{name}{second}{spelled(other)}{end}" for name, other in record.relations)
        + end
        for record in records
    ]
    return f"{begin}{''.join(texts) or nothing}{end}"


def parse(text: str, markers: Markers = Markers()) -> list[Record]:
    """The records of a text of any form, special tokens kept. Raises ``LatticeworkError`` if it is none."""
    return _Parser(text, markers).records()


class _Parser:
    def __init__(self, text: str, markers: Markers) -> None:
        self._text = text
        self._markers = markers
        self._at = 0
        self._any = re.compile("|".join(map(re.escape, markers.all())))

    def records(self) -> list[Record]:
        records: list[Record] = []
        self._expect(self._markers.begin)
        if not self._found(self._markers.nothing):
            while not records or self._text.startswith(self._markers.begin, self._at):
                records.append(self._record())
        self._expect(self._markers.end)
        if self._at != len(self._text):
            raise self._error("the end")
        return records

    def _record(self) -> Record:
        self._expect(self._markers.begin)
        span, relations = self._span(), []
        while self._found(self._markers.begin):
            name = self._plain("a relation")
            self._expect(self._markers.second)
            relations.append((name, self._span()))
            self._expect(self._markers.end)
        self._expect(self._markers.end)
        return Record(span, tuple(relations))

    def _span(self) -> Span:
        text = self._plain("a text")
        self._expect(self._markers.label)
        return Span(text, self._plain("a label"))

    def _plain(self, expected: str) -> str:
        marker = self._any.search(self._text, self._at)
        found = self._text[self._at : marker.start() if marker else len(self._text)]
        if not found:
            raise self._error(expected)
        self._at += len(found)
        return found

    def _found(self, marker: str) -> bool:
        found = self._text.startswith(marker, self._at)
        self._at += len(marker) if found else 0
        return found

    def _expect(self, marker: str) -> None:
        if not self._found(marker):
            raise self._error(repr(marker))

    def _error(self, expected: str) -> LatticeworkError:
        return malformed(self._text, self._at, expected)
