"""What each keyword asserts, draft by draft: its value is checked and put into the node of its schema.

A keyword that a draft does not have is ignored in it, as the specifications ask. So are annotations (``title``,
``default``, ``contentEncoding``, ...), and ``$vocabulary``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias

from latticework.structured.json_schema.formats import FORMATS
from latticework.structured.json_schema.ir import Schema
from latticework.structured.json_schema.values import exact, json_key, json_type

if TYPE_CHECKING:
    from latticework.structured.json_schema.reader import Site

KeywordReader: TypeAlias = "Callable[[Site, Any], None]"

TYPE_NAMES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


class Malformed(Exception):  # noqa: N818 - becomes a GrammarError where the keyword and its place are known
    """The keyword's value is not of the form that the draft asks for."""


class Unsupported(Exception):  # noqa: N818 - becomes an UnsupportedGrammarError, or a record of what is left out
    """The keyword's value cannot be enforced."""


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(f"expected an array, got {_kind(value)}")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"expected an object, got {_kind(value)}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Malformed(f"expected a string, got {_kind(value)}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Malformed(f"{value!r} holds half a surrogate pair, which no text can") from error
    return value


def _names(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_text, _array(value))))


def _kind(value: Any) -> str:
    kind = json_type(value)
    return kind if kind == "null" else f"an {kind}" if kind[0] in "ao" else f"a {kind}"


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"expected a number, got {_kind(value)}")
    if isinstance(value, float) and not isfinite(value):
        raise Malformed("the number is out of range")
    return value


def _count(field: str) -> KeywordReader:
    def read(site: Site, value: Any) -> None:
        number = _number(value)
        if number < 0 or number != int(number):
            raise Malformed(f"expected a non-negative integer, got {number!r}")
        setattr(site.node, field, int(number))

    return read


def _bound(field: str) -> KeywordReader:
    def read(site: Site, value: Any) -> None:
        setattr(site.node, field, exact(_number(value)))

    return read


def _bound_draft4(side: str) -> KeywordReader:
    """``minimum`` or ``maximum``, which a boolean beside it makes exclusive."""

    def read(site: Site, value: Any) -> None:
        exclusive = site.schema.get(f"exclusive{side.capitalize()}") is True
        setattr(site.node, f"exclusive_{side}" if exclusive else side, exact(_number(value)))

    return read


def _exclusive_draft4(side: str) -> KeywordReader:
    def read(site: Site, value: Any) -> None:
        if not isinstance(value, bool):
            raise Malformed(f"expected a boolean in draft 4, got {_kind(value)}")
        if value and side not in site.schema:
            raise Malformed(f"says nothing in draft 4 without {side!r} beside it")

    return read


def _multiple_of(site: Site, value: Any) -> None:
    if _number(value) <= 0:
        raise Malformed(f"expected a number above 0, got {value!r}")
    site.node.multiple_of = exact(value)


def _type(site: Site, value: Any) -> None:
    names = value if isinstance(value, list) else [value]
    for name in names:
        if not isinstance(name, str) or name not in TYPE_NAMES:
            raise Malformed(f"expected one of {', '.join(sorted(TYPE_NAMES))}, got {name!r}")
    if not names:
        raise Malformed("expected at least one name")
    site.node.types = frozenset(names)


def _enum(site: Site, value: Any) -> None:
    _allow(site, _array(value))


def _const(site: Site, value: Any) -> None:
    _allow(site, [value])


def _allow(site: Site, values: list[Any]) -> None:
    _check_values(site, values)
    if site.node.enum is not None:  # both enum and const
        allowed = {json_key(value) for value in site.node.enum}
        values = [value for value in values if json_key(value) in allowed]
    site.node.enum = tuple(values)


def _check_values(site: Site, values: list[Any]) -> None:
    pending: list[tuple[Any, int]] = [(values, 0)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, str):
            _text(value)
        elif isinstance(value, dict):
            pending.extend((part, depth + 1) for part in (*value, *value.values()))
        elif isinstance(value, list):
            site.reader.budget.check_nesting(depth)
            pending.extend((part, depth + 1) for part in value)
        elif value is not None and not isinstance(value, bool):
            _number(value)


def _pattern(site: Site, value: Any) -> None:
    site.node.pattern = _text(value)


def _format(site: Site, value: Any) -> None:
    if _text(value) in FORMATS and site.reader.assert_formats:
        site.node.format = value


def _unique_items(site: Site, value: Any) -> None:
    if not isinstance(value, bool):
        raise Malformed(f"expected a boolean, got {_kind(value)}")
    site.node.unique_items = value


def _required(site: Site, value: Any) -> None:
    if isinstance(value, bool):
        raise Unsupported("the boolean form is draft 3's; later drafts list the names beside 'properties'")
    site.node.required = _names(value)


def _dependent_required(site: Site, value: Any) -> None:
    _depend(site, "dependentRequired", {name: _names(names) for name, names in _object(value).items()})


def _dependent_schemas(site: Site, value: Any) -> None:
    _depend(site, "dependentSchemas", _object(value))


def _dependencies(site: Site, value: Any) -> None:
    """Both in one, up to draft 7; later drafts allow reading it for the sake of old documents, so it is."""
    _depend(site, "dependencies", {n: _names(v) if isinstance(v, list) else v for n, v in _object(value).items()})


