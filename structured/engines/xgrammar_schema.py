r"""Which JSON Schemas xgrammar enforces in full. Everything else is refused, with the keyword and its JSON pointer.

xgrammar ignores what it does not know without a word, and many keywords depend on what stands beside them. So this is
a list of what is allowed, not of what is forbidden; each entry was checked against the official JSON Schema test suite
and by random walks over xgrammar's masks (0.2.7 and 0.2.8), and tests/test_engines_xgrammar_schema.py repeats that.

What is known to be wrong, for the next reader: ``minLength``/``maxLength`` let raw control characters into strings; a
literal ``\`` or ``"`` in a ``pattern`` is not escaped; ``enum``, ``const``, ``$ref`` and ``anyOf`` drop every keyword
beside them; ``allOf`` of two and ``oneOf`` of overlapping schemas are read as "anything" and ``anyOf``; names in
``required`` without a declaration are not required by name; escaped keys pass by ``properties``.

Where it is stricter than the schema, that is left alone: keys come in declared order, and an object that declares its
properties takes no others (the strict mode that the serving engines use too).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from latticework.structured.engines.schema_check import SCHEMA_MAP, resolve
from latticework.structured.errors import UnsupportedGrammarError

_ANNOTATIONS = frozenset(
    {"$comment", "$defs", "$schema", "default", "definitions", "deprecated", "description", "examples", "readOnly"}
    | {"title", "writeOnly"}
)
#: Every assertion and applicator of drafts 4 to 2020-12. A keyword outside it and ``_ANNOTATIONS`` means nothing.
_VOCABULARY = frozenset(
    {"$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef", "$ref", "additionalItems"}
    | {"additionalProperties", "allOf", "anyOf", "const", "contains", "dependencies", "dependentRequired"}
    | {"dependentSchemas", "else", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "id", "if", "items"}
    | {"maxContains", "maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength"}
    | {"minProperties", "minimum", "multipleOf", "not", "oneOf", "pattern", "patternProperties", "prefixItems"}
    | {"properties", "propertyNames", "required", "then", "type", "unevaluatedItems", "unevaluatedProperties"}
    | {"uniqueItems"}
)
_RANGE = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_BY_TYPE: dict[str, set[str]] = {
    "null": set(),
    "boolean": set(),
    "integer": _RANGE,
    "number": _RANGE,
    "string": {"pattern", "format"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties", "minProperties", "maxProperties"},
}
#: Formats of which no invalid example of the official suite passes.
_FORMATS = frozenset({"duration", "email", "ipv4", "uri", "uri-reference", "uri-template", "uuid"})
#: Members that decide the whole schema: xgrammar reads one of them and nothing beside it.
_DECIDING = ("$ref", "const", "enum", "anyOf", "oneOf", "allOf")

# Anchored at both ends, without look-around, inner anchors, or anything that JSON text spells with a backslash.
_PATTERN = re.compile(
    r"""\^(?: [A-Za-z0-9 _@\#%&=:;,<>~!'`/-] | [^\x00-\x7f]
            | \\[dwsSD.*+?()\[\]{}|/^$@\#%&=:;,<>~!'_-]
            | \[\^?(?: [^\]\\"\x00-\x1f^\[] | \\[dws.*+?()\[\]{}|/^$-] )+\]
            | \(\?: | \((?!\?) | [)|.] | (?: [*+?] | \{\d+(?:,\d*)?\} )(?![*+?{])
          )*\$""",
    re.VERBOSE,
)


def refuse_unenforced(schema: Any, field: str) -> None:
    """Raise ``UnsupportedGrammarError`` if xgrammar would enforce less than ``schema`` says.

    Only what can be reached from the root counts: an unused definition constrains nothing.
    """
    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [("#", schema)]
    while pending:
        pointer, current = pending.pop()
        if not isinstance(current, Mapping) or id(current) in seen:
            continue
        seen.add(id(current))
        if (fault := _fault(current, schema, pointer == "#")) is not None:
            keyword, why = fault
            raise UnsupportedGrammarError(field, f"at {pointer}/{keyword}: {why}")
        pending.extend(_reached(pointer, current, schema))


def _fault(schema: Mapping[str, Any], root: Any, at_root: bool) -> tuple[str, str] | None:
    """The first keyword of this one schema that would not be enforced, and why."""
    asserted = {keyword for keyword in schema if keyword in _VOCABULARY}
    if at_root:
        asserted -= {"$id", "id"}  # the base of references: only local pointers are let through below
    if schema.get("uniqueItems") is False:
        asserted.discard("uniqueItems")
    deciding = next((keyword for keyword in _DECIDING if keyword in asserted), None)
    if deciding is not None:
        return _fault_of_deciding(deciding, asserted, schema, root)
    types = _types(schema, asserted)
    allowed = set().union(*(_BY_TYPE[name] for name in types), {"type"})
    for keyword in sorted(asserted - allowed):
        return keyword, "xgrammar does not enforce this keyword here"
    return _fault_of_string(schema) or _fault_of_object(schema) or _fault_of_array(schema)


def _types(schema: Mapping[str, Any], asserted: set[str]) -> list[str]:
    """The types named, or the one that xgrammar infers. Without either, no keyword of any type is enforced."""
    if "type" in schema:
        names = schema["type"]
        return names if isinstance(names, list) else [names]
    if "properties" in asserted:
        return ["object"]
    return ["array"] if "items" in asserted else []


def _fault_of_deciding(
    deciding: str, asserted: set[str], schema: Mapping[str, Any], root: Any
) -> tuple[str, str] | None:
    beside = asserted - {deciding}
    value = schema[deciding]
    if deciding in ("const", "enum"):
        values = [value] if deciding == "const" else value
        if beside == {"type"} and all(_has_type(item, _types(schema, asserted)) for item in values):
            return None
    if beside:
        return min(beside), f"xgrammar drops this keyword beside {deciding}"
    if deciding == "$ref" and not (value == "#" or value.startswith("#/")):
        return deciding, "xgrammar follows only references within the document (#/...)"
    if deciding == "allOf" and len(value) > 1:
        return deciding, "xgrammar does not enforce more than one schema together"
    if deciding == "oneOf" and not _disjoint(value, root):
        return deciding, "xgrammar reads it as anyOf, and the types of these schemas overlap"
    return None


def _disjoint(options: list[Any], root: Any) -> bool:
    taken: set[str] = set()
    for option in options:
        names = _type_set(option, root)
        if not names or names & taken:
            return False
        taken |= names
    return True


def _type_set(schema: Any, root: Any) -> set[str]:
    """The types a schema names, integers counted as numbers; empty if it does not say."""
    for _ in range(8):  # a chain of references, not a cycle
        if not (isinstance(schema, Mapping) and str(schema.get("$ref", "")).startswith("#/")):
            break
        schema = resolve(root, schema["$ref"])
    if not isinstance(schema, Mapping) or "type" not in schema:
        return set()
    return {"number" if name == "integer" else name for name in _types(schema, set())}


def _has_type(value: Any, types: list[str]) -> bool:
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, int | float):
        return "number" in types or ("integer" in types and value == int(value))
    names = {type(None): "null", str: "string", list: "array", dict: "object"}
    return names.get(type(value)) in types


def _fault_of_string(schema: Mapping[str, Any]) -> tuple[str, str] | None:
    if "pattern" in schema and _PATTERN.fullmatch(schema["pattern"]) is None:
        return "pattern", "only patterns anchored by ^ and $, without look-around, quotes or backslashes, are enforced"
    if "format" in schema and schema["format"] not in _FORMATS:
        return "format", f"xgrammar does not enforce the format {schema['format']!r}"
    return ("pattern", "xgrammar drops it beside format") if {"pattern", "format"} <= schema.keys() else None


def _fault_of_object(schema: Mapping[str, Any]) -> tuple[str, str] | None:
    declared = schema.get("properties", {})
    closed = schema.get("additionalProperties", not declared) is False
    required = schema.get("required", [])
    if not isinstance(required, list) or not declared.keys() >= set(required):
        return "required", "xgrammar does not require keys that are not declared under properties"
    if declared and not closed:
        return "additionalProperties", "xgrammar lets a declared key, spelled with escapes, pass as another one"
    if schema.get("minProperties", 0) > 1 and not closed:
        return "minProperties", "xgrammar counts a repeated key twice"
    return None


def _fault_of_array(schema: Mapping[str, Any]) -> tuple[str, str] | None:
    if isinstance(schema.get("items"), list):
        return "items", "xgrammar does not read draft 7's list of items"
    return None


def _reached(pointer: str, schema: Mapping[str, Any], root: Any) -> Iterator[tuple[str, Any]]:
    """The schemas that decide about parts of this one's document, followed through references."""
    if "$ref" in schema:
        yield schema["$ref"], resolve(root, schema["$ref"])
    for keyword, value in schema.items():
        if keyword in SCHEMA_MAP - {"$defs", "definitions"}:
            yield from ((f"{pointer}/{keyword}/{name}", item) for name, item in value.items())
        elif keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
            yield from ((f"{pointer}/{keyword}/{i}", item) for i, item in enumerate(value))
        elif keyword in ("items", "additionalProperties"):
            yield f"{pointer}/{keyword}", value
