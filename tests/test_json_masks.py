"""Masks of random JSON Schemas with every combinator equal brute force: through the runtime, token by token.

Each schema is confined to finitely many documents by a second one beside it. All of these are written down, a validator
says which are valid, and a token is allowed if and only if some valid document goes on with it.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from random_schemas import in_draft_7, referring_schemas, schemas

from latticework.bench.walks.judge import Judge
from latticework.structured import bitmask
from latticework.structured.engines.base import CompiledGrammar, Matcher
from latticework.structured.engines.select import compile_grammar
from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError
from latticework.structured.json_options import JsonOptions, Order, Whitespace
from latticework.structured.laws import mask_of
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

EOS = 0
#: What documents are spelled with. Neither a point nor a backslash: 1.0 and escapes are further writings of a document.
LETTERS = b'{}[]:," 12abctruefalsn'
PIECES = (
    *(b'{"', b'":', b'",', b'": ', b'"}', b"}}", b"]]", b"],", b"[1", b"1,", b", 1", b"[[", b"[]", b"{}"),
    *(b'a"', b'", "', b'","', b'","b', b'{"a":1', b'1, "a"', b'"a": 1, "b": 1'),
)
VOCABULARY = Vocabulary([None, *(bytes([byte]) for byte in range(256)), *PIECES], [EOS])
TOKENS = [number for number, token in enumerate(VOCABULARY.tokens) if token and set(token) <= set(LETTERS)]


@dataclass(frozen=True)
class Bound:
    """A finite set of documents, and the schema that confines others to it."""

    schema: Any
    values: tuple[Any, ...]


def _objects(names: str, most: int, values: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    for size in range(most + 1):
        for chosen in itertools.permutations(names, size):
            for written in itertools.product(values, repeat=size):
                yield dict(zip(chosen, written, strict=True))


def _arrays(most: int, values: tuple[Any, ...]) -> Iterator[list[Any]]:
    for size in range(most + 1):
        yield from map(list, itertools.product(values, repeat=size))


def _bound(objects: tuple[str, int], arrays: int, values: tuple[Any, ...]) -> Bound:
    names, most = objects
    schema = {
        "anyOf": [{"enum": list(values)}, {"type": "object", "minProperties": 1}, {"type": "array", "minItems": 1}],
        "propertyNames": {"enum": list(names)} if names else False,
        "additionalProperties": {"enum": list(values)},
        "maxProperties": most,
        "items": {"enum": list(values)},
        "maxItems": arrays,
    }
    documents = [*values, *_objects(names, most, values), *_arrays(arrays, values)]
    return Bound(schema, tuple({json.dumps(value): value for value in documents}.values()))


BOUNDS = {
    "objects": _bound(("abc", 3), 0, (1, "a")),
    "arrays": _bound(("", 0), 3, (1, 2, "a", True)),
    "nested": _bound(("ab", 2), 2, (1, "ab", [], {}, [1], {"a": 1})),
}
LAYOUTS = {
    Whitespace.COMPACT: (",", ":"),
    Whitespace.LINE: (", ", ": "),
}


@dataclass(frozen=True)
class Language:
    """The valid documents as texts, and all that they begin with."""

    texts: frozenset[bytes]
    prefixes: frozenset[bytes]


def language(schema: Any, bound: Bound, whitespace: Whitespace) -> Language:
    judge = Judge(schema)
    written = [json.dumps(value, separators=LAYOUTS[whitespace]).encode() for value in bound.values]
    texts = frozenset(text for text in written if judge.fault(text) is None)
    return Language(texts, frozenset(text[:end] for text in texts for end in range(len(text) + 1)))


def compiled(schema: Any, whitespace: Whitespace) -> CompiledGrammar | None:
    """``None``: nothing satisfies the schema. What is refused for another reason is no example."""
    options = JsonOptions(order=Order.ANY, whitespace=whitespace)
    try:
        return compile_grammar(GrammarSpec.json_schema(schema, options), VOCABULARY, "lattice")
    except (UnsupportedGrammarError, BudgetExceededError):
        assume(False)
    except GrammarError as error:
        assume("defines nothing" not in error.reason)
    return None


def check_mask(grammar: CompiledGrammar, matcher: Matcher, text: bytes, expected: Language) -> set[int]:
    """The allowed tokens, which are those that some valid document goes on with."""
    mask = mask_of(grammar, matcher)
    allowed = {token for token in TOKENS if bitmask.test(mask, token)}
    assert allowed == {t for t in TOKENS if text + VOCABULARY.tokens[t] in expected.prefixes}, text
    assert bitmask.test(mask, EOS) == matcher.can_end == (text in expected.texts), text
    return allowed


def check_walks(schema: Any, bound: Bound, whitespace: Whitespace, chance: random.Random) -> None:
    """Compare the masks on a few walks, then go back on them."""
    grammar, expected = compiled(schema, whitespace), language(schema, bound, whitespace)
    if grammar is None:
        assert not expected.texts
        return
    for _ in range(3):
        matcher, text, masks = grammar.matcher(), b"", []
        while allowed := check_mask(grammar, matcher, text, expected):
            masks.append(mask_of(grammar, matcher))
            token_id = chance.choice(sorted(allowed))
            assert matcher.accept(token_id)
            text += VOCABULARY.tokens[token_id]
        fork, back = matcher.fork(), chance.randint(1, max(1, len(masks)))
        fork.rollback(back)
        assert (mask_of(grammar, fork) == masks[-back]).all()
        assert check_mask(grammar, matcher, text, expected) == set()


def confined(schema: Any, bound: Bound) -> Any:
    """Both; what ``#/$defs`` means stays what it means, unless the schema is a document of its own."""
    if not isinstance(schema, dict) or "$defs" not in schema or "$id" in schema:
        return {"allOf": [schema, bound.schema]}
    return {
        "allOf": [{name: part for name, part in schema.items() if name != "$defs"}, bound.schema],
        "$defs": schema["$defs"],
    }


