"""Structural tags on our own engine: the same languages as the engines that defined them, masks, laws and refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import xgrammar
from engine_walks import BYTES, accepts, mask_of, small_vocabulary
from preset_texts import accepts as takes
from preset_texts import vocabulary_of
from test_engines_structural_tags import (
    CALLS,
    CASES,
    CHOICES,
    CITY,
    INTEGER,
    LAWFUL,
    MALFORMED,
    MANY_TOOLS,
    PEER_TEXTS,
    PEERS,
    ROME,
    SMALL,
    TOO_LONG,
    TOOLS,
    Format,
    _for_xgrammar,
    any_text,
    compiled,
    const,
    document,
    either,
    pattern,
    reads,
    repeated,
    separated,
    sequence,
    tag,
    triggered,
    walks,
)

from latticework.structured import GrammarError, GrammarLimits, GrammarSpec, UnsupportedGrammarError, bitmask
from latticework.structured.engines import BUILTIN_ENGINES
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.engines.structural_tag import OUR_FORMATS
from latticework.structured.errors import BudgetExceededError
from latticework.structured.laws import MatcherLaws
from latticework.structured.presets.formats import part_readers

ENGINE = "lattice"


class TestLaws(MatcherLaws):
    @pytest.fixture(params=LAWFUL)
    def grammar(self, request: pytest.FixtureRequest, tmp_path: Any) -> CompiledGrammar:
        return compiled(LAWFUL[request.param], small_vocabulary(tmp_path), ENGINE)


@pytest.mark.parametrize("name", CASES)
def test_each_format_takes_exactly_its_texts(name: str) -> None:
    tree, taken, refused = CASES[name]
    grammar = compiled(tree, engine=ENGINE)
    assert [text for text in taken if not accepts(grammar, text)] == []
    assert [text for text in refused if accepts(grammar, text)] == []


@pytest.mark.parametrize("name", SMALL)
def test_all_short_texts_are_read_as_the_form_says(name: str) -> None:
    tree, alphabet = SMALL[name]
    grammar = compiled(tree, engine=ENGINE)
    for length in range(7 if len(alphabet) < 5 else 6):
        for letters in itertools.product(alphabet, repeat=length):
            text = "".join(letters)
            assert accepts(grammar, text) == reads(tree, text), text


@pytest.mark.parametrize(
    ("tree", "likely"),
    [
        (triggered(["<f"], tag("<f>", document(CITY), "</f>"), tag("<fg>", INTEGER, ";")), '<<<f>g"}];/1'),
        (separated(",", tag("<", document(CITY), ">"), tag("(", any_text(), ")")), '<(>)),"}x'),
    ],
)
def test_random_texts_are_read_as_the_form_says(tree: Format, likely: str) -> None:
    found = list(walks(compiled(tree, engine=ENGINE), likely, 40))
    assert sum('"city"' in text for text in found) > 3
    for text in found:
        assert reads(tree, text), text


#: Positions with at most this many letters are looked at; every viable one of them has a text of the latter length.
_SEEN, _LONGEST = 3, 7


@pytest.mark.parametrize("name", [name for name in SMALL if len(set(SMALL[name][1])) <= 4])
def test_masks_equal_brute_force(name: str) -> None:
    """Over all short texts: a token is allowed if and only if some text of the language goes on with it."""
    tree, alphabet = SMALL[name]
    vocabulary = vocabulary_of(["".join(alphabet) * 2, alphabet[::-1] * 2])
    spec = GrammarSpec.structural_tag({"type": "structural_tag", "format": tree})
    grammar = BUILTIN_ENGINES[ENGINE].compile(spec, vocabulary, GrammarLimits())
    letters = sorted(set(alphabet))
    texts = ("".join(text) for size in range(_LONGEST + 1) for text in itertools.product(letters, repeat=size))
    prefixes = {text[:size] for text in texts if reads(tree, text) for size in range(_SEEN + 1)}
    for text in (text for text in prefixes if len(text) < _SEEN):
        matcher = grammar.matcher()
        assert all(matcher.accept(byte) for byte in text.encode())
        row = np.zeros(bitmask.words(vocabulary.size), np.int32)
        matcher.fill_bitmask(row)
        for token, spelled in enumerate(vocabulary.tokens):
            piece = spelled.decode("latin-1")
            if spelled and set(piece) <= set(alphabet) and len(text + piece) <= _SEEN:
                assert bitmask.test(row, token) == (text + piece in prefixes), (text, piece)


# --- The same texts as xgrammar, and what servers generate for tools ---


def test_takes_the_same_texts_as_xgrammar() -> None:
    texts = {text for _, taken, refused in CASES.values() for text in (*taken, *refused)} | set(PEER_TEXTS)
    for tree in map(_for_xgrammar, PEERS):
        ours, theirs = compiled(tree, engine=ENGINE), compiled(tree, engine="xgrammar")
        different = [text for text in sorted(texts) if accepts(ours, text) != accepts(theirs, text)]
        assert different == [], tree


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("model", CALLS)
def test_xgrammars_own_layouts(model: str, choice: str) -> None:
    built = xgrammar.get_model_structural_tag(
        model, tools=TOOLS, tool_choice=CHOICES[choice], reasoning="disabled"
    ).model_dump()
    grammar, call = compiled(built["format"], engine=ENGINE), CALLS[model]
    assert accepts(grammar, call)
    assert not accepts(grammar, call.replace(ROME, TOO_LONG))
    assert not accepts(grammar, call.replace("get", "put"))
    assert accepts(grammar, "It is sunny.") == (choice == "auto")
    assert accepts(grammar, "Wait: " + call) == (choice == "auto")
    assert accepts(grammar, call.replace("get", "get_more")) == (choice != "forced")


def test_many_tools() -> None:
    grammar = compiled(MANY_TOOLS, engine=ENGINE)
    assert accepts(grammar, f'<tool_call>{{"name": "function_99", "arguments": {ROME}}}</tool_call>')
    assert not accepts(grammar, f'<tool_call>{{"name": "function_128", "arguments": {ROME}}}</tool_call>')


def test_the_legacy_form_means_the_same() -> None:
    structures = [{"begin": "<f>", "schema": CITY, "end": "</f>"}]
    spec = GrammarSpec.structural_tag({"structures": structures, "triggers": ["<f"]})
    grammar = BUILTIN_ENGINES[ENGINE].compile(spec, BYTES, GrammarLimits())
    assert accepts(grammar, f"a<f>{ROME}</f>b")
    assert not accepts(grammar, f"a<f>{TOO_LONG}</f>b")
    assert not accepts(grammar, "a<f")


@pytest.mark.parametrize("engine", BUILTIN_ENGINES)
def test_the_legacy_form_of_sglang_may_ask_for_a_call(engine: str) -> None:
    """So SGLang writes a tool that must be called."""
    legacy = {"structures": [{"begin": "<f>", "schema": {"type": "integer"}, "end": "</f>"}], "triggers": ["<f"]}
    spec = GrammarSpec.structural_tag({"type": "structural_tag", **legacy, "at_least_one": True})
    grammar = BUILTIN_ENGINES[engine].compile(spec, BYTES, GrammarLimits())
    assert accepts(grammar, "<f>12</f>")
    assert not accepts(grammar, "a")
    assert not accepts(grammar, "")


@pytest.mark.parametrize(("member", "value", "reason"), [("at_least_one", 1, "true or false"), ("once", True, "once")])
def test_members_of_the_legacy_form_are_enforced_or_refused(member: str, value: object, reason: str) -> None:
    legacy = {"structures": [{"begin": "<f>", "schema": CITY, "end": "</f>"}], "triggers": ["<f"]}
    spec = GrammarSpec.structural_tag({**legacy, member: value})
    with pytest.raises(GrammarError, match=reason):
        BUILTIN_ENGINES[ENGINE].compile(spec, BYTES, GrammarLimits())


# --- Special tokens ---

NAMES = ("<call>", "</call>")
MARKED = vocabulary_of([ROME], NAMES)


def marked(tree: Format) -> CompiledGrammar:
    return compiled(tree, MARKED, ENGINE)


@pytest.mark.parametrize("trigger", ["<call>", "<ca", "\n<call>", "<call>f"])
def test_triggers_may_hold_special_tokens_or_a_part_of_one(trigger: str) -> None:
    begin = "\n<call>f" if trigger.startswith("\n") else "<call>f"
    grammar = marked(triggered([trigger], tag(begin, INTEGER, "</call>")))
    assert takes(grammar, f"a{begin}12</call> b")
    assert takes(grammar, "a\nb")
    assert not takes(grammar, f"a{begin}x</call> b")
    assert not takes(grammar, f"a{begin}".removesuffix("f") + "g12</call>")
    spelled_out = MARKED.encode(f"a{begin}".encode())
    matcher = grammar.matcher()
    assert spelled_out is None or not all(matcher.accept(byte) for byte in f"a{begin}".encode()) or begin != trigger


def test_special_tokens_inside_and_around_text() -> None:
    grammar = marked(tag("x<call>y", any_text(), "z</call>"))
    assert takes(grammar, "x<call>y some text z</call>")
    assert not takes(grammar, "x<call>y some text</call>")
    by_id = marked(tag({"type": "token", "token": MARKED.special_names["<call>"]}, any_text(),
                       {"type": "token", "token": "</call>"}))  # fmt: skip
    assert takes(by_id, "<call>text</call>")
    assert not takes(by_id, "text</call>")


def grammar(text: str) -> Format:
    return {"type": "grammar", "grammar": text}


BALANCED = 'root ::= "(" item* ")"\nitem ::= [0-9] | root'

# --- What is served here and not by the wrapped engines, and what is refused ---


@pytest.mark.parametrize(
    ("tree", "taken", "refused"),
    [
        ({**document({"properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["a", "b"],
                      "additionalProperties": False}), "any_order": True},
         ['{"b": null, "a": 1}', '{"a": 1, "b": null}'], ['{"a": 1}', '{"a": 1, "a": 1, "b": null}']),
        ({**document(CITY), "max_whitespace_cnt": 0}, ['{"city":"Rome"}'], [ROME]),
        (tag("<", any_text(), ""), ["<", "<abc"], ["", "a"]),
        (tag("<", grammar(BALANCED), ">"), ["<()>", "<((1)12)>", "<(7)>"], ["<>", "<(>", "<())>", "<()1>"]),
        (sequence(grammar(BALANCED), repeated("plus", const("!"))), ["()!", "((1))!!"], ["!", "(!", "()"]),
        (sequence(grammar('root ::= [a-c]+ ("," [a-c]+)*'), const("!")), ["a!", "ab,c!"], ["!", "a,!", "a"]),
        (sequence(pattern("a+"), repeated("star", sequence(const("a"), INTEGER))), ["aa", "aaa1", "aa1a2"], ["1"]),
        ({"type": "dispatch", "rules": [["<f>", document({"type": "null"})], ["<g>", const("x")]], "loop": True},
         ["a<f>null", "<g>x b <f>null c"], ["<g>y", "<f>"]),
        (sequence({"type": "names", "values": ["a", "ab"]}, const("bc")), ["abc", "abbc"], ["ab", "bc"]),
        (sequence({"type": "substring", "text": "abcab"}, const("b")), ["ab", "bcabb", "abb"], ["b", "acb"]),
    ],
)  # fmt: skip
def test_more_is_served(tree: Format, taken: list[str], refused: list[str]) -> None:
    grammar = compiled(tree, engine=ENGINE)
    assert [text for text in taken if not accepts(grammar, text)] == []
    assert [text for text in refused if accepts(grammar, text)] == []


REFUSALS = {
    "an unknown type": (sequence(const("a"), {"type": "telepathy"}), "format/elements/1", "telepathy"),
    "another style": (tag("<", {**document(CITY), "style": "cohere_xml"}, ">"), "format/content/style", "cohere_xml"),
    "excludes in JSON": ({**document(CITY), "excludes": ["x"]}, "format/excludes", "x"),
    "a budget of tokens": ({**any_text(), "max_tokens": 5}, "format/max_tokens", "5"),
    "an unknown member": ({**const("a"), "temperature": 2}, "format/temperature", "2"),
    "the end token": (const("a<|im_end|>"), "format", "ends the whole output"),
    "a token of text": ({"type": "token", "token": 65}, "format/token", "special"),
    "a trigger in a trigger": (triggered(["f", "<f"], tag("<g", INTEGER, ";")), "format/triggers", "'f'"),
    "an excluded trigger": (triggered(["<f"], tag("<f", INTEGER, ";"), excludes=["f"]), "format/triggers", "excluded"),
    "text before JSON": (sequence(any_text(), document(CITY)), "format/elements/1", "begins like it"),
    "a grammar that is not LR(1)": (
        tag("<", grammar('root ::= "a" root "a" | "b" root "b" | "a" | "b"'), ">"), "format/content/grammar", "LR(1)"
    ),
    "a grammar before a letter of it": (sequence(grammar(BALANCED), const("1")), "format/elements/0", "more of it"),
    "a number before a digit": (sequence(INTEGER, const("0")), "format/elements/0", "more of it"),
    "text or JSON": (either(any_text(), INTEGER), "format/elements/1", "begins like it"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_enforced_is_refused_by_its_path(name: str, tmp_path: Any) -> None:
    tree, where, reason = REFUSALS[name]
    with pytest.raises(UnsupportedGrammarError) as error:
        compiled(tree, small_vocabulary(tmp_path), ENGINE)
    assert error.value.field.startswith(f"structural_tag/{where}")
    assert reason in error.value.reason


def test_what_a_schema_asks_in_vain_is_refused_by_the_path_of_the_schema() -> None:
    tree = tag("<", document({"type": "string", "pattern": r"(a)\1"}), ">")
    with pytest.raises(UnsupportedGrammarError) as error:
        compiled(tree, engine=ENGINE)
    assert error.value.field.startswith("structural_tag/format/content/json_schema")
    assert "pattern" in str(error.value)


@pytest.mark.parametrize("engine", ["llguidance", "xgrammar"])
def test_our_own_formats_are_ours_alone(engine: str) -> None:
    assert part_readers(BYTES).keys() == OUR_FORMATS
    for tree in ({"type": "names", "values": ["a"]}, tag("<", {"type": "substring", "text": "a"}, ">")):
        with pytest.raises(UnsupportedGrammarError):
            compiled(tree, engine=engine)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_formats_are_named(name: str) -> None:
    tree, where = MALFORMED[name]
    with pytest.raises(GrammarError) as error:
        compiled(tree, engine=ENGINE)
    assert not isinstance(error.value, UnsupportedGrammarError)
    assert error.value.field.startswith(f"structural_tag/{where}")


def test_deep_nesting_does_not_multiply_the_work() -> None:
    tree = const("x")
    for _ in range(20):
        tree = separated(",", tag("<", tree, ">"))
    assert accepts(compiled(tree, engine=ENGINE), "<" * 20 + "x" + ">" * 20)


def test_expansion_is_bounded() -> None:
    tree = const("a")
    for _ in range(8):
        tree = repeated("repeat", tree, min=20, max=20)
    with pytest.raises(BudgetExceededError, match="states"):
        compiled(tree, engine=ENGINE)


def test_no_character_is_begun_that_the_length_leaves_no_room_for() -> None:
    grammar = compiled(tag("<", document(CITY), ">"), engine=ENGINE)
    matcher = grammar.matcher()
    assert all(matcher.accept(byte) for byte in '<{"city": "Pérou'.encode())
    assert mask_of(matcher, BYTES) == [ord('"')]
