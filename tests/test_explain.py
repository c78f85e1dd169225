"""Explanations: the place, what was allowed there, and the keyword without which the text would go on."""

import json
from functools import cache

import pytest
from engine_walks import BYTES
from typer.testing import CliRunner

from latticework.adapters.cli.explain_words import allowed_words, excerpt, line_and_column, quoted, visible
from latticework.adapters.cli.main import app
from latticework.structured.engines.select import compile_grammar
from latticework.structured.explain import (
    Keyword,
    Option,
    Reason,
    explain,
    explain_refusal,
    meaning,
    overview,
    token_steps,
)
from latticework.structured.explain.blame import find_blame
from latticework.structured.explain.explanation import automaton_of
from latticework.structured.explain.restrictions import restrictions, without
from latticework.structured.explain.scanning import repeats_key
from latticework.structured.explain.walking import walk
from latticework.structured.json_options import SCHEMA_ORDER, JsonOptions, Whitespace
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarSpec

ABC = {"properties": {"a": {"type": "integer"}, "b": {}, "c": {}}}


def stop_of(schema, text, options=SCHEMA_ORDER):
    return explain(GrammarSpec.json_schema(schema, options), text.encode(), BYTES).stop


def pointers(blame):
    return [sorted(each.pointer for each in alternative) for alternative in blame.alternatives]


#: A schema, a text, the part of the text that is allowed, and who is to blame: one keyword.
BLAMED = [
    ({"type": "integer"}, '"x"', "", "#/type"),
    ({"enum": ["red", "green"]}, '"grey"', '"gre', "#/enum"),
    ({"const": {"a": 1}}, '{"a": 2}', '{"a": ', "#/const"),
    ({"type": "integer", "minimum": 18}, "17", "17", "#/minimum"),
    ({"type": "integer", "maximum": 18}, "19", "1", "#/maximum"),
    ({"type": "integer", "exclusiveMinimum": 5}, "[]", "", "#/type"),
    ({"type": "integer", "exclusiveMaximum": 5, "minimum": 0}, "5", "", "#/exclusiveMaximum"),
    ({"type": "integer", "multipleOf": 7, "minimum": 10}, "15", "15", "#/multipleOf"),
    ({"type": "string", "minLength": 2}, '"a"', '"a', "#/minLength"),
    ({"type": "string", "maxLength": 2}, '"abc"', '"ab', "#/maxLength"),
    ({"type": "string", "pattern": "^[a-c]+$"}, '"abd"', '"ab', "#/pattern"),
    ({"type": "string", "format": "date"}, '"2026-13-01"', '"2026-1', "#/format"),
    ({"type": "array", "minItems": 2}, "[1]", "[1", "#/minItems"),
    ({"type": "array", "maxItems": 1}, "[1, 2]", "[1", "#/maxItems"),
    ({"type": "array", "uniqueItems": True}, "[1, 1]", "[1, 1", "#/uniqueItems"),
    ({"type": "array", "contains": {"type": "string"}}, "[1]", "[1", "#/contains"),
    ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, '["a", 1]', '["a"', "#/items"),
    ({"type": "object", "minProperties": 1}, "{}", "{", "#/minProperties"),
    ({"type": "object", "maxProperties": 1}, '{"a": 1, "b": 2}', '{"a": 1', "#/maxProperties"),
    ({**ABC, "type": "object", "required": ["a", "b"]}, '{"a": 1}', '{"a": 1', "#/required/1"),
    ({**ABC, "type": "object", "additionalProperties": False}, '{"d": 1}', '{"', "#/additionalProperties"),
    ({**ABC, "type": "object"}, '{"a": "1"}', '{"a": ', "#/properties/a/type"),
    ({"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}}, '{"aB": 1}', '{"a', "#/propertyNames/pattern"),
    ({"patternProperties": {"^x": {"type": "null"}}}, '{"x": 1}', '{"x": ', "#/patternProperties/^x/type"),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, '{"a": 1}', '{"a": 1', "#/dependentRequired"),
    ({"not": {"const": 1}}, "1", "1", "#/not"),
    ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, "3", "3", "#/oneOf"),
    ({"if": {"type": "integer"}, "then": {"minimum": 5}}, "3", "3", "#/then/minimum"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}, "1", "", "#/$defs/a/type"),
    ({"type": "object", "unevaluatedProperties": False}, '{"a": 1}', "{", "#/unevaluatedProperties"),
]