BOUND, LAYOUT, SEED = st.sampled_from(sorted(BOUNDS)), st.sampled_from(sorted(LAYOUTS)), st.integers(0, 2**16)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas(2), BOUND, LAYOUT, SEED)
def test_masks_of_random_schemas(schema: Any, bound: str, whitespace: Whitespace, seed: int) -> None:
    check_walks(confined(schema, BOUNDS[bound]), BOUNDS[bound], whitespace, random.Random(seed))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(referring_schemas(2), BOUND, LAYOUT, SEED)
def test_masks_of_schemas_that_refer_to_themselves(schema: Any, bound: str, whitespace: Whitespace, seed: int) -> None:
    check_walks(confined(schema, BOUNDS[bound]), BOUNDS[bound], whitespace, random.Random(seed))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(schemas(2), referring_schemas(2)), BOUND, LAYOUT, SEED)
def test_masks_of_schemas_in_draft_7(schema: Any, bound: str, whitespace: Whitespace, seed: int) -> None:
    older = {"$schema": "http://json-schema.org/draft-07/schema#", **in_draft_7(confined(schema, BOUNDS[bound]))}
    check_walks(older, BOUNDS[bound], whitespace, random.Random(seed))


REFERRING = {
    "$defs": {"tree": {"enum": [1, []], "$ref": "#/$defs/node"}, "node": {"items": {"$ref": "#/$defs/node"}}},
    "anyOf": [{"$ref": "#/$defs/tree"}, {"items": {"$ref": "#/$defs/tree"}}],
}
DYNAMIC = {
    "$id": "https://example.com/strict",
    "$dynamicAnchor": "node",
    "$ref": "tree",
    "unevaluatedProperties": False,
    "$defs": {
        "tree": {
            "$id": "tree",
            "$dynamicAnchor": "node",
            "properties": {"a": {"anyOf": [{"$dynamicRef": "#node"}, {"const": 1}]}},
        }
    },
}
FIXED = [
    ("objects", {"oneOf": [{"required": ["a"]}, {"required": ["b"], "not": {"required": ["c"]}}]}),
    ("objects", {"required": ["c", "a"], "oneOf": [{"properties": {"a": {"const": 1}, "b": {"const": "a"}}},
                                                  {"properties": {"a": {"const": "a"}}}]}),
    ("objects", {"oneOf": [{"properties": {"a": {"const": 1}, "b": {"const": "a"}}, "required": ["b"]},
                           {"properties": {"a": {"const": "a"}, "c": {"const": 1}}}, {"type": "array"}]}),
    ("objects", {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"b": {"properties": {"c": {"const": 1}}}}}),
    ("objects", {"if": {"properties": {"a": {"const": 1}}, "required": ["a"]}, "then": {"minProperties": 3}}),
    ("objects", {"anyOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": True}}], "minProperties": 1,
                 "unevaluatedProperties": {"const": "a"}}),
    ("objects", {"propertyNames": {"enum": ["a", "b"]}, "patternProperties": {"[ab]": {"type": "string"}}}),
    ("objects", {"not": {"additionalProperties": {"const": 1}}, "maxProperties": 2}),
    ("objects", {"required": ["a"], "maxProperties": 2, "anyOf": [{"required": ["z"]}, {"required": ["b"]}]}),
    ("arrays", {"uniqueItems": True}),
    ("arrays", {"uniqueItems": True, "contains": {"type": "string"}, "items": {"not": {"const": 2}}}),
    ("arrays", {"not": {"uniqueItems": True}}),
    ("arrays", {"not": {"uniqueItems": True}, "prefixItems": [True, {"const": 1}], "maxItems": 2}),
    ("arrays", {"not": {"uniqueItems": True}, "contains": {"const": 1}, "maxContains": 1}),
    ("arrays", {"oneOf": [{"uniqueItems": True}, {"prefixItems": [{"const": 1}, {"type": "integer"}], "minItems": 2}]}),
    ("arrays", {"if": {"uniqueItems": True}, "then": {"minItems": 3}, "else": {"items": {"type": "integer"}}}),
    ("arrays", {"uniqueItems": True, "prefixItems": [{"type": "integer"}, {"const": 1}], "minItems": 2}),
    ("arrays", {"uniqueItems": True, "contains": {"const": 1}, "items": {"enum": [1, 2]}, "minItems": 2}),
    ("arrays", {"contains": {"const": 1}, "minContains": 2, "maxContains": 2}),
    ("arrays", {"prefixItems": [{"const": 1}], "if": {"contains": {"const": "a"}}, "unevaluatedItems": False}),
    ("arrays", {"allOf": [{"prefixItems": [True, {"const": 2}]}, {"items": {"type": ["integer", "boolean"]}}]}),
    ("arrays", {"oneOf": [{"minItems": 2}, {"items": {"const": 1}}], "not": {"maxItems": 0}}),
    ("nested", {"items": {"minItems": 1}, "additionalProperties": {"type": ["object", "integer"]}}),
    ("nested", {"type": ["array", "object"], "uniqueItems": True, "items": {"type": ["array", "object"]}}),
    ("nested", {"contains": {"contains": {"const": 1}}, "properties": {"a": {"required": ["a"]}}}),
    ("arrays", {"uniqueItems": True, "if": {"contains": {"const": 1}, "minContains": 2}, "unevaluatedItems": False}),
    ("arrays", {"uniqueItems": True, "if": {"contains": {"type": "integer"}, "minContains": 3},
                "unevaluatedItems": {"type": "string"}}),
    ("nested", {"not": {"uniqueItems": True}, "type": "array"}),
    ("nested", {"uniqueItems": True, "items": {"enum": [[], [1], 1]}, "prefixItems": [True, {"type": "array"}],
                "minItems": 2}),
    ("nested", {"properties": {"a": {"not": {"uniqueItems": True}}}, "minProperties": 1}),
    ("nested", {"type": "array", "uniqueItems": True, "minItems": 2,
                "items": {"oneOf": [{"type": "object", "required": ["a"]}, {"const": 1}]}}),
    ("nested", {"type": "array", "uniqueItems": True, "minItems": 2, "contains": {"type": "object"},
                "items": {"anyOf": [{"const": 1}, {"not": {"propertyNames": {"const": "z"}}}]}}),
    ("nested", REFERRING),
    ("nested", DYNAMIC),
]  # fmt: skip


