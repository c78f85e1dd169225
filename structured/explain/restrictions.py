"""The parts of a constraint that forbid something, one by one, and the same constraint without some of them.

Taking all of them away leaves every JSON document, so whatever JSON a schema forbids is forbidden by some of them.
Keywords that contain schemas or refer to one forbid nothing by themselves; what is in it does. Where less inside would
forbid more, in ``not``, ``if`` and ``contains``, nothing inside is taken away: ``not`` and ``contains`` go whole. Not
found are schemas under a keyword that is none, to which a ``$ref`` may point all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from latticework.structured.engines.schema_check import ONE_SCHEMA, SCHEMA_LIST, SCHEMA_MAP
from latticework.structured.json_options import JsonOptions, Order, Whitespace
from latticework.structured.spec import GrammarKind, GrammarSpec

#: The way to a value in a payload: keys and indexes.
Path: TypeAlias = tuple[str | int, ...]

_ASSERTIONS = frozenset(
    {"type", "enum", "const", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    | {"minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems", "minContains"}
    | {"maxContains", "minProperties", "maxProperties", "dependentRequired", "not", "contains", "oneOf"}
)
_TAKEN_WHOLE = frozenset({"not", "if", "contains"})
#: Keys of a structural tag under which a schema stands, in either form.
_TAG_SCHEMAS = frozenset({"schema", "json_schema"})


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword of a schema, an element of ``required``, or a schema ``false``.

    Attributes:
        path: The way to it from the root of the payload.
        name: The keyword, ``false`` for a schema that allows nothing.
        value: Its value, for an element of ``required`` the key that must be there. Not part of its identity.
    """

    path: Path
    name: str
    value: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyword) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @property
    def pointer(self) -> str:
        """Its place as a JSON pointer in a URI fragment, ``#/properties/age/minimum``."""
        return "/".join(["#", *(str(step).replace("~", "~0").replace("/", "~1") for step in self.path)])


@dataclass(frozen=True, slots=True)
class Option:
    """What is not in the schema but in how documents may be written: ``order`` or ``whitespace``."""

    name: str
    value: str

    @property
    def pointer(self) -> str:
        """What stands in for a pointer."""
        return f"option {self.name}"


Restriction: TypeAlias = Keyword | Option


def restrictions(spec: GrammarSpec) -> list[Restriction]:
    """All of them but references, options first."""
    found: list[Restriction] = []
    if spec.kind is GrammarKind.JSON_SCHEMA:
        keywords = list(_keywords(spec.payload, ()))
    elif spec.kind is GrammarKind.STRUCTURAL_TAG:
        keywords = [keyword for path, schema in _tag_schemas(spec.payload, ()) for keyword in _keywords(schema, path)]
    else:
        keywords = []
    if spec.kind in (GrammarKind.JSON_SCHEMA, GrammarKind.JSON_OBJECT):
        if spec.options.order is not Order.ANY:
            found.append(Option("order", spec.options.order))
        if spec.options.whitespace is not Whitespace.FLEXIBLE:
            found.append(Option("whitespace", spec.options.whitespace))
    return found + keywords


def without(spec: GrammarSpec, dropped: Collection[Restriction]) -> GrammarSpec:
    """The constraint without some of its restrictions."""
    options = _options_without(spec.options, {each.name for each in dropped if isinstance(each, Option)})
    if spec.kind is GrammarKind.JSON_SCHEMA:
        return GrammarSpec.json_schema(_without(spec.payload, _tree(dropped)), options)
    if spec.kind is GrammarKind.STRUCTURAL_TAG:
        return GrammarSpec.structural_tag(_without(spec.payload, _tree(dropped)))
    return replace(spec, options=options)


def _options_without(options: JsonOptions, names: set[str]) -> JsonOptions:
    return replace(
        options,
        order=Order.ANY if "order" in names else options.order,
        whitespace=Whitespace.FLEXIBLE if "whitespace" in names else options.whitespace,
    )


def _keywords(schema: Any, path: Path) -> Iterator[Keyword]:
    if schema is False:
        yield Keyword(path, "false", False)
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        here = (*path, keyword)
        if keyword == "required" and isinstance(value, list):
            yield from (Keyword((*here, i), keyword, name) for i, name in enumerate(value))
        elif keyword in _ASSERTIONS and value is not False:
            yield Keyword(here, keyword, value)
        if keyword not in _TAKEN_WHOLE:
            yield from _inside(keyword, value, here)


def _inside(keyword: str, value: Any, here: Path) -> Iterator[Keyword]:
    """The restrictions in the schemas that a keyword's value holds."""
    if isinstance(value, list) and (keyword in SCHEMA_LIST or keyword == "items"):
        for i, item in enumerate(value):
            yield from _keywords(item, (*here, i))
    elif keyword in ONE_SCHEMA:
        yield from _keywords(value, here)
    elif isinstance(value, Mapping) and (keyword in SCHEMA_MAP or keyword == "dependencies"):
        for name, item in value.items():
            if isinstance(item, list):
                yield Keyword((*here, name), keyword, item)
            else:
                yield from _keywords(item, (*here, name))


def _tag_schemas(tag: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    steps = tag.items() if isinstance(tag, Mapping) else enumerate(tag) if isinstance(tag, list) else ()
    for step, value in steps:
        if step in _TAG_SCHEMAS and isinstance(value, Mapping | bool):
            yield (*path, step), value
        else:
            yield from _tag_schemas(value, (*path, step))


#: The paths of what is dropped, step by step; ``None`` marks the end of one.
_Tree: TypeAlias = dict[str | int | None, "_Tree"]


def _tree(dropped: Collection[Restriction]) -> _Tree:
    root: _Tree = {}
    for each in dropped:
        if isinstance(each, Keyword):
            node = root
            for step in each.path:
                node = node.setdefault(step, {})
            node[None] = {}
    return root


def _without(value: Any, tree: _Tree) -> Any:
    if not tree:
        return value
    if value is False and None in tree:
        return True
    if isinstance(value, list):
        return [_without(item, tree.get(i, {})) for i, item in enumerate(value) if not _goes(item, tree.get(i, {}))]
    if isinstance(value, Mapping):
        kept = {key: _without(item, tree.get(key, {})) for key, item in value.items()}
        for key, item in value.items():
            if _goes(item, tree.get(key, {})):
                _drop(kept, str(key))
        return kept
    return value


def _goes(item: Any, tree: _Tree) -> bool:
    """Whether an entry is dropped itself; a schema ``false`` becomes ``true`` instead."""
    return None in tree and item is not False


def _drop(schema: dict[str, Any], keyword: str) -> None:
    """Take a keyword out of a schema, with what means nothing or something else without it."""
    value = schema.pop(keyword, None)
    if keyword == "oneOf":  # its branches still say that one of them must hold
        schema["allOf"] = [*schema.get("allOf", []), {"anyOf": value}]
    elif keyword == "minContains":
        schema[keyword] = 0
    elif keyword == "contains":
        schema.pop("minContains", None)
        schema.pop("maxContains", None)
    elif keyword in ("minimum", "maximum"):
        exclusive = f"exclusive{keyword.capitalize()}"
        if schema.get(exclusive) is True:  # draft 4: a part of the bound
            del schema[exclusive]