@cache
def blamed_stop(number):
    schema, text, _, _ = BLAMED[number]
    return stop_of(schema, text)


@pytest.mark.parametrize("number", range(len(BLAMED)), ids=[case[3] for case in BLAMED])
def test_the_keyword_to_blame(number):
    schema, text, allowed, pointer = BLAMED[number]
    stop = blamed_stop(number)
    assert text.encode()[: stop.position] == allowed.encode()
    assert stop.reason is Reason.RESTRICTION
    assert stop.blame.minimal
    assert [pointer] in pointers(stop.blame)
    (blamed,) = next(each for each in stop.blame.alternatives if [one.pointer for one in each] == [pointer])
    assert len(meaning(blamed)) > 10
    # What is said to be allowed is: the byte, and every example as a whole.
    byte = text.encode()[stop.position : stop.position + 1]
    assert not byte or not any(low <= byte[0] <= high for low, high in stop.allowed)
    for example in stop.examples:
        longer = explain(GrammarSpec.json_schema(schema, SCHEMA_ORDER), allowed.encode() + example, BYTES).stop
        assert longer is None or longer.position == len(allowed.encode() + example)


@pytest.mark.parametrize("number", range(len(BLAMED)), ids=[case[3] for case in BLAMED])
def test_without_the_blamed_keywords_the_text_goes_on(number):
    """The definition, checked on every alternative, and that no member can be left out."""
    schema, text, _, _ = BLAMED[number]
    spec = GrammarSpec.json_schema(schema, SCHEMA_ORDER)
    stop = blamed_stop(number)
    for alternative in stop.blame.alternatives:
        assert _gets_further(spec, text, stop, alternative)
        for left_out in alternative:
            rest = [each for each in alternative if each != left_out]
            assert not rest or not _gets_further(spec, text, stop, rest)


def _gets_further(spec, text, stop, dropped):
    again = explain(without(spec, dropped), text.encode(), BYTES).stop
    return again is None or again.position > stop.position


def test_alternatives_and_what_must_be_lifted_together():
    stop = stop_of({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, '"x"')
    assert sorted(pointers(stop.blame)) == [["#/anyOf/0/type"], ["#/anyOf/1/type"]]
    stop = stop_of({"type": "string", "minLength": 2, "pattern": "^.{2,5}$"}, '"a"')
    assert pointers(stop.blame) == [["#/minLength", "#/pattern"]]


def test_options_are_blamed_too():
    schema = {**ABC, "type": "object"}
    declared = stop_of(schema, '{"b": 1, "a": 1}', JsonOptions())
    assert declared.blame.alternatives == ((Option("order", "declared"),),)
    assert "order" in meaning(declared.blame.alternatives[0][0])
    layout = stop_of(schema, '{"b":1}')
    assert layout.blame.alternatives == ((Option("whitespace", "line"),),)
    flexible = JsonOptions(whitespace=Whitespace.FLEXIBLE, order=SCHEMA_ORDER.order)
    assert stop_of(schema, '{"b":1}', flexible) is None


@pytest.mark.parametrize(
    ("schema", "text", "reason", "position"),
    [
        (True, '{"a": 1', Reason.INCOMPLETE, 7),
        ({"$ref": "#/elsewhere", "elsewhere": {"type": "null"}}, "1", Reason.SCHEMA, 0),
        (True, "{} ", Reason.COMPLETE, 2),
        (True, '{"a": 1, "a": 2}', Reason.REPEATED_KEY, 11),
        (True, "{1: 2}", Reason.SYNTAX, 1),
        (True, "[1,, 2]", Reason.SYNTAX, 3),
    ],
)
def test_where_no_keyword_is_to_blame(schema, text, reason, position):
    stop = stop_of(schema, text)
    assert (stop.reason, stop.position) == (reason, position)
    assert stop.blame.alternatives == ()


def test_other_constraints():
    stop = explain(GrammarSpec.regex("[0-9]{4}-[0-9]{2}"), b"2026-1x", BYTES).stop
    assert (stop.position, stop.allowed, stop.may_end, stop.reason) == (6, ((48, 57),), False, Reason.LANGUAGE)
    stop = explain(GrammarSpec.choice(["red", "green"]), b"blue", BYTES).stop
    assert stop.examples == (b"red", b"green")
    assert explain(GrammarSpec.choice(["red", "green"]), b"green", BYTES).stop is None
    stop = explain(GrammarSpec.grammar('root ::= "a" [0-9]+'), b"a1;", BYTES).stop
    assert (stop.position, stop.may_end) == (2, True)


def test_a_schema_in_a_structural_tag():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tag = {"structures": [{"begin": "<f>", "schema": schema, "end": "</f>"}], "triggers": ["<f>"]}
    stop = explain(GrammarSpec.structural_tag(tag), b'call <f>{"n": "x"}</f>', BYTES).stop
    assert stop.position == 14
    assert ["#/structures/0/schema/properties/n/type"] in pointers(stop.blame)


def test_why_a_schema_is_refused():
    def blamed(schema):
        return pointers(explain_refusal(GrammarSpec.json_schema(schema), BYTES, GrammarLimits()))

    assert ["#/minLength"] in blamed({"type": "string", "minLength": 5, "maxLength": 3})
    assert ["#/properties/a/pattern"] in blamed({"properties": {"a": {"pattern": "(a)\\1"}}})


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ('{"a": 1, "a"', True),
        ('{"a": {"a"', False),
        ('{"a": {}, "\\u0061"', True),
        ('{"a": "a"', False),
        ('[{"a": 1}, {"a"', False),
        ('{"b": [1, "a"], "a": {"b": 1}, "b"', True),
        ('{"a": 1, "a": 2', False),
    ],
)
def test_repeated_keys(text, repeated):
    assert repeats_key(text.encode()) is repeated


