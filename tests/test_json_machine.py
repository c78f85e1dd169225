"""JSON documents under schemas, by the reference interpreter: judged by a validator, by enumeration, by hand."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from random_schemas import schemas, values

from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError
from latticework.structured.json_machine import json_source
from latticework.structured.json_options import SCHEMA_ORDER, JsonOptions, OnUnsupported, Order, Whitespace
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.automaton import Configuration, PushdownAutomaton

COMPACT = JsonOptions(order=Order.ANY, whitespace=Whitespace.COMPACT)
DECLARED = JsonOptions(order=Order.DECLARED)
#: What walks try first, so that they stay in the vocabulary of the schemas; every byte is tried before giving up.
LIKELY = b'"}],:{[ 01a2b-.5tfnruelsc'


def automaton(schema: Any, options: JsonOptions = SCHEMA_ORDER, **limits: Any) -> PushdownAutomaton:
    return PushdownAutomaton(json_source(schema, options, limits=GrammarLimits(**limits)))


def read(machine: PushdownAutomaton, text: bytes) -> Configuration | None:
    state = machine.start()
    for byte in text:
        state = machine.step(state, byte)
        if state is None:
            return None
    return state


def accepts(machine: PushdownAutomaton, text: str | bytes) -> bool:
    state = read(machine, text if isinstance(text, bytes) else text.encode())
    return state is not None and machine.accepts(state)


def written(value: Any, options: JsonOptions = SCHEMA_ORDER) -> str:
    separators = (",", ":") if options.whitespace is Whitespace.COMPACT else None
    return json.dumps(value, ensure_ascii=False, separators=separators)


def walk(machine: PushdownAutomaton, chance: random.Random, steps: int = 120) -> bytes | None:
    """A document of random bytes, steered to an end after a while; ``None`` if it gets too long. Never stuck."""
    state, text = machine.start(), bytearray()
    for count in range(steps):
        if machine.accepts(state) and (count > 60 or chance.random() < 0.3):
            return bytes(text)
        tried = chance.sample(LIKELY, len(LIKELY))
        if count > 40:
            tried = [*b'"}]', *tried]
        ways = ((byte, machine.step(state, byte)) for byte in itertools.chain(tried, range(256)))
        byte, target = next(((byte, target) for byte, target in ways if target is not None), (0, None))
        if target is None:
            assert machine.accepts(state), f"stuck after {bytes(text)!r}"
            return bytes(text)
        state = target
        text.append(byte)
    return None


OPTIONS = st.sampled_from([SCHEMA_ORDER, COMPACT, DECLARED, JsonOptions(Order.ANY, Whitespace.FLEXIBLE)])


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas(2), st.lists(values(2), max_size=6), st.integers(0, 10**6), OPTIONS)
def test_random_schemas_against_a_validator(schema: Any, instances: list[Any], seed: int, options: JsonOptions) -> None:
    judge = Draft202012Validator(schema)
    try:
        machine = automaton(schema, options)
    except GrammarError:
        assert not any(judge.is_valid(value) for value in instances)
        return
    if options.order is Order.ANY:
        for value in instances:
            assert accepts(machine, written(value, options)) == judge.is_valid(value), value
    chance = random.Random(seed)
    for _ in range(2):
        text = walk(machine, chance)
        if text is not None and b"e" not in text.replace(b"true", b"").replace(b"false", b""):  # else beyond floats
            assert judge.is_valid(json.loads(text)), text


SMALL = [
    {"enum": ["a", "b", 1]},
    {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 2, "uniqueItems": True},
    {"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 2}, "minContains": 1, "maxItems": 2},
    {"enum": [{"a": 1}, {"a": 1, "b": 2}, [1, 2], [2, 1]], "not": {"required": ["b"]}},
    {"type": "object", "additionalProperties": False, "properties": {"a": {"const": 1}, "b": {"const": 2}}},
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {"k": {"enum": [1, 2]}, "v": {"enum": [1, 2]}},
        "oneOf": [
            {"properties": {"k": {"const": 1}, "v": {"const": 1}}, "required": ["k", "v"]},
            {"properties": {"k": {"const": 2}, "v": False}, "required": ["k"]},
        ],
    },
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
        "dependentRequired": {"a": ["b"]},
        "if": {"required": ["c"]},
        "then": {"required": ["a"]},
        "minProperties": 1,
    },
    {
        "type": "array",
        "prefixItems": [{"enum": [1, 2]}],
        "if": {"contains": {"const": 1}},
        "unevaluatedItems": False,
        "maxItems": 2,
    },
]


def documents() -> list[Any]:
    """Everything the small schemas may allow, and much that they do not."""
    scalars = [1, 2, 3, "a", "b"]
    arrays = [list(items) for size in range(3) for items in itertools.product([1, 2], repeat=size)]
    objects = [
        dict(pairs)
        for size in range(4)
        for names in itertools.permutations(["a", "b", "c", "k", "v"], size)
        for pairs in [list(zip(names, values, strict=True)) for values in itertools.product([1, 2, 3], repeat=size)]
    ]
    return scalars + arrays + objects


@pytest.mark.parametrize("schema", SMALL, ids=range(len(SMALL)))
def test_a_byte_is_allowed_if_and_only_if_a_completion_exists(schema: Any) -> None:
    judge = Draft202012Validator(schema)
    texts = [written(value, COMPACT) for value in documents() if judge.is_valid(value)]
    numbers = [text.replace("1", "1.0").replace("2", "2.0") for text in texts]
    language = {text.encode() for text in texts}
    prefixes = {text[:end] for text in language for end in range(len(text))}
    machine = automaton(schema, COMPACT)
    for prefix in sorted(prefixes):
        state = read(machine, prefix)
        assert state is not None, prefix
        allowed = {bytes([byte]) for byte in range(256) if machine.step(state, byte) is not None}
        expected = {text[len(prefix) : len(prefix) + 1] for text in language if text.startswith(prefix)}
        assert expected <= allowed, prefix
        # Besides, 1 may be written as 1.0.
        for byte in allowed - expected:
            longer = prefix + byte
            assert byte == b"." or any(other.encode().startswith(longer) for other in numbers), longer
    for text in language:
        assert accepts(machine, text), text


def test_keys_in_declared_order() -> None:
    schema = {
        "properties": {"b": {"type": "integer"}, "a": {"type": "integer"}},
        "required": ["a", "z"],
    }
    declared, any_order = automaton(schema, DECLARED), automaton(schema)
    for text in ('{"b": 1, "a": 2, "z": 3}', '{"a": 2, "z": 3}', '{"b": 1, "a": 2, "y": 0, "z": 3, "x": 4}'):
        assert accepts(declared, text), text
        assert accepts(any_order, text), text
    for text in ('{"a": 2, "b": 1, "z": 3}', '{"z": 3, "a": 2}', '{"y": 1, "a": 2, "z": 3}'):
        assert not accepts(declared, text), text
        assert accepts(any_order, text), text
    assert read(declared, b'{"z') is None  # "a" could no longer be written
    assert read(declared, b'{"b": 1, "z') is None


def test_alternatives_in_declared_order() -> None:
    schema = {
        "properties": {"kind": {}, "x": {}},
        "oneOf": [
            {"properties": {"kind": {"const": "p"}, "y": {"type": "integer"}}, "required": ["kind", "y"]},
            {"properties": {"kind": {"const": "q"}}, "required": ["kind", "x"]},
        ],
    }
    machine = automaton(schema, DECLARED)
    assert accepts(machine, '{"kind": "p", "y": 1}')
    assert accepts(machine, '{"kind": "p", "x": 0, "y": 1, "other": 2}')
    assert accepts(machine, '{"kind": "q", "x": 0}')
    for text in ('{"x": 0, "kind": "q"}', '{"kind": "p", "y": 1, "x": 0}', '{"kind": "q"}'):
        assert not accepts(machine, text), text


def test_declared_order_does_not_depend_on_earlier_texts() -> None:
    later = {"properties": {"r": {"properties": {"type": {"enum": ["site"]}}}}}
    first = {"properties": {"r": {"properties": {"id": {"type": "string"}, "type": {}}, "required": ["id"]}}}
    schema = {
        "properties": {"kind": {"enum": ["one", "both"]}},
        "required": ["kind", "r"],
        "if": {"properties": {"kind": {"const": "both"}}},
        "then": {"allOf": [first, later]},
        "else": later,
    }
    both = '{"kind": "both", "r": {"%s"}}'
    right, wrong = both % 'id": "", "type": "site', both % 'type": "site", "id": "'
    for earlier in ([], ['{"kind": "one", "r": {"type": "site"}}'], [right], [wrong]):
        machine = automaton(schema, DECLARED)
        for text in earlier:
            accepts(machine, text)
        assert accepts(machine, right), earlier
        assert not accepts(machine, wrong), earlier


def test_items_so_far_declare_no_order() -> None:
    schema = {"type": "array", "uniqueItems": True, "items": {"properties": {"k": {}}, "minProperties": 1}}
    machine = automaton(schema, DECLARED)
    for second in ('{"y": 2, "x": 1, "z": 3}', '{"z": 3, "y": 1, "x": 2}', '{"k": 0, "y": 1, "x": 2}'):
        assert accepts(machine, f'[{{"x": 1, "y": 2}}, {second}]'), second
    assert not accepts(machine, '[{"x": 1, "y": 2}, {"y": 2, "x": 1}]')
    assert not accepts(machine, '[{"x": 1, "y": 2}, {"y": 1, "k": 2}]')


@pytest.mark.parametrize("whitespace", list(Whitespace))
def test_blanks(whitespace: Whitespace) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array"}}, "required": ["a"]}
    machine = automaton(schema, JsonOptions(Order.ANY, whitespace))
    value = {"a": [1, {"b": []}], "c": {}}
    compact, line, indented = json.dumps(value, separators=(",", ":")), json.dumps(value), json.dumps(value, indent=4)
    assert accepts(machine, compact) == (whitespace is not Whitespace.LINE)
    assert accepts(machine, line) == (whitespace is not Whitespace.COMPACT)
    assert accepts(machine, indented) == (whitespace is Whitespace.FLEXIBLE)
    for text in ('{ "a": []}', '{"a" : []}', '{"a":  []}', ' {"a": []}', '{"a": []} ', '{"a": [], \n"b": 1}'):
        assert not accepts(machine, text), text
    assert not accepts(machine, "{\n" + 65 * " " + '"a": []}')  # a model cannot write blanks without end


def test_a_key_is_used_once() -> None:
    machine = automaton({"properties": {"a": {}}, "patternProperties": {"^[xy]$": {}}, "additionalProperties": False})
    for text in ('{"a": 1, "a": 2}', '{"x": 1, "x": 2}', '{"x": 1, "y": 2, "x": 3}'):
        assert read(machine, text.encode()) is None, text
    assert accepts(machine, '{"x": 1, "a": 2, "y": 3}')
    assert read(machine, b'{"x": 1, "y": 2, "a": 3, ') is None  # no key is left
    anything = automaton({"type": "object"})
    assert read(anything, '{"ü\\u001f": 1, "ü\\u001F"'.encode()) is None  # two ways to write one key
    assert accepts(anything, '{"ü\\u001f": 1, "ü\\u001e": 2}')


UNSATISFIABLE = [
    False,
    {"type": "string", "enum": [1]},
    {"type": "integer", "minimum": 3, "maximum": 2},
    {"type": "object", "required": ["a"], "properties": {"a": False}},
    {"type": "object", "required": ["a"], "additionalProperties": False},
    {"type": "object", "minProperties": 2, "propertyNames": {"enum": ["a"]}},
    {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "boolean"}},
    {"type": "array", "contains": {"type": "string"}, "items": {"type": "integer"}},
    {"allOf": [{"type": "string"}, {"not": {"type": "string"}}]},
    {"oneOf": [{"const": 1}, {"const": 1}]},
    {"type": "string", "pattern": "^a", "allOf": [{"pattern": "^b"}]},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}}},
]


@pytest.mark.parametrize("schema", UNSATISFIABLE, ids=range(len(UNSATISFIABLE)))
def test_what_nothing_satisfies_is_an_error_at_once(schema: Any) -> None:
    with pytest.raises(GrammarError) as caught:
        automaton(schema)
    assert caught.value.field == "json_schema"
    assert caught.value.reason.startswith("#")


def test_depth_is_bounded() -> None:
    tree = {"type": "object", "properties": {"a": {"$ref": "#"}}, "additionalProperties": False}
    machine = automaton(tree, max_nesting=3)
    assert accepts(machine, '{"a": {"a": {}}}')
    assert read(machine, b'{"a": {"a": {"') is None
    needs_three = {"required": ["a"], "properties": {"a": {"type": "array", "items": {"type": "array"}, "minItems": 1}}}
    assert accepts(automaton({"type": "object", **needs_three}, max_nesting=3), '{"a": [[]]}')
    with pytest.raises(GrammarError, match="at most 2 levels"):
        automaton({"type": "object", **needs_three}, max_nesting=2)


@pytest.mark.parametrize(
    ("schema", "pointer", "keyword"),
    [
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "#/properties/a", "pattern"),
        ({"items": {"patternProperties": {r"(a)\1": {}}}}, "#/items", "patternProperties"),
        ({"$ref": "https://elsewhere.example/schema"}, "#", "$ref"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name_or_left_out_and_recorded(
    schema: Any, pointer: str, keyword: str
) -> None:
    with pytest.raises(UnsupportedGrammarError) as caught:
        automaton(schema)
    assert f"{pointer}: keyword {keyword!r}" in caught.value.reason
    source = json_source(schema, JsonOptions(Order.ANY, on_unsupported=OnUnsupported.WARN))
    assert [dropped[:2] for dropped in source.dropped] == [(pointer, keyword)]
    assert accepts(PushdownAutomaton(source), '{"a": "b"}')


def test_a_pattern_that_is_none_is_the_clients_error() -> None:
    with pytest.raises(GrammarError, match="#/items: keyword 'pattern'") as caught:
        automaton({"items": {"pattern": "("}}, JsonOptions(on_unsupported=OnUnsupported.WARN))
    assert type(caught.value) is GrammarError


def exponential(width: int) -> Any:
    names = [f"p{i}" for i in range(width)]
    parts = [{"anyOf": [{"required": [a], "not": {"required": [b]}} for a in names for b in names if a != b]}] * width
    return {"type": "object", "allOf": parts, "not": {"anyOf": [{"required": [name]} for name in names]}}


def nested(depth: int) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema, "minItems": 1}
    return schema


HOSTILE = {
    "exponential combinators": {"allOf": [{"oneOf": [{"pattern": f"{a}.*{b}"} for a in "abcdef"]} for b in "uvwxyz"]},
    "a pattern that explodes": {"pattern": "(a|b)*a(a|b){30}"},
    "deep nesting": nested(10_000),
    "repeats": {"pattern": "^((a{1,1000}){1,1000}){1,1000}$"},
    "divisor": {"multipleOf": 123456789.123},
    "listed numbers": {"enum": list(range(1_000_000))},
    "no keys left to tell apart": exponential(12),
}


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_schemas_end_in_a_clear_error(schema: Any) -> None:
    with pytest.raises((BudgetExceededError, GrammarError)) as caught:
        walk(automaton(schema, compile_seconds=5.0), random.Random(0))
    assert caught.value.field
    assert caught.value.reason


def test_large_but_harmless_schemas() -> None:
    many = [f"value {i}" for i in range(100_000)]
    machine = automaton({"enum": many})
    assert accepts(machine, '"value 99999"')
    assert not accepts(machine, '"value 100000"')
    long = automaton({"type": "string", "maxLength": 10**9, "minLength": 1})
    assert accepts(long, '"' + 1000 * "x" + '"')
    assert not accepts(long, '""')
    wide = automaton({"properties": {f"p{i}": {"type": "integer"} for i in range(5_000)}, "required": ["p4999"]})
    assert accepts(wide, '{"p4999": 1, "p17": 2}')


def test_many_kinds_that_a_property_tells_apart() -> None:
    """Required beside the alternatives, not in them; none of the kinds closes its objects."""

    def kind(number: int) -> Any:
        inner = {f"p{i}": {"type": "string"} for i in range(number % 5 + 1)}
        parts = {"type": "object", "properties": inner, "required": ["p0"], "additionalProperties": False}
        return {"type": "object", "properties": {"kind": {"enum": [f"k{number}"]}, "parts": parts}}

    kinds = [kind(number) for number in range(40)]
    machine = automaton({"required": ["kind", "parts"], "allOf": [{"type": "object"}, {"oneOf": kinds}]})
    for number in (0, 17, 39):
        for order in ('{{"kind": "k{0}", "parts": {1}}}', '{{"x": 1, "parts": {1}, "kind": "k{0}"}}'):
            assert accepts(machine, order.format(number, '{"p0": "a"}'))
            assert not accepts(machine, order.format(number, '{"p0": 1}'))
            assert accepts(machine, order.format(number, '{"p0": "a", "p4": ""}')) == (number % 5 == 4)
    assert not accepts(machine, '{"parts": {"p0": "a"}}')
