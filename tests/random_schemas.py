"""Random JSON Schemas (2020-12) with every combinator, and values that come near to satisfying them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "ab", "c")
TEXTS = ("", "a", "b", "ab", "aab")
NUMBERS = (0, 1, 2, 3, -1, 0.5, 2.5)
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def values(depth: int = 2) -> st.SearchStrategy[Any]:
    """JSON values over a small vocabulary."""
    leaves = st.sampled_from((None, True, False, *NUMBERS, *TEXTS))
    if depth == 0:
        return leaves
    inner = values(depth - 1)
    return st.one_of(
        leaves,
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    )


def schemas(depth: int = 2, refs: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """Schemas; ``depth`` bounds how deep subschemas nest, ``refs`` are what they may refer to."""
    keywords = dict(_leaf_keywords())
    if depth:
        keywords |= _inner_keywords(schemas(depth - 1, refs))
    if refs:
        keywords["$ref"] = st.sampled_from(refs)
    some = st.lists(st.sampled_from(sorted(keywords)), max_size=5, unique=True)
    built = some.flatmap(lambda chosen: st.fixed_dictionaries({name: keywords[name] for name in chosen}))
    return st.one_of(built, built, built, st.booleans())


def referring_schemas(depth: int = 2) -> st.SearchStrategy[Any]:
    """Schemas with definitions that refer to themselves and to each other, often in circles that read nothing."""
    refs = ("#", "#/$defs/x", "#/$defs/y")
    definitions = st.fixed_dictionaries({"x": schemas(depth - 1, refs), "y": schemas(depth - 1, refs)})
    part = schemas(depth, refs)
    return st.builds(lambda defs, first: {"$defs": defs, "allOf": [first, {"$ref": "#/$defs/x"}]}, definitions, part)


_RENAMED = {"dependentSchemas": "dependencies", "dependentRequired": "dependencies", "$defs": "definitions"}
_LATER = {"unevaluatedProperties", "unevaluatedItems", "minContains", "maxContains"}
_DATA = {"enum", "const", "required"}


def in_draft_7(schema: Any) -> Any:
    """The schema as draft 7 writes it, without what draft 7 does not have. ``$schema`` is the caller's."""
    if isinstance(schema, list):
        return [in_draft_7(part) for part in schema]
    if not isinstance(schema, dict):
        return schema.replace("#/$defs/", "#/definitions/") if isinstance(schema, str) else schema
    older: dict[str, Any] = {}
    for name, part in schema.items():
        if name in _LATER:
            continue
        converted = part if name in _DATA else in_draft_7(part)
        if name == "prefixItems":
            older["items"] = converted
        elif name == "items" and "prefixItems" in schema:
            older["additionalItems"] = converted
        elif name in _RENAMED:
            older.setdefault(_RENAMED[name], {}).update(converted)
        else:
            older[name] = converted
    return older


def _leaf_keywords() -> dict[str, st.SearchStrategy[Any]]:
    small = st.integers(0, 3)
    bounds = st.sampled_from((-1, 0, 1, 1.5, 2, 3))
    return {
        "type": st.one_of(st.sampled_from(_TYPES), st.lists(st.sampled_from(_TYPES), min_size=1, unique=True)),
        "enum": st.lists(values(1), min_size=1, max_size=4),
        "const": values(1),
        "minimum": bounds,
        "maximum": bounds,
        "exclusiveMinimum": bounds,
        "exclusiveMaximum": bounds,
        "multipleOf": st.sampled_from((0.5, 1, 2, 3)),
        "minLength": small,
        "maxLength": small,
        "pattern": st.sampled_from(("^a", "b$", "^[ab]*$", "ab", "^(a|bb)$")),
        "minItems": small,
        "maxItems": small,
        "uniqueItems": st.booleans(),
        "minProperties": small,
        "maxProperties": small,
        "required": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
        "dependentRequired": st.dictionaries(
            st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=2, unique=True), max_size=2
        ),
    }


def _inner_keywords(inner: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    several = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    return {
        "properties": named,
        "patternProperties": st.dictionaries(st.sampled_from(("^a", "b$", "^[ab]$")), inner, max_size=2),
        "additionalProperties": inner,
        "propertyNames": inner,
        "dependentSchemas": named,
        "unevaluatedProperties": inner,
        "prefixItems": several,
        "items": inner,
        "contains": inner,
        "minContains": st.integers(0, 2),
        "maxContains": st.integers(0, 2),
        "unevaluatedItems": inner,
        "allOf": several,
        "anyOf": several,
        "oneOf": several,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
    }