def test_restrictions_can_be_taken_away_one_by_one():
    schema = {
        "required": ["a", "b"],
        "properties": {"a": False, "b": {"minimum": 1, "exclusiveMinimum": True}},
        "oneOf": [{"type": "object"}],
        "contains": {"type": "null"},
        "maxContains": 2,
    }
    spec = GrammarSpec.json_schema(schema)
    found = {each.pointer: each for each in restrictions(spec)}
    assert "#/contains/type" not in found
    assert {"#/required/0", "#/required/1", "#/properties/a", "#/oneOf/0/type", "option order"} <= found.keys()

    def left(*names):
        return without(spec, [found[name] for name in names]).payload

    assert left("#/required/0")["required"] == ["b"]
    assert left("#/properties/a")["properties"]["a"] is True
    assert left("#/properties/b/minimum")["properties"]["b"] == {}
    assert left("#/oneOf")["allOf"] == [{"anyOf": [{"type": "object"}]}]
    assert not {"contains", "maxContains"} & left("#/contains").keys()
    assert left("#/oneOf", "#/oneOf/0/type")["allOf"] == [{"anyOf": [{}]}]
    assert without(spec, [found["option order"]]).options.order == "any"
    assert spec.payload == schema


def test_blame_is_minimal_whatever_depends_on_what():
    candidates = [Keyword((name,), name) for name in "abcdefghij"]

    def names(blame):
        return sorted("".join(sorted(each.name for each in alternative)) for alternative in blame.alternatives)

    def allowed(dropped):
        gone = {each.name for each in dropped}
        return {"b", "g"} <= gone or "j" in gone

    assert names(find_blame(candidates, allowed)) == ["bg", "j"]
    # Taking more away may make it worse (in `oneOf`, for one). The answer still holds.
    even = find_blame(candidates, lambda dropped: len(dropped) % 2 == 0 and allowed(dropped), most=1)
    assert len(even.alternatives[0]) % 2 == 0
    assert allowed(even.alternatives[0])
    assert names(find_blame(candidates, lambda dropped: False)) == []
    late = find_blame(candidates, allowed, seconds=-1)
    assert not late.minimal
    assert len(late.alternatives[0]) == len(candidates)


def test_overview_of_a_schema():
    found = overview(GrammarSpec.json_schema({**ABC, "type": "object", "required": ["a"]}), BYTES)
    assert found.forced == b'{"a": '
    assert dict(found.keywords) == {"required": 1, "type": 2}
    assert found.tables > 3
    assert any(b'"a"' in place.words for place in found.places)
    automaton = automaton_of(found.spec, BYTES, GrammarLimits())
    for place in found.places:
        for word in place.words:
            text = place.before + word
            assert walk(automaton, automaton.start(), text)[0] == len(text)


def test_overview_of_a_plain_automaton():
    found = overview(GrammarSpec.grammar('root ::= "a" root "a" | "a"'), BYTES)
    assert (found.forced, found.tables, found.places) == (b"a", 0, ())
    assert found.states >= 500
    assert not found.whole
    assert found.examples[:2] == (b"a", b"aaa")


