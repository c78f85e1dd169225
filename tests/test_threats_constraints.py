"""What hostile constraints can do: docs/threats.md."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest

from latticework.plugins.vocabularies import try_first_mask
from latticework.structured.engines import deadline
from latticework.structured.engines.select import compile_grammar
from latticework.structured.errors import BudgetExceededError, LatticeworkError, UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

BYTES = Vocabulary([bytes([i]) for i in range(256)] + [b""], eos_ids=[256])
#: Looking ahead for longer than servers do, so that more of what texts could come to is met.
LIMITS = GrammarLimits(compile_seconds=2.0, ahead_seconds=2.0, mask_seconds=1.0)


# Constraints


def exponential(depth: int) -> dict[str, Any]:
    """Every definition uses the next one four times."""
    defs: dict[str, Any] = {f"d{depth}": {"minLength": 3}}
    for i in range(depth):
        following = {"$ref": f"#/$defs/d{i + 1}"}
        either = {"anyOf": [following, {"type": "string", **following}]}
        defs[f"d{i}"] = {"allOf": [either, {"oneOf": [following, {"not": following}]}]}
    return {"$ref": "#/$defs/d0", "$defs": defs}


SCHEMAS: dict[str, Any] = {
    "exponential combinators": exponential(40),
    "every pair of alternatives": {"allOf": [{"anyOf": [{"required": [f"{x}{i}"]} for x in "ab"]} for i in range(60)]},
    "forbidden pairs": {
        "allOf": [
            {"not": {"required": [f"p{i}", f"p{i + 1}"], "properties": {f"p{i}": {"const": i}}}} for i in range(40)
        ]
    },
    "a huge enum": {"enum": [f"value {i * 7919 % 100_003}" for i in range(20_000)]},
    "a huge enum of objects": {"enum": [{"a": i, "b": [i] * 3} for i in range(6_000)]},
    "a long string": {"type": "string", "maxLength": 10**9},
    "a string that must be long": {"type": "string", "minLength": 10**9},
    "a list that must be long": {"type": "array", "minItems": 10**9, "items": {"type": "integer"}},
    "an object that must be large": {"type": "object", "minProperties": 10**9},
    "a thousand that are unique": {
        "type": "array",
        "uniqueItems": True,
        "minItems": 900,
        "items": {"enum": [*range(1000)]},
    },
    "millions contained": {"contains": {"type": "string"}, "minContains": 10**6, "maxContains": 10**8},
    "a tiny step": {"type": "number", "multipleOf": 1e-300, "minimum": 0},
    "coprime steps": {"type": "integer", "allOf": [{"multipleOf": p} for p in (10007, 10009, 10037, 10039)]},
    "large integers": {"type": "integer", "minimum": 10**3000, "maximum": 10**3000 + 7},
    "overlapping patterns": {
        "patternProperties": {f"a.*{i}.*b": {"minLength": i} for i in range(40)},
        "additionalProperties": False,
    },
    "an exponential pattern": {"type": "string", "pattern": "(a|b)*a(a|b){25}"},
    "a product of patterns": {"type": "string", "allOf": [{"pattern": f"(a|b)*a(a|b){{{i}}}"} for i in range(8, 16)]},
    "an exponential name": {"propertyNames": {"pattern": "^(a|b)*a(a|b){20}$"}},
    "a schema of itself": {"$ref": "#"},
    "thousands of keys": {"properties": {f"key {i}": {"pattern": f"^[a-z]{{{i % 50}}}x$"} for i in range(3_000)}},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_bombs_end_within_their_budget(name: str) -> None:
    """Served, or refused by name; what takes for ever would show by not ending."""
    with suppress(LatticeworkError):
        try_first_mask(compile_grammar(GrammarSpec.json_schema(SCHEMAS[name]), BYTES, limits=LIMITS))


@pytest.mark.parametrize("depth", [65, 10_000])
def test_nesting_is_counted_before_anything_is_read(depth: int) -> None:
    text = '{"items":' * depth + "{}" + "}" * depth
    spec = GrammarSpec(GrammarSpec.json_schema({}).kind, text)
    with pytest.raises(BudgetExceededError, match=f"nested {depth + 1} levels deep"):
        compile_grammar(spec, BYTES)


PATTERNS = {
    "exponential states": "(a|b)*a(a|b){25}",
    "repeats of repeats": "((a{1,1000}){1,1000}){1,1000}",
    "a large count": "(ab?c){1,100000000}",
    "large classes": r"(\p{L}|\p{N}){1,5000}",
    "many alternatives": "|".join(f"(a{{{i}}}b|c{{{i}}}d)*" for i in range(1, 200)),
    "conditions ahead": "".join(f"(?=.*a{{{i}}})" for i in range(1, 14)) + ".*",
    "stars of stars": "(((((a*)*)*)*)*)*b",
    "backtracking": "(a+)+$",
}


@pytest.mark.parametrize("name", PATTERNS)
def test_regex_bombs_end_within_their_budget(name: str) -> None:
    with suppress(LatticeworkError):
        try_first_mask(compile_grammar(GrammarSpec.regex(PATTERNS[name]), BYTES, limits=LIMITS))


def test_native_calls_that_are_late_take_no_further_processor() -> None:
    """Native code cannot be interrupted, so what is late goes on by itself; but only so many at once."""
    over, begun = threading.Event(), []

    def late() -> None:
        begun.append(1)
        over.wait()

    try:
        for _ in range(deadline.AT_ONCE):
            with pytest.raises(BudgetExceededError, match="took more than"):
                deadline.run_with_deadline(late, 0.01, "regex", "the compiler")
        with pytest.raises(BudgetExceededError, match="try again later"):
            deadline.run_with_deadline(late, 0.01, "regex", "the compiler")
        assert len(begun) == deadline.AT_ONCE
    finally:
        over.set()
    assert deadline.run_with_deadline(lambda: 7, 10.0, "regex", "the compiler") == 7


@pytest.mark.parametrize("keyword", ["minItems", "maxItems"])
def test_lists_that_llguidance_cannot_count_are_refused(keyword: str) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, keyword: 10**9}
    with pytest.raises(UnsupportedGrammarError, match=f"{keyword}: llguidance counts no more than"):
        compile_grammar(GrammarSpec.json_schema(schema), BYTES, "llguidance")
    compile_grammar(GrammarSpec.json_schema({**schema, keyword: 1000}), BYTES, "llguidance")
