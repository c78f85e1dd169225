"""The two forms of a structural tag, as data: what both wrapped engines need to know about one.

*Legacy*: ``{"structures": [{"begin", "schema", "end"}, ...], "triggers": [...]}``. *Format*: ``{"type":
"structural_tag", "format": {"type": ..., ...}}``, a tree of formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from latticework.structured.engines.schema_check import check_schema
from latticework.structured.errors import GrammarError
from latticework.structured.spec import GrammarKind

_FIELD = GrammarKind.STRUCTURAL_TAG


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
    return {"type": "structural_tag", "format": {"type": "triggered_tags", "triggers": tag["triggers"], "tags": tags}}


def embedded_schemas(tag: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every ``json_schema``-bearing format in the ``format`` form, with the path that leads to it."""
    pending: list[tuple[str, Any]] = [("format", tag["format"])]
    while pending:
        where, value = pending.pop()
        if isinstance(value, list):
            pending.extend((f"{where}/{i}", item) for i, item in enumerate(value))
        elif isinstance(value, dict):
            if "json_schema" in value:
                yield where, value
            pending.extend((f"{where}/{k}", item) for k, item in value.items() if k != "json_schema")