@pytest.mark.parametrize("whitespace", LAYOUTS)
@pytest.mark.parametrize(("bound", "schema"), FIXED, ids=range(len(FIXED)))
def test_masks_at_every_place_of_every_document(bound: str, schema: Any, whitespace: Whitespace) -> None:
    whole = confined(schema, BOUNDS[bound])
    grammar, expected = compiled(whole, whitespace), language(whole, BOUNDS[bound], whitespace)
    assert grammar is not None
    assert 0 < len(expected.texts) < len(BOUNDS[bound].values)
    for text in sorted(expected.prefixes):
        matcher = grammar.matcher()
        assert all(matcher.accept(VOCABULARY.tokens.index(bytes([byte]))) for byte in text)
        check_mask(grammar, matcher, text, expected)


ITEMS = st.sampled_from([
    True, {"type": "integer"}, {"type": "string"}, {"const": 1}, {"enum": [1, 2]}, {"enum": [2, "a"]},
    {"not": {"const": 1}}, {"type": ["array", "object"]}, {"const": [1]}, {"enum": [[], {}]}, {"enum": [{"a": 1}, 1]},
])  # fmt: skip


def different_or_not(depth: int) -> st.SearchStrategy[Any]:
    """Schemas of arrays about whether items are equal, beside what asks something of items one by one."""
    small = st.integers(0, 3)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "uniqueItems": st.just(True),
        "prefixItems": st.lists(ITEMS, min_size=1, max_size=3),
        "items": ITEMS,
        "minItems": small,
        "maxItems": small,
        "contains": ITEMS,
        "minContains": small,
        "maxContains": small,
        "unevaluatedItems": ITEMS,
    }
    if depth:
        inner = different_or_not(depth - 1)
        keywords |= dict.fromkeys(("not", "if", "then", "else"), inner)
        keywords |= {name: st.lists(inner, min_size=1, max_size=3) for name in ("oneOf", "anyOf", "allOf")}
    some = st.lists(st.sampled_from(sorted(keywords)), max_size=4, unique=True)
    built = some.flatmap(lambda chosen: st.fixed_dictionaries({name: keywords[name] for name in chosen}))
    return built.map(lambda schema: {"uniqueItems": True, **schema} if depth else schema)


