"""The two forms of a structural tag, as data: what both wrapped engines need to know about one.

*Legacy*: ``{"structures": [{"begin", "schema", "end"}, ...], "triggers": [...]}``, in SGLang also ``at_least_one``.
*Format*: ``{"type": "structural_tag", "format": {"type": ..., ...}}``, a tree of formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from latticework.structured.engines.schema_check import check_schema
from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.spec import GrammarKind

#: Types of formats beyond xgrammar's (:mod:`latticework.structured.presets.formats`).
OUR_FORMATS = frozenset(("names", "substring", "tree", "referring"))

_FIELD = GrammarKind.STRUCTURAL_TAG
_LEGACY_MEMBERS = frozenset(("type", "structures", "triggers", "at_least_one"))


@dataclass(frozen=True)
class LegacyTag:
    """``begin``, JSON under ``schema``, ``end``, in the middle of free text; ``trigger`` is a prefix of ``begin``."""

    trigger: str
    begin: str
    schema: Any
    end: str


def is_legacy(tag: Mapping[str, Any]) -> bool:
    """Whether it is the legacy form. ``GrammarError`` if it is neither."""
    if "structures" in tag:
        return True
    if isinstance(tag.get("format"), Mapping):
        return False
    raise GrammarError(_FIELD, "expected an object with 'structures' and 'triggers', or with 'format'")


def legacy_tags(tag: Mapping[str, Any]) -> list[LegacyTag]:
    """Check and read the legacy form. Raises ``GrammarError`` naming the member that is wrong."""
    if unknown := sorted(tag.keys() - _LEGACY_MEMBERS):
        raise GrammarError(_FIELD, f"{unknown[0]}: no member of the form with 'structures'")
    structures, triggers = tag["structures"], tag.get("triggers")
    if not isinstance(structures, list) or not structures:
        raise GrammarError(_FIELD, "structures: expected a non-empty array")
    if not isinstance(triggers, list) or not all(isinstance(trigger, str) and trigger for trigger in triggers):
        raise GrammarError(_FIELD, "triggers: expected an array of non-empty strings")
    return [_legacy_tag(f"structures/{i}", item, triggers) for i, item in enumerate(structures)]


def _legacy_tag(where: str, item: object, triggers: list[str]) -> LegacyTag:
    if not isinstance(item, Mapping):
        raise GrammarError(_FIELD, f"{where}: expected an object")
    begin, end = item.get("begin"), item.get("end")
    if not isinstance(begin, str) or not isinstance(end, str):
        raise GrammarError(_FIELD, f"{where}: 'begin' and 'end' must be strings")
    if "schema" not in item:
        raise GrammarError(_FIELD, f"{where}: 'schema' is missing")
    check_schema(item["schema"], f"{_FIELD}/{where}/schema")
    matching = [trigger for trigger in triggers if begin.startswith(trigger)]
    if len(matching) != 1:
        raise GrammarError(_FIELD, f"{where}: 'begin' must start with exactly one trigger, not {len(matching)}")
    return LegacyTag(matching[0], begin, item["schema"], end)


def in_format_form(tag: Mapping[str, Any]) -> dict[str, Any]:
    """The same constraint in the format form. Raises ``GrammarError`` like :func:`legacy_tags`."""
    if not is_legacy(tag):
        return dict(tag)
    tags = [
        {
            "type": "tag",
            "begin": item.begin,
            "content": {"type": "json_schema", "json_schema": item.schema},
            "end": item.end,
        }
        for item in legacy_tags(tag)
    ]
    return triggered(tag, tags)


def triggered(legacy: Mapping[str, Any], tags: list[dict[str, Any]]) -> dict[str, Any]:
    """The format form of a legacy tag whose structures are written as ``tags``."""
    once = legacy.get("at_least_one", False)
    if not isinstance(once, bool):
        raise GrammarError(_FIELD, "at_least_one: expected true or false")
    found = {"type": "triggered_tags", "triggers": legacy["triggers"], "tags": tags, "at_least_one": once}
    return {"type": "structural_tag", "format": found}


def embedded_schemas(tag: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every ``json_schema``-bearing format in the ``format`` form, with the path that leads to it."""
    return ((where, value) for where, value in _formats(tag) if "json_schema" in value)


def refuse_our_formats(tag: Mapping[str, Any], engine: str) -> None:
    """Raise ``UnsupportedGrammarError`` for formats that only our own engine has, which ``engine`` is not."""
    for where, value in _formats(tag):
        if value.get("type") in OUR_FORMATS:
            raise UnsupportedGrammarError(f"{_FIELD}/{where}", f"{engine} has no formats of type {value['type']!r}")


def _formats(tag: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in the ``format`` form outside of schemas, with its path."""
    pending: list[tuple[str, Any]] = [("format", tag["format"])]
    while pending:
        where, value = pending.pop()
        if isinstance(value, list):
            pending.extend((f"{where}/{i}", item) for i, item in enumerate(value))
        elif isinstance(value, dict):
            yield where, value
            pending.extend((f"{where}/{k}", item) for k, item in value.items() if k != "json_schema")
