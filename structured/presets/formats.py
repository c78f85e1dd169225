"""Formats of structural tags that are ours: names, substrings of a text, trees over words, referring texts.

====================  =============================================================================================
``names``             one of ``values``, verbatim, or of the names in ``catalogue``, which the operator has given
``substring``         a part of ``text``, not empty
``tree``              a constituency tree: ``words``, ``labels``, ``tags``, ``max_opens`` (10)
``referring``         a plan and a text that keeps to it: ``names``, ``units``, ``max_targets`` (16), ``max_count`` (20)
====================  =============================================================================================

They stand wherever a format may stand, so clients can combine them; the presets are such combinations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from latticework.structured.errors import GrammarError
from latticework.structured.lexemes import choice_table
from latticework.structured.presets.catalogues import catalogue
from latticework.structured.presets.referring import ReferringSource
from latticework.structured.presets.substrings import substrings_table
from latticework.structured.presets.tree import TreeSource
from latticework.structured.tags.members import check_members, items, string
from latticework.structured.tags.parts import EVERYTHING, Call, Part, PartReader, source_part, table_part
from latticework.structured.vocabulary import Vocabulary


def part_readers(vocabulary: Vocabulary) -> dict[str, PartReader]:
    """The readers of these formats, by type; ``vocabulary`` for those with special tokens as markers."""
    return {"names": _names, "substring": _substring, "tree": _tree, "referring": partial(_referring, vocabulary)}


def _names(where: str, value: Mapping[str, Any]) -> Part:
    check_members(where, value, {"values": (), "catalogue": ()})
    if ("values" in value) == ("catalogue" in value):
        raise GrammarError(where, "expected either 'values' or 'catalogue'")
    if "values" in value:
        return table_part(choice_table(_strings(where, value, "values"), field=f"{where}/values"), where)
    found = catalogue(string(where, value, "catalogue"), field=f"{where}/catalogue")
    return Part(found.source, Call(found.first, found.extends, where))


def _substring(where: str, value: Mapping[str, Any]) -> Part:
    check_members(where, value, {"text": ()})
    return table_part(substrings_table(string(where, value, "text"), field=f"{where}/text"), where)


def _tree(where: str, value: Mapping[str, Any]) -> Part:
    check_members(where, value, {"words": (), "labels": (), "tags": (), "max_opens": ()})
    words, labels, tags = (_strings(where, value, member) for member in ("words", "labels", "tags"))
    source = TreeSource(words, set(labels), set(tags), _positive(where, value, "max_opens", 10), where)
    return source_part(source, frozenset(), where)


def _referring(vocabulary: Vocabulary, where: str, value: Mapping[str, Any]) -> Part:
    check_members(where, value, {"names": (), "units": (), "max_targets": (), "max_count": ()})
    names, units = _strings(where, value, "names"), _strings(where, value, "units")
    bounds = _positive(where, value, "max_targets", 16), _positive(where, value, "max_count", 20)
    return source_part(ReferringSource(names, units, *bounds, vocabulary, where), EVERYTHING, where)


def _strings(where: str, value: Mapping[str, Any], member: str) -> list[str]:
    found = items(where, value, member)
    if not all(isinstance(item, str) for item in found):
        raise GrammarError(f"{where}/{member}", "expected strings")
    return found


def _positive(where: str, value: Mapping[str, Any], member: str, default: int) -> int:
    found = value.get(member, default)
    if type(found) is not int or not 1 <= found <= 1000:
        raise GrammarError(f"{where}/{member}", "expected a whole number from 1 to 1000")
    return found