def _depend(site: Site, keyword: str, consequences: dict[str, Any]) -> None:
    """What the presence of a name asks for: names, as a tuple, or a schema. Adds to what other keywords ask for."""
    required = dict(site.node.dependent_required)
    schemas = dict(site.node.dependent_schemas)
    for name, consequence in consequences.items():
        _text(name)
        if isinstance(consequence, tuple):
            required[name] = tuple(dict.fromkeys((*required.get(name, ()), *consequence)))
            continue
        schema = site.subschema(consequence, keyword, name)
        schemas[name] = Schema(site.node.path, all_of=(schemas[name], schema)) if name in schemas else schema
    site.node.dependent_required = required
    site.node.dependent_schemas = schemas


def _one(keyword: str, field: str) -> KeywordReader:
    def read(site: Site, value: Any) -> None:
        setattr(site.node, field, site.subschema(value, keyword))

    return read


def _several(keyword: str, field: str) -> KeywordReader:
    def read(site: Site, value: Any) -> None:
        if not _array(value):
            raise Malformed("expected at least one schema")
        setattr(site.node, field, site.subschemas(value, keyword))

    return read


def _named(keyword: str, field: str) -> KeywordReader:
    def read(site: Site, value: Any) -> None:
        schemas = {_text(name): site.subschema(item, keyword, name) for name, item in _object(value).items()}
        setattr(site.node, field, schemas)

    return read


def _items_until_2019(site: Site, value: Any) -> None:
    """One schema for all items, or an array of them for the first ones and ``additionalItems`` for the rest."""
    if not isinstance(value, list):
        site.node.items = site.subschema(value, "items")
        return
    site.node.prefix_items = site.subschemas(value, "items")
    if "additionalItems" in site.schema:
        site.node.items = site.subschema(site.schema["additionalItems"], "additionalItems")


def _if(site: Site, value: Any) -> None:
    site.node.condition = site.subschema(value, "if")
    if "then" in site.schema:
        site.node.then = site.subschema(site.schema["then"], "then")
    if "else" in site.schema:
        site.node.otherwise = site.subschema(site.schema["else"], "else")


def _reference(keyword: str) -> KeywordReader:
    def read(site: Site, value: Any) -> None:
        target = site.reference(keyword)
        if target is not None:
            site.node.refs = (*site.node.refs, target)

    return read


_SINCE_4: dict[str, KeywordReader] = {
    "additionalProperties": _one("additionalProperties", "additional_properties"),
    "allOf": _several("allOf", "all_of"),
    "anyOf": _several("anyOf", "any_of"),
    "dependencies": _dependencies,
    "enum": _enum,
    "format": _format,
    "items": _items_until_2019,
    "maxItems": _count("max_items"),
    "maxLength": _count("max_length"),
    "maxProperties": _count("max_properties"),
    "minItems": _count("min_items"),
    "minLength": _count("min_length"),
    "minProperties": _count("min_properties"),
    "multipleOf": _multiple_of,
    "not": _one("not", "negated"),
    "oneOf": _several("oneOf", "one_of"),
    "pattern": _pattern,
    "patternProperties": _named("patternProperties", "pattern_properties"),
    "properties": _named("properties", "properties"),
    "required": _required,
    "type": _type,
    "uniqueItems": _unique_items,
}
_ONLY_4: dict[str, KeywordReader] = {
    "exclusiveMaximum": _exclusive_draft4("maximum"),
    "exclusiveMinimum": _exclusive_draft4("minimum"),
    "maximum": _bound_draft4("maximum"),
    "minimum": _bound_draft4("minimum"),
}
_SINCE_6: dict[str, KeywordReader] = _SINCE_4 | {
    "const": _const,
    "contains": _one("contains", "contains"),
    "exclusiveMaximum": _bound("exclusive_maximum"),
    "exclusiveMinimum": _bound("exclusive_minimum"),
    "maximum": _bound("maximum"),
    "minimum": _bound("minimum"),
    "propertyNames": _one("propertyNames", "property_names"),
}
_SINCE_7: dict[str, KeywordReader] = _SINCE_6 | {"if": _if}
_SINCE_2019: dict[str, KeywordReader] = _SINCE_7 | {
    "$ref": _reference("$ref"),
    "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas,
    "maxContains": _count("max_contains"),
    "minContains": _count("min_contains"),
    "unevaluatedItems": _one("unevaluatedItems", "unevaluated_items"),
    "unevaluatedProperties": _one("unevaluatedProperties", "unevaluated_properties"),
}

#: By dialect name. In drafts up to 7 a ``$ref`` stands alone and is followed before any keyword is read.
KEYWORDS: Mapping[str, Mapping[str, KeywordReader]] = {
    "4": _SINCE_4 | _ONLY_4,
    "6": _SINCE_6,
    "7": _SINCE_7,
    "2019-09": _SINCE_2019 | {"$recursiveRef": _reference("$recursiveRef")},
    "2020-12": _SINCE_2019
    | {
        "$dynamicRef": _reference("$dynamicRef"),
        "items": _one("items", "items"),
        "prefixItems": _several("prefixItems", "prefix_items"),
    },
}
