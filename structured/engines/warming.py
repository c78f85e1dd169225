"""Getting the hot loops ready before the first request.

numba compiles a loop, or reads it from its cache on disk, when it is first called with arguments of some types: seconds
or milliseconds that a request would wait for, and that no time-out of a constraint ends.
"""

from __future__ import annotations

import json
import string
from typing import Any

import numpy as np

from latticework.structured.bitmask import words
from latticework.structured.engines.lattice import LatticeEngine
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

_END = 256
#: The types of a loop's arguments depend on no vocabulary, and with a small one its work is nothing.
_BYTES = Vocabulary([*(bytes([byte]) for byte in range(_END)), None, b"ab", b'":', b'",'], [_END])
_GAPS = Vocabulary([*(bytes([byte]) for byte in range(0x20, 0x7F)), None, b"\xc3", b"\xc3\xa9"], [0x7F - 0x20])

_LETTERS = {"type": "string", "enum": list(string.ascii_lowercase)}
_MEMBERS = {f"{first}{second}": {"type": ["string", "null"]} for first in "abcdefgh" for second in "abcdefghi"}
#: Schemas and what is written under them, one for each way to be served.
_SCHEMAS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, '{"a": [1, -2.5e3, "b\\u00e9", {"c": null}], "d": true}'),
    ({"properties": {"n": {"type": "string", "minLength": 2, "maxLength": 600}}}, '{"n": "ab\u00e9"}'),
    ({"type": "string", "pattern": "^[a-c]+x?$", "not": {"const": "abc"}}, '"abcx"'),
    ({"type": "string", "format": "date-time"}, '"2024-02-29T10:00:00Z"'),
    ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 2}, "[1, 2, 13]"),
    ({"type": "array", "items": _LETTERS, "uniqueItems": True, "contains": {"const": "b"}}, '["a", "b"]'),
    ({"type": "object", "properties": _MEMBERS, "minProperties": 1}, '{"ab": "x", "cd": null}'),
    ({"type": "object", "patternProperties": {"^[ab]{1,2}$": {}}, "additionalProperties": False}, '{"a": 1, "b": 2}'),
    # So much that what a grammar remembers has to grow.
    (
        {"type": "object", "properties": {name: {"type": "string", "pattern": f"^{name}[a-z]*$"} for name in _MEMBERS}},
        json.dumps({name: name for name in _MEMBERS}),
    ),
    ({}, "[" * 60 + "]" * 60),
    (
        {
            "oneOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["b"], "patternProperties": {"^x": False}},
            ],
            "unevaluatedProperties": {"type": "array", "uniqueItems": True},
            "type": "object",
        },
        '{"a": 1, "c": [1, [2]]}',
    ),
)
_LIST = 'root ::= "[" (word ("," word)*)? "]"\nword ::= [a-z]+ | root\n'
_TAG = {
    "type": "structural_tag",
    "format": {
        "type": "triggered_tags",
        "triggers": ["<b"],
        "tags": [{"type": "tag", "begin": "<b>", "content": {"type": "regex", "pattern": "[0-9]+"}, "end": "</b>"}],
    },
}


def warm_up() -> None:
    """Run every loop that constraints need, with every type of argument. Thread-safe."""
    constraints = [(GrammarSpec.json_schema(schema), text) for schema, text in _SCHEMAS]
    constraints += [
        (GrammarSpec.regex("(ab|c\u00e9){1,40}[0-9]*"), "abab12"),
        (GrammarSpec.choice([f"{letter}{word}" for letter in "abc" for word in ("", "one", "two")]), "atwo"),
        (GrammarSpec.grammar(_LIST), "[ab,[c]]"),
        (GrammarSpec.structural_tag(_TAG), "a<b>12</b>c"),
    ]
    for spec, text in constraints:
        _write(spec, text, _BYTES)
    _write(GrammarSpec.regex("[a-zé]{1,5}"), "ab", _GAPS)


def _write(spec: GrammarSpec, text: str, vocabulary: Vocabulary) -> None:
    matcher = LatticeEngine().compile(spec, vocabulary, GrammarLimits()).matcher()
    row = np.zeros(words(vocabulary.size), np.int32)
    for token_id in vocabulary.trie.longest_match(text.encode()) or ():
        matcher.fill_bitmask(row)
        matcher.forced_tokens()
        if not matcher.accept(token_id):
            raise AssertionError(f"{text!r} is not written under {spec}")
    matcher.fork()
    matcher.rollback(1)
