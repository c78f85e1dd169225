r"""What a JSON Schema needs before llguidance compiles it, so that nothing in it is weakened.

llguidance refuses by itself nearly every keyword it does not enforce. Checked against the official JSON Schema test
suite and random walks over its masks, these remain, and are handled here:

* *Keys spelled with escapes.* Where an object takes keys beyond its declared ones, ``"\u0061"`` passes as another key
  than ``"a"``, and with it a value that ``a`` does not allow. Such an object is rewritten to take its other keys
  through ``patternProperties``, whose keys llguidance spells in one way only.
* *Repeated keys.* They count twice towards ``minProperties`` and once in the parsed object. Refused.
* *A* ``$id`` *below the root*, which moves the base that references resolve against. Refused.
* *Lists of millions of items* take llguidance gigabytes to count. Refused.

``format`` is enforced as the grammar of its RFC, which is more than the specification asks for; what no grammar knows
(29 February, leap seconds, whether a punycode label decodes) is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from latticework.structured.engines.schema_check import ONE_SCHEMA, SCHEMA_LIST, SCHEMA_MAP, walk
from latticework.structured.errors import UnsupportedGrammarError

_ANY_KEY = "(?s)^.*$"
_MOST_ITEMS = 100_000
_MATCHES_ALL = frozenset({"", ".*", "^.*", ".*$", "^.*$"})


def close_keys(schema: Any, field: str) -> Any:
    """An equivalent schema (see the module's text) for llguidance; ``schema`` itself is not changed.

    Raises ``UnsupportedGrammarError`` naming ``field``, the JSON pointer and the keyword.
    """
    for pointer, subschema in walk(schema):
        if isinstance(subschema, Mapping):
            _refuse(pointer, subschema, field)
    return _rewrite(schema)


def _refuse(pointer: str, schema: Mapping[str, Any], field: str) -> None:
    def refuse(keyword: str, why: str) -> UnsupportedGrammarError:
        return UnsupportedGrammarError(field, f"at {pointer}/{keyword}: {why}")

    if pointer != "#" and "$id" in schema:
        raise refuse("$id", "llguidance does not resolve references against a $id below the root")
    if schema.get("patternProperties") and _takes_other_keys(schema):
        raise refuse("patternProperties", "beside other keys, llguidance misses a key that is spelled with escapes")
    for keyword in ("minItems", "maxItems"):
        if schema.get(keyword, 0) > _MOST_ITEMS:
            raise refuse(keyword, f"llguidance counts no more than {_MOST_ITEMS} items in reasonable time")
    repeatable = schema.get("patternProperties") or _takes_other_keys(schema)
    if repeatable and schema.get("minProperties", 0) > max(1, len(_required(schema))):
        raise refuse("minProperties", "llguidance counts a repeated key twice")


def _takes_other_keys(schema: Mapping[str, Any]) -> bool:
    if schema.get("patternProperties", {}).keys() & _MATCHES_ALL:
        return False
    return schema.get("additionalProperties", True) is not False


def _required(schema: Mapping[str, Any]) -> set[str]:
    names = schema.get("required", [])
    return set(names) if isinstance(names, list) else set()  # draft 3 had a boolean there, which means nothing now


def _rewrite(schema: Any) -> Any:
    """Recursive, so the schema's nesting must have been limited before."""
    if not isinstance(schema, Mapping):
        return schema
    result = {keyword: _rewrite_value(keyword, value) for keyword, value in schema.items()}
    declared = {*schema.get("properties", {}), *_required(schema)}
    if not _takes_other_keys(schema):
        result["additionalProperties"] = False
    elif declared:
        others = result.get("additionalProperties", True)
        # `true` for a declared key as well adds nothing to it, and equal patterns still merge under allOf.
        anything = others is True or others == {}
        result["patternProperties"] = {_ANY_KEY if anything else _all_but(declared): others}
        result["additionalProperties"] = False
    return result


def _rewrite_value(keyword: str, value: Any) -> Any:
    if keyword in SCHEMA_MAP and isinstance(value, Mapping):
        return {name: _rewrite(item) for name, item in value.items()}
    if isinstance(value, list) and (keyword in SCHEMA_LIST or keyword == "items"):
        return [_rewrite(item) for item in value]
    return _rewrite(value) if keyword in ONE_SCHEMA else value


def _all_but(names: Iterable[str]) -> str:
    """A regex, without look-around, for every text that is none of ``names``."""
    return f"^{_all_but_tails(sorted(names))}$"


def _all_but_tails(tails: list[str]) -> str:
    by_first: dict[str, list[str]] = {}
    for tail in tails:
        if tail:
            by_first.setdefault(tail[0], []).append(tail[1:])
    firsts = "".join(re.escape(character) if character.isascii() else character for character in by_first)
    others = f"[^{firsts}](?s:.)*" if firsts else "(?s:.)+"
    options = [others, *(re.escape(first) + _all_but_tails(rest) for first, rest in by_first.items())]
    return f"(?:{'|'.join(options)})" + ("" if "" in tails else "?")
