"""Is a JSON Schema well-formed? Checked before any engine sees it: each engine reads a malformed one its own way.

Covers drafts 4 to 2020-12: the type of every keyword's value, the names in ``type``, patterns that no regex dialect can
read, and references within the document that lead nowhere. It is not a check of what an engine can enforce.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from latticework.structured.errors import GrammarError

TYPE_NAMES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})

#: Keywords whose value is one schema, a list of schemas, and a mapping of names to schemas.
ONE_SCHEMA = frozenset(
    {"additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not"}
    | {"propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"}
)
SCHEMA_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SCHEMA_MAP = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})

_COUNTS = frozenset(
    f"{bound}{what}" for bound in ("min", "max") for what in ("Contains", "Items", "Length", "Properties")
)
_STRINGS = frozenset({"$anchor", "$comment", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "format", "pattern"})


def check_schema(schema: object, field: str) -> None:
    """Raise ``GrammarError`` naming ``field``, the JSON pointer and the fault of the first malformed keyword.

    The walk keeps its own stack, so no nesting can exhaust Python's.
    """
    # A nested $id starts a document of its own, whose references are left to the engines.
    one_document = not any(isinstance(s, Mapping) and "$id" in s for pointer, s in walk(schema) if pointer != "#")
    for pointer, subschema in walk(schema):
        if isinstance(subschema, bool):
            continue
        if not isinstance(subschema, Mapping):
            raise GrammarError(field, f"at {pointer}: a schema is an object or a boolean, not {_json_type(subschema)}")
        for keyword, value in subschema.items():
            if (fault := _fault(keyword, value, subschema)) is not None:
                raise GrammarError(field, f"at {pointer}/{_escape(keyword)}: {fault}")
            if keyword == "$ref" and one_document and value.startswith("#/") and not _resolves(schema, value):
                raise GrammarError(field, f"at {pointer}/$ref: {value!r} leads nowhere in this schema")


def walk(schema: object) -> Iterator[tuple[str, Any]]:
    """Every subschema with its JSON pointer (``#`` is the root), parents before children. Malformed ones included."""
    pending: list[tuple[str, Any]] = [("#", schema)]
    while pending:
        pointer, current = pending.pop()
        yield pointer, current
        if isinstance(current, Mapping):
            pending.extend(reversed(list(_children(pointer, current))))


def _children(pointer: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for keyword, value in schema.items():
        here = f"{pointer}/{_escape(keyword)}"
        if keyword in SCHEMA_LIST or (keyword == "items" and isinstance(value, list)):
            if isinstance(value, list):
                yield from ((f"{here}/{i}", item) for i, item in enumerate(value))
        elif keyword in ONE_SCHEMA:
            yield here, value
        elif keyword in SCHEMA_MAP and isinstance(value, Mapping):
            yield from ((f"{here}/{_escape(name)}", item) for name, item in value.items())
        elif keyword == "dependencies" and isinstance(value, Mapping):
            # Draft 7's union of dependentRequired (lists) and dependentSchemas.
            yield from ((f"{here}/{_escape(name)}", item) for name, item in value.items() if not isinstance(item, list))


def _fault(keyword: str, value: object, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with the keyword's own value, if anything; subschemas are visited by :func:`walk`."""
    if keyword in SCHEMA_LIST:
        return None if isinstance(value, list) and value else f"expected a non-empty array, got {_json_type(value)}"
    if keyword in SCHEMA_MAP or keyword == "dependencies":
        return _fault_of_map(keyword, value)
    if keyword in _COUNTS:
        whole = _is_number(value) and value == int(value) and value >= 0  # type: ignore[call-overload,operator]
        return None if whole else f"expected a non-negative integer, got {value!r}"
    if keyword in _STRINGS:
        if not isinstance(value, str):
            return f"expected a string, got {_json_type(value)}"
        return _fault_of_pattern(value) if keyword == "pattern" else None
    check = _SPECIAL.get(keyword)
    return None if check is None else check(value, schema)


def _fault_of_map(keyword: str, value: object) -> str | None:
    if not isinstance(value, Mapping):
        return f"expected an object, got {_json_type(value)}"
    if keyword == "patternProperties":
        faults = (fault for pattern in value if (fault := _fault_of_pattern(pattern)) is not None)
        return next(faults, None)
    return None


def _fault_of_pattern(pattern: str) -> str | None:
    try:
        re.compile(_portable(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        return f"{pattern!r} is not a regular expression: {error}"
    return None


def _portable(pattern: str) -> str:
    r"""ECMA-262's own constructs in words that Python's ``re`` can read; only whether it parses matters.

    ``\p{..}``, ``\u{..}``, ``\cX``, ``\/``, ``(?<name>``, a class as the start of a range (``[\s-,]``), and escapes of
    letters that need none.
    """
    pattern = re.sub(r"\\[pP]\{[^}]*\}|\\u\{[0-9A-Fa-f]+\}|\\c[A-Za-z]", r"\\w", pattern)
    pattern = re.sub(r"(\\[dswDSW])-", r"\1\\-", pattern)
    pattern = re.sub(r"\\([^\W\dabBdDfnrsStuvwWxk_])", r"\1", pattern)
    return re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern)


def _type_fault(value: object, schema: Mapping[str, Any]) -> str | None:
    names = value if isinstance(value, list) else [value]
    unknown = [name for name in names if not (isinstance(name, str) and name in TYPE_NAMES)]
    if unknown or not names:
        return f"expected one of {', '.join(sorted(TYPE_NAMES))}, got {unknown[0] if unknown else names!r}"
    return None


def _number_fault(value: object, schema: Mapping[str, Any]) -> str | None:
    return None if _is_number(value) else f"expected a number, got {_json_type(value)}"


def _exclusive_fault(value: object, schema: Mapping[str, Any]) -> str | None:
    # Draft 4 spelled it as a boolean beside minimum/maximum.
    return None if _is_number(value) or isinstance(value, bool) else f"expected a number, got {_json_type(value)}"


def _multiple_fault(value: object, schema: Mapping[str, Any]) -> str | None:
    return None if _is_number(value) and value > 0 else f"expected a number above 0, got {value!r}"  # type: ignore[operator]


def _names_fault(value: object, schema: Mapping[str, Any]) -> str | None:
    if isinstance(value, bool) and "type" in schema:
        return None  # draft 3's "required": true, common in the wild and ignored by every later draft
    strings = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return None if strings else f"expected an array of strings, got {_json_type(value)}"


def _enum_fault(value: object, schema: Mapping[str, Any]) -> str | None:
    return None if isinstance(value, list) and value else f"expected a non-empty array, got {_json_type(value)}"


def _boolean_fault(value: object, schema: Mapping[str, Any]) -> str | None:
    return None if isinstance(value, bool) else f"expected a boolean, got {_json_type(value)}"


_SPECIAL: dict[str, Callable[[object, Mapping[str, Any]], str | None]] = {
    "type": _type_fault,
    "minimum": _number_fault,
    "maximum": _number_fault,
    "exclusiveMinimum": _exclusive_fault,
    "exclusiveMaximum": _exclusive_fault,
    "multipleOf": _multiple_fault,
    "required": _names_fault,
    "enum": _enum_fault,
    "uniqueItems": _boolean_fault,
}


def resolve(root: object, reference: str) -> Any:
    """What a reference of the form ``#`` or ``#/a/b`` points to. Raises ``KeyError`` if it leads nowhere."""
    target: Any = root
    for step in unquote(reference.removeprefix("#")).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        else:
            raise KeyError(reference)
    return target


def _resolves(root: object, reference: str) -> bool:
    try:
        resolve(root, reference)
    except KeyError:
        return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", int: "a number", float: "a number"}
    return "null" if value is None else "a boolean" if isinstance(value, bool) else names.get(type(value), "?")
