"""Structural tags for our own engine: both forms, with what may stand inside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from latticework.structured.cfg.compiling import compile_gbnf, compile_lark
from latticework.structured.cfg.lr_source import LrSource
from latticework.structured.engines.grammar_syntax import is_gbnf
from latticework.structured.engines.schema_check import check_schema
from latticework.structured.engines.structural_tag import in_format_form
from latticework.structured.errors import GrammarError, LatticeworkError, UnsupportedGrammarError
from latticework.structured.json_machine import json_source
from latticework.structured.json_options import JsonOptions, Order, Whitespace
from latticework.structured.limits import GrammarLimits
from latticework.structured.presets.formats import part_readers
from latticework.structured.pushdown.protocol import PushdownSource
from latticework.structured.tags.embedded import EmbeddedSource
from latticework.structured.tags.members import check_members, flag, string
from latticework.structured.tags.parts import Part, source_part
from latticework.structured.tags.reading import tag_source
from latticework.structured.vocabulary import Vocabulary

#: The bytes that a number can begin with, and those that a finished one can go on with. Other documents just end.
_NUMBER_OPENS, _NUMBER_EXTENDS = frozenset(b"-0123456789"), frozenset(b"0123456789.eE")
_JSON_MEMBERS: dict[str, tuple[Any, ...]] = {
    "json_schema": (),
    "style": ("json",),
    "any_order": (),
    "excludes": ([],),
    "max_whitespace_cnt": (),
}


def structural_tag_source(tag: Mapping[str, Any], vocabulary: Vocabulary, limits: GrammarLimits) -> PushdownSource:
    """The source of a tag of either form. Raises like :func:`latticework.structured.tags.reading.tag_source`."""

    def document(where: str, value: Mapping[str, Any]) -> Part:
        return _document(where, value, limits)

    def grammar(where: str, value: Mapping[str, Any]) -> Part:
        return _grammar(where, value, limits)

    parts = {**part_readers(vocabulary), "json_schema": document, "grammar": grammar}
    return tag_source(in_format_form(tag), vocabulary, limits, parts)


def _document(where: str, value: Mapping[str, Any], limits: GrammarLimits) -> Part:
    """A JSON document; on one line, or without any blanks if none are allowed."""
    check_members(where, value, _JSON_MEMBERS)
    if "json_schema" not in value:
        raise GrammarError(where, "'json_schema' is missing")
    blanks = value.get("max_whitespace_cnt")
    if blanks is not None and (type(blanks) is not int or blanks < 0):
        raise GrammarError(f"{where}/max_whitespace_cnt", "expected a whole number that is not negative")
    field = f"{where}/json_schema"
    check_schema(value["json_schema"], field)
    options = JsonOptions(
        order=Order.ANY if flag(where, value, "any_order") else Order.DECLARED,
        whitespace=Whitespace.COMPACT if blanks == 0 else Whitespace.LINE,
    )
    with _located(field):
        source = json_source(value["json_schema"], options, limits=limits, field=field)
    part = source_part(source, frozenset(), where)
    return part.extended_by(_NUMBER_EXTENDS) if part.call.first & _NUMBER_OPENS else part


def _grammar(where: str, value: Mapping[str, Any], limits: GrammarLimits) -> Part:
    """A text of a context-free grammar. What follows it must not begin with a letter of it."""
    check_members(where, value, {"grammar": ()})
    field, text = f"{where}/grammar", string(where, value, "grammar")
    with _located(field):
        source = (compile_gbnf if is_gbnf(text) else compile_lark)(text, limits)
    if not isinstance(source, LrSource):
        raise UnsupportedGrammarError(field, "is not LR(1), which a grammar inside a structural tag must be")
    return source_part(EmbeddedSource(source), source.alphabet(), where)


@contextmanager
def _located(field: str) -> Iterator[None]:
    """Errors of a part name its place in the tag."""
    try:
        yield
    except LatticeworkError as error:
        if error.field.startswith(field):
            raise
        raise type(error)(field, f"{error.field}: {error.reason}") from error