def test_overview_of_a_choice():
    found = overview(GrammarSpec.choice(["red", "rose"]), BYTES)
    assert (found.forced, found.whole, found.tables) == (b"r", True, 1)
    assert found.places[0].words == (b"red", b"rose")


def test_tokens_and_how_many_were_legal():
    grammar = compile_grammar(GrammarSpec.regex("ab[01]"), BYTES, "lattice")
    steps = token_steps(grammar, b"ab1")
    assert [(step.text, step.legal, step.allowed) for step in steps] == [
        (b"a", 1, True),
        (b"b", 1, True),
        (b"1", 2, True),
        (b"", 1, True),
    ]
    assert [step.allowed for step in token_steps(grammar, b"abxx")] == [True, True, False]


def test_words_for_bytes():
    assert allowed_words(((48, 57), (45, 45)), False) == "- 0-9"
    assert allowed_words((), True) == "the end of the text"
    assert allowed_words((), False) == "nothing: the text is over"
    string = ((32, 33), (35, 91), (93, 126), (0xC2, 0xF4))
    assert allowed_words(string, False) == 'any ASCII character but " \\, any other character'
    assert allowed_words(((0x80, 0x8F),), False) == "the rest of a non-ASCII character (byte 80-8f)"
    assert visible(b"a\nb\x07\xff") == "a↵b\\x07\\xff"
    assert quoted(b" a ") == "␣a␣"


def test_positions_are_about_characters():
    text = '"é\nü"'.encode()
    assert line_and_column(text, 4) == (3, 2, 1)
    assert line_and_column(text, 5) == (3, 2, 1)
    assert excerpt(text, 5) == ('"é↵', "ü", '"')
    assert excerpt(b"a" * 100, 100)[0] == "…" + "a" * 36


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: CliRunner().invoke(app, ["grammar", "explain", *arguments])


def test_the_command_says_where_what_and_why(run, tmp_path):
    schema, page = tmp_path / "schema.json", tmp_path / "page.html"
    schema.write_text(json.dumps({"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}}))
    text = tmp_path / "text.json"
    text.write_text('{"age": 1}\n')
    result = run("--schema", str(schema), "--text", str(text), "--html", str(page))
    assert result.exit_code == 1
    assert "byte 9" in result.output
    assert "0-9" in result.output
    assert "must be at least 18" in result.output
    assert "#/properties/age/minimum" in result.output
    lines = result.output.splitlines()
    (caret,) = [line for line in lines if line.strip() == "^"]
    assert lines[lines.index(caret) - 1][caret.index("^")] == "}"
    assert "<mark>&quot;minimum&quot;: 18</mark>" in page.read_text()


def test_the_command_without_a_text_shows_what_was_compiled(run):
    result = run("--schema", '{"enum": ["red", "green"]}')
    assert result.exit_code == 0
    assert "lexeme tables" in result.output
    assert run("--regex", "a+", "--text", "aa").exit_code == 0


def test_the_command_explains_refusals(run):
    result = run("--schema", '{"type": "string", "minLength": 5, "maxLength": 3}')
    assert result.exit_code == 2
    assert "#/minLength" in result.output
    assert run("--regex", "a", "--choice", "b").exit_code == 2
    assert "exactly one of" in run().output
    assert run("--schema", "{}", "--order", "random").exit_code == 2


def test_everything_a_client_sent_is_escaped_on_the_page(run, tmp_path):
    page = tmp_path / "page.html"
    evil = "</pre><script>alert(1)</script>"
    schema = {"enum": [evil], "title": evil}
    run("--schema", json.dumps(schema), "--text", json.dumps(evil + "x"), "--html", str(page))
    assert "<script" not in page.read_text()
    run("--schema", json.dumps(schema), "--html", str(page))
    assert "<script" not in page.read_text()
    run("--schema", json.dumps({"$ref": "#/" + evil}), "--html", str(page))
    assert "<script" not in page.read_text()


def test_the_document(run):
    result = run("--schema", '{"type": "integer"}', "--text", "x", "--json")
    document = json.loads(result.stdout)
    assert document["stop"]["position"] == 0
    assert document["stop"]["blame"]["alternatives"] == []
    assert document["stop"]["reason"] == "syntax"
    document = json.loads(run("--schema", "false", "--json").stdout)
    assert document["refusal"]["blame"]["alternatives"][0][0]["pointer"] == "#"