#: An item is evaluated by ``contains`` only where the ``if`` around it is fulfilled.
CONTAINS_IN_IF = {
    "uniqueItems": True,
    "unevaluatedItems": True,
    "if": {"unevaluatedItems": {"type": "integer"}, "if": {"contains": True, "items": {"type": "integer"}}},
}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@example(CONTAINS_IN_IF, "arrays", Whitespace.COMPACT, 0)
@given(different_or_not(2), st.sampled_from(("arrays", "nested")), LAYOUT, SEED)
def test_masks_where_items_must_be_different_or_not(schema: Any, bound: str, whitespace: Whitespace, seed: int) -> None:
    check_walks(confined(schema, BOUNDS[bound]), BOUNDS[bound], whitespace, random.Random(seed))


OPEN = {"properties": {"a": {"type": ["integer", "string"]}}, "type": "object"}
GOES_ON = [OPEN, {**OPEN, "required": ["a"]}, {"type": ["object", "number", "string"], "minLength": 1}]
SMALL_OBJECT = st.dictionaries(st.sampled_from("abc"), st.sampled_from([1, 2, 12, "a", {}, {"a": 1}, [1]]), max_size=3)
SMALL_VALUE = st.one_of(SMALL_OBJECT, st.sampled_from([0, 0.0, 1, 1.0, 2, 12, 1.2, "a", "ab"]))
NUMERIC = [number for number, token in enumerate(VOCABULARY.tokens) if token and set(token) <= {*LETTERS, *b"0.-"}]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SMALL_VALUE, min_size=2, max_size=4), st.sampled_from(GOES_ON), LAYOUT, SEED)
def test_masks_of_different_values(items: list[Any], schema: Any, whitespace: Whitespace, seed: int) -> None:
    """Of values that can always go on. Their language is not finite, but what ends one that was listed is known."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        items.append(dict(reversed(items[0].items())) if isinstance(items[0], dict) else items[0])
    whole = {"type": "array", "uniqueItems": True, "items": schema}
    grammar, judge = compiled(whole, whitespace), Judge(whole)
    assert grammar is not None
    text, place, matcher = json.dumps(items, separators=LAYOUTS[whitespace]).encode(), 0, grammar.matcher()
    while place < len(text):
        mask = mask_of(grammar, matcher)
        for token in NUMERIC:
            assert bitmask.test(mask, token) == matcher.fork().accept(token), (text[:place], VOCABULARY.tokens[token])
        token = chance.choice([t for t in NUMERIC if text.startswith(VOCABULARY.tokens[t], place)])
        if not matcher.accept(token):
            break
        place += len(VOCABULARY.tokens[token])
    assert (place == len(text) and matcher.can_end) == (judge.fault(text) is None)


KEYS = st.text(st.sampled_from("ab"), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(KEYS, min_size=1, max_size=4), st.sampled_from([2, 9, 30]), LAYOUT, SEED)
def test_masks_of_keys_of_a_greatest_length(keys: list[str], most: int, whitespace: Whitespace, seed: int) -> None:
    """None may be written twice, and none must be begun of which all were used."""
    chance = random.Random(seed)
    keys.append(chance.choice(keys))
    allowed = {f"^[ab]{{1,{most}}}$": {"const": 1}}
    schema = {"type": "object", "patternProperties": allowed, "additionalProperties": False}
    grammar = compiled(schema, whitespace)
    assert grammar is not None
    comma, colon = LAYOUTS[whitespace]
    members = [f'"{key}"{colon}1'.encode() for key in keys]
    fault = next(number for number, key in enumerate(keys) if key in keys[:number] or len(key) > most)
    good = b"{" + b"".join(member + comma.encode() for member in members[:fault])
    text = good + members[fault] + b"}"
    byte_by_byte, matcher, place = grammar.matcher(), grammar.matcher(), 0
    assert all(byte_by_byte.accept(VOCABULARY.tokens.index(bytes([byte]))) for byte in good)
    while True:
        mask = mask_of(grammar, matcher)
        for token in TOKENS:
            assert bitmask.test(mask, token) == matcher.fork().accept(token), (text[:place], VOCABULARY.tokens[token])
        token = chance.choice([token for token in TOKENS if text.startswith(VOCABULARY.tokens[token], place)])
        if not matcher.accept(token):
            break
        place += len(VOCABULARY.tokens[token])
    assert place <= len(good) + 1 + len(keys[fault])
