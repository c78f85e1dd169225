"""Why nothing satisfies a schema: the place in it, and the keywords there without any one of which something would."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from latticework.structured import clock
from latticework.structured.errors import LatticeworkError
from latticework.structured.json_schema.ir import Schema

#: Looking for a reason may take so long. Then what was found so far is said.
_SECONDS = 1.0

_FIELDS = {field.name: field for field in dataclasses.fields(Schema) if field.name not in ("path", "constant")}
#: They say how others are meant, and nothing by themselves.
_ASIDE = {"integer_fraction", "contains_evaluates", "min_contains", "max_contains", "then", "otherwise"}
_NAMES = {"types": "type", "refs": "$ref", "negated": "not", "condition": "if"}


def reason(root: Schema, satisfiable: Callable[[Schema], bool]) -> str:
    """What contradicts what, with the JSON pointer of the schema where it does.

    Args:
        root: A schema that nothing satisfies.
        satisfiable: Whether anything satisfies a schema. What it raises counts as yes.
    """
    return _Search(satisfiable).reason(root)


class _Search:
    def __init__(self, satisfiable: Callable[[Schema], bool]) -> None:
        self._satisfiable = satisfiable
        self._deadline = clock.now() + _SECONDS

    def reason(self, schema: Schema) -> str:
        seen: set[Schema] = set()
        while schema not in seen:
            seen.add(schema)
            if schema.constant is False:
                return f"{schema.pointer}: the schema 'false' allows nothing"
            if schema.enum == ():
                return f"{schema.pointer}: 'enum' lists nothing, or nothing that 'const' allows too"
            guilty = self._guilty(schema)
            culprit = next((part for part in _parts(schema, guilty) if self._impossible(part)), None)
            if culprit is None:
                return f"{schema.pointer}: {_said(guilty)}"
            schema = culprit
        return f"{schema.pointer}: needs itself inside, without end"

    def _guilty(self, schema: Schema) -> list[str]:
        """The keywords without any one of which something would satisfy the schema; if there are none, those that
        nothing satisfies."""
        set_ = [name for name, field in _FIELDS.items() if name not in _ASIDE and _is_set(schema, field)]
        needed = [name for name in set_ if not self._impossible(_without(schema, name))]
        return needed or [name for name in set_ if self._impossible(_only(schema, name))][:1]

    def _impossible(self, schema: Schema) -> bool:
        if clock.now() > self._deadline:
            return False
        try:
            return not self._satisfiable(schema)
        except LatticeworkError:
            return False


def _said(guilty: list[str]) -> str:
    names = [repr(_keyword(name)) for name in guilty]
    if not names:
        return "nothing satisfies all of its keywords"
    if len(names) == 1:
        return f"nothing satisfies {names[0]}"
    return f"{', '.join(names[:-1])} and {names[-1]} contradict each other"


def _parts(schema: Schema, guilty: list[str]) -> Iterator[Schema]:
    """The schemas inside that must hold of any value that satisfies ``schema``, or of a part that it must have."""
    if "refs" in guilty:
        yield from schema.refs
    if "all_of" in guilty:
        yield from schema.all_of
    if "any_of" in guilty and len(schema.any_of) == 1:
        yield schema.any_of[0]
    if "one_of" in guilty and len(schema.one_of) == 1:
        yield schema.one_of[0]
    if {"required", "properties"} <= set(guilty):
        yield from (part for name, part in schema.properties.items() if name in schema.required)
    if "contains" in guilty and schema.contains is not None:
        yield schema.contains
    if "min_items" in guilty and "items" in guilty and schema.items is not None:
        yield schema.items


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _is_set(schema: Schema, field: dataclasses.Field[Any]) -> bool:
    return bool(getattr(schema, field.name) != _default(field))


def _without(schema: Schema, name: str) -> Schema:
    return dataclasses.replace(schema, **{name: _default(_FIELDS[name])})


def _only(schema: Schema, name: str) -> Schema:
    kept = {name: getattr(schema, name)} | {aside: getattr(schema, aside) for aside in _ASIDE}
    return Schema(schema.path, **kept)


def _keyword(name: str) -> str:
    first, *rest = _NAMES.get(name, name).split("_")
    return first + "".join(word.capitalize() for word in rest)
