"""The ``format`` form of structural tags on llguidance: its language, its refusals, and what servers generate of it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
from engine_walks import BYTES, accepts, mask_of

from latticework.structured import GrammarError, GrammarLimits, GrammarSpec, UnsupportedGrammarError, Vocabulary
from latticework.structured.engines import BUILTIN_ENGINES, compile_grammar
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.laws import MatcherLaws

Format = dict[str, Any]

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 5}},
    "required": ["city"],
    "additionalProperties": False,
}
#: The same, as far as xgrammar enforces it too.
PLAIN_CITY = {**CITY, "properties": {"city": {"type": "string"}}}
TOO_LONG = '{"city": "Rotterdam"}'
ROME = '{"city": "Rome"}'


def const(value: str) -> Format:
    return {"type": "const_string", "value": value}


def document(schema: Any) -> Format:
    return {"type": "json_schema", "json_schema": schema}


def any_text(*excludes: str) -> Format:
    return {"type": "any_text", "excludes": list(excludes)}


def pattern(text: str) -> Format:
    return {"type": "regex", "pattern": text}


def tag(begin: Any, content: Format, end: Any) -> Format:
    return {"type": "tag", "begin": begin, "content": content, "end": end}


def sequence(*elements: Format) -> Format:
    return {"type": "sequence", "elements": list(elements)}


def either(*elements: Format) -> Format:
    return {"type": "or", "elements": list(elements)}


def repeated(kind: str, content: Format, **bounds: int) -> Format:
    return {"type": kind, "content": content, **bounds}


def triggered(triggers: list[str], *tags: Format, **options: Any) -> Format:
    return {"type": "triggered_tags", "triggers": triggers, "tags": list(tags), **options}


def separated(separator: str, *tags: Format, **options: Any) -> Format:
    return {"type": "tags_with_separator", "separator": separator, "tags": list(tags), **options}


INTEGER = document({"type": "integer"})
BOTH_LAYOUTS = [('<tool_call>\n{"name": "', "}\n</tool_call>"), ('<tool_call>{"name": "', "}</tool_call>")]


def hermes_tags(*names: str, schema: Any = CITY) -> list[Format]:
    """The calls of the Hermes layout, each with and without line breaks."""
    return [
        tag(f'{begin}{name}", "arguments": ', document(schema), end) for name in names for begin, end in BOTH_LAYOUTS
    ]


HERMES_AUTO = triggered(["<tool_call>"], *hermes_tags("get", "get_weather"))
HERMES_REQUIRED = separated("", *hermes_tags("get", "get_weather"), at_least_one=True)
THINKING = sequence(
    tag("<think>", pattern("[ a-z]{0,20}"), "</think>"),
    either(HERMES_REQUIRED, document({"type": "object", "maxProperties": 1})),
)
SPECIALS = triggered(
    ["<jupyter_code>"], tag('<jupyter_code>\n{"a": ', document(CITY), "}<jupyter_output>"), excludes=["<think>"]
)
LAWFUL = {
    "hermes_auto": HERMES_AUTO,
    "hermes_required": HERMES_REQUIRED,
    "thinking": THINKING,
    "specials": SPECIALS,
    "text_and_tags": sequence(tag("(", any_text("<b>"), [")", "]"]), triggered(["<f"], tag("<f=1>", INTEGER, "</f>"))),
}


def compiled(tree: Format, vocabulary: Vocabulary = BYTES, engine: str = "llguidance") -> CompiledGrammar:
    spec = GrammarSpec.structural_tag({"type": "structural_tag", "format": tree})
    return BUILTIN_ENGINES[engine].compile(spec, vocabulary, GrammarLimits())


class TestLaws(MatcherLaws):
    @pytest.fixture(params=LAWFUL)
    def grammar(self, request: pytest.FixtureRequest, smollm2_vocabulary: Vocabulary) -> CompiledGrammar:
        return compiled(LAWFUL[request.param], smollm2_vocabulary)


# Each format with texts that it takes and texts that it does not.
CASES: dict[str, tuple[Format, list[str], list[str]]] = {
    "const_string": (const('a"\\\n<ä>'), ['a"\\\n<ä>'], ["", "a", 'a"\\\n<ä>b']),
    "empty const_string": (const(""), [""], ["a"]),
    "json_schema": (document(CITY), [ROME], [TOO_LONG, "{}", "[]"]),
    "json_schema true": (document(True), ["1", "[null]", ROME], ["", "{"]),
    "regex": (pattern("^a+(b|/c)$"), ["aab", "a/c"], ["ab^", "b"]),
    "any_text": (any_text(), ["", "ä\n<x>"], []),
    "any_text with excludes": (any_text("<x>", "yy"), ["", "<x", "y<y\n"], ["a<x>", "<yy"]),
    "sequence": (sequence(const("a"), INTEGER, const("b")), ["a12b", "a-3b"], ["ab", "a1", "12b"]),
    "text before a constant": (sequence(any_text(), const("x")), ["x", "axbx"], ["", "xa"]),
    "or": (either(const("a"), const("ab"), INTEGER), ["a", "ab", "7"], ["b", "a7", ""]),
    "optional": (sequence(repeated("optional", INTEGER), const("x")), ["x", "12x"], ["1", "xx"]),
    "star": (repeated("star", const("ab")), ["", "ab", "abab"], ["a", "aba"]),
    "plus": (repeated("plus", sequence(const("<"), INTEGER, const(">"))), ["<1>", "<1><2>"], ["", "<1><"]),
    "repeat": (repeated("repeat", const("ab"), min=1, max=2), ["ab", "abab"], ["", "ababab"]),
    "repeat of none": (sequence(repeated("repeat", INTEGER, min=0, max=0), const("x")), ["x"], ["1x"]),
    "repeat without bound": (repeated("repeat", const("ab"), min=2, max=-1), ["abab", "ababab"], ["ab", ""]),
    "tag": (tag("<t>", document(CITY), "</t>"), [f"<t>{ROME}</t>"], [f"<t>{TOO_LONG}</t>", f"<t>{ROME}", ROME]),
    "tag around text": (tag("<t>", any_text(), "</t>"), ["<t></t>", "<t><</t</t>"], ["<t></t></t>", "<t>a"]),
    "tag with two ends": (
        tag("<t>", any_text(), ["</t>", "</u>"]),
        ["<t>a</u>", "<t>a</t>"],
        ["<t>a</u></t>", "<t></t></u>"],
    ),
    "tag around an alternative": (tag("(", either(const("z"), any_text("a")), ")"), ["(z)", "(yy)"], ["(a)", "(y))"]),
    "triggered_tags": (
        triggered(["<f"], tag("<f=1>", document(CITY), "</f>"), tag("<f=2>", INTEGER, "</f>")),
        ["", "a < b <g", f"a<f=1>{ROME}</f>", "<f=2>3</f><f=2>4</f> b"],
        ["<f", "a<f=3>", f"<f=1>{TOO_LONG}</f>", "<f=2>3</f><f=2>4"],
    ),
    "triggered_tags at least one": (
        triggered(["<f"], tag("<f>", INTEGER, "</f>"), at_least_one=True),
        ["<f>3</f>", "<f>3</f>a<f>4</f>b"],
        ["", "a<f>3</f>", "<f>3</f><f"],
    ),
    "triggered_tags stopping": (
        triggered(["<f"], tag("<f>", INTEGER, "</f>"), stop_after_first=True),
        ["", "a", "a<f>3</f>"],
        ["<f>3</f>a", "<f>3</f><f>3</f>"],
    ),
    "triggered_tags exactly one": (
        triggered(["<f"], tag("<f>", INTEGER, "</f>"), stop_after_first=True, at_least_one=True),
        ["<f>3</f>"],
        ["", "a<f>3</f>", "<f>3</f>a"],
    ),
    "triggered_tags with excludes": (
        triggered(["<f"], tag("<f>", any_text(), "</f>"), excludes=["<think>"]),
        ["a<f><think></f>b"],
        ["<think>", "a<f>b</f><think>"],
    ),
    "triggered_tags in a tag": (
        tag("[", triggered(["<f"], tag("<f>", INTEGER, "</f>")), "]"),
        ["[]", "[a<f>1</f>b]", "[<f>1</f><f>2</f>]"],
        ["[a]]", "[<f]", "[a]b"],
    ),
    "two triggers": (
        triggered(["<f", "[g"], tag("<f>", INTEGER, "</f>"), tag("[g]", INTEGER, ")")),
        ["a[g]1)<f>2</f>b"],
        ["[g1", "<f>1)"],
    ),
    "tags_with_separator": (
        separated(", ", tag("<", INTEGER, ">"), tag("(", any_text(), ")")),
        ["", "<1>", "(a), <2>, ()"],
        ["<1>,<2>", "<1>, ", ", <1>"],
    ),
    "tags_with_separator at least one": (
        separated("", tag("<", INTEGER, ">"), at_least_one=True),
        ["<1>", "<1><2>"],
        ["", "<1>, <2>"],
    ),
    "tags_with_separator stopping": (
        separated(",", tag("<", INTEGER, ">"), stop_after_first=True),
        ["", "<1>"],
        ["<1>,<2>"],
    ),
    "nested tags": (
        tag("<a>", separated(",", tag("<b>", any_text(), "</b>")), "</a>"),
        ["<a></a>", "<a><b>x</a></b>,<b></b></a>"],
        ["<a><b></a>", "<a>x</a>"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_format_takes_exactly_its_texts(name: str) -> None:
    tree, taken, refused = CASES[name]
    grammar = compiled(tree)
    assert [text for text in taken if not accepts(grammar, text)] == []
    assert [text for text in refused if accepts(grammar, text)] == []


# --- An independent reading of the form: where can a format end that starts at a place in a text? ---


def _find_ends(tree: Format, text: str, at: int, excluded: tuple[str, ...] = ()) -> set[int]:
    match tree["type"]:
        case "const_string":
            return {at + len(tree["value"])} if text.startswith(tree["value"], at) else set()
        case "json_schema":
            return {end for end in range(at, len(text) + 1) if _is_document(tree["json_schema"], text[at:end])}
        case "any_text":
            return set(_free(text, at, (*tree.get("excludes", ()), *excluded)))
        case "sequence":
            return _chain([_reader(element, text, excluded) for element in tree["elements"]], {at})
        case "or":
            return set().union(*(_find_ends(element, text, at, excluded) for element in tree["elements"]))
        case "star":
            return _closure(_reader(tree["content"], text, excluded), {at})
        case "tag":
            ends = tree["end"] if isinstance(tree["end"], list) else [tree["end"]]
            inside = _chain([_reader(const(tree["begin"]), text), _reader(tree["content"], text, tuple(ends))], {at})
            return {place + len(end) for place in inside for end in ends if text.startswith(end, place)}
        case "tags_with_separator":
            one = _reader(either(*tree["tags"]), text)
            more = _closure(lambda place: _chain([_reader(const(tree["separator"]), text), one], {place}), one(at))
            return more | (set() if tree.get("at_least_one") else {at})
        case "triggered_tags":
            return _find_triggered_ends(tree, text, at, excluded)
    raise NotImplementedError(tree["type"])


def _find_triggered_ends(tree: Format, text: str, at: int, excluded: tuple[str, ...]) -> set[int]:
    """Without ``at_least_one`` and ``stop_after_first``."""
    unwanted = (*tree.get("excludes", ()), *excluded)

    def one(place: int) -> set[int]:
        hits = [
            (text.find(trigger, place) + len(trigger), trigger)
            for trigger in tree["triggers"]
            if trigger in text[place:]
        ]
        if not hits or any(marker in text[place : min(hits)[0]] for marker in unwanted):
            return set()
        end, trigger = min(hits)
        return _find_ends(either(*tree["tags"]), text, end - len(trigger))

    after_tags = _closure(one, {at})
    return {end for place in after_tags for end in _free(text, place, (*unwanted, *tree["triggers"]))}


def _reader(tree: Format, text: str, excluded: tuple[str, ...] = ()) -> Callable[[int], set[int]]:
    return lambda at: _find_ends(tree, text, at, excluded)


def _chain(readers: list[Callable[[int], set[int]]], places: set[int]) -> set[int]:
    for reader in readers:
        places = {end for place in places for end in reader(place)}
    return places


def _closure(reader: Callable[[int], set[int]], places: set[int]) -> set[int]:
    reached, todo = set(places), list(places)
    while todo:
        new = reader(todo.pop()) - reached
        reached |= new
        todo.extend(new)
    return reached


def _free(text: str, at: int, excluded: tuple[str, ...]) -> list[int]:
    return [end for end in range(at, len(text) + 1) if not any(marker in text[at:end] for marker in excluded)]


def _is_document(schema: Any, text: str) -> bool:
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return text == text.strip()


def reads(tree: Format, text: str) -> bool:
    return len(text) in _find_ends(tree, text, 0)


SMALL = {
    "triggered": (triggered(["<f"], tag("<f>", INTEGER, "<")), "<f>1x"),
    "triggered, overlapping itself": (triggered(["aba"], tag("aba>", INTEGER, ")")), "ab>1)"),
    "two triggers": (triggered(["ab", "ba"], tag("abx", const(""), "y"), tag("bax", any_text(), "y")), "abxy"),
    "triggered in a tag": (tag("(", triggered(["<"], tag("<", INTEGER, ">")), "))"), "(<1>)"),
    "excludes": (triggered(["<f"], tag("<f", any_text(), ">"), excludes=["xx", "<<"]), "<f>x"),
    "tag in a sequence": (sequence(tag("", any_text(), "::"), INTEGER, const(":")), ":1x"),
    "separated": (separated(",", tag("<", INTEGER, ">"), tag("(", any_text(), ")")), "<1>(),"),
    "end that overlaps itself": (tag("<", any_text(), "aba"), "<ab"),
    "ends that contain each other": (sequence(tag("<", any_text(), ["ab", "b"]), repeated("star", const("x"))), "<abx"),
    "alternatives of one beginning": (sequence(either(const("a"), const("ab"), const("aba")), const("ba")), "ab"),
    "starred alternatives": (repeated("star", either(const("a"), sequence(const("b"), INTEGER, const(";")))), "ab1;"),
}


@pytest.mark.parametrize("name", SMALL)
def test_all_short_texts_are_read_as_the_form_says(name: str) -> None:
    tree, alphabet = SMALL[name]
    grammar = compiled(tree)
    for length in range(7 if len(alphabet) < 5 else 6):
        for letters in itertools.product(alphabet, repeat=length):
            text = "".join(letters)
            assert accepts(grammar, text) == reads(tree, text), text


def walks(grammar: CompiledGrammar, likely: str, count: int) -> Iterator[str]:
    """Complete random texts that are mostly made of the bytes of ``likely``."""
    chance = random.Random(5)
    weights = [1.0 + 300 * likely.encode().count(byte) for byte in range(256)]
    for _ in range(count):
        matcher, text = grammar.matcher(), bytearray()
        while len(text) < 300 and not (matcher.can_end and chance.random() < 0.02):
            allowed = [byte for byte in mask_of(matcher, BYTES) if byte < 256]
            if not allowed:
                break
            byte = chance.choices(allowed, [weights[byte] for byte in allowed])[0]
            assert matcher.accept(byte)
            text.append(byte)
        if matcher.can_end:
            yield text.decode()


@pytest.mark.parametrize(
    ("tree", "likely"),
    [
        (triggered(["<f"], tag("<f>", document(CITY), "</f>"), tag("<fg>", INTEGER, ";")), '<<<f>g"}];/1'),
        (separated(",", tag("<", document(CITY), ">"), tag("(", any_text(), ")")), '<(>)),"}x'),
        (
            sequence(tag("", any_text(), "::"), repeated("star", tag("<", document(CITY), ">")), const("!")),
            ':::<>"}!',
        ),
    ],
)
def test_random_texts_are_read_as_the_form_says(tree: Format, likely: str) -> None:
    found = list(walks(compiled(tree), likely, 60))
    assert sum('"city"' in text for text in found) > 3
    for text in found:
        assert reads(tree, text), text


# --- Special tokens ---


def _written(grammar: CompiledGrammar, *parts: str | int) -> bool:
    """Whether the grammar takes texts and special tokens one after the other."""
    matcher = grammar.matcher()
    encode = grammar.vocabulary.encode
    tokens = [t for part in parts for t in ([part] if isinstance(part, int) else encode(part.encode()) or [])]
    return all(matcher.accept(token) for token in tokens) and matcher.can_end


@pytest.fixture(scope="session")
def jupyter(smollm2_vocabulary: Vocabulary) -> tuple[int, int]:
    """Two special tokens of the model: ``<jupyter_code>`` and ``<jupyter_output>``."""
    from tokenizers import Tokenizer

    assert smollm2_vocabulary.tokenizer_json is not None
    tokenizer = Tokenizer.from_str(smollm2_vocabulary.tokenizer_json)
    found = tokenizer.token_to_id("<jupyter_code>"), tokenizer.token_to_id("<jupyter_output>")
    assert smollm2_vocabulary.special_ids >= set(found)
    return found


def test_names_of_special_tokens_mean_the_tokens(smollm2_vocabulary: Vocabulary, jupyter: tuple[int, int]) -> None:
    code, output = jupyter
    grammar = compiled(SPECIALS, smollm2_vocabulary)
    assert _written(grammar, "Hello < there")
    assert _written(grammar, "Hello", code, '\n{"a": ' + ROME + "}", output, " and more")
    assert not _written(grammar, code, '\n{"a": ' + TOO_LONG + "}", output)
    assert not _written(grammar, code, " something else")
    assert not _written(grammar, output)
    plain = [t for part in ("<", "jupyter_code", ">") for t in smollm2_vocabulary.encode(part.encode()) or []]
    matcher = grammar.matcher()
    assert not all(matcher.accept(token) for token in plain), "the trigger, spelled out, must not begin a free call"


def test_special_tokens_inside_and_around_text(smollm2_vocabulary: Vocabulary, jupyter: tuple[int, int]) -> None:
    code, output = jupyter
    grammar = compiled(tag("x<jupyter_code>y", any_text(), "z<jupyter_output>"), smollm2_vocabulary)
    assert _written(grammar, "x", code, "y some text z", output)
    assert not _written(grammar, "x", code, "y some text", output)
    by_id = compiled(tag({"type": "token", "token": code}, any_text(), {"type": "token", "token": "<jupyter_output>"}),
                     smollm2_vocabulary)  # fmt: skip
    assert _written(by_id, code, "some text", output)
    assert not _written(by_id, "some text", output)


@pytest.mark.parametrize("trigger", ["<jupyter_", "\n<jupyter_code>", "<jupyter_code>f"])
def test_triggers_may_hold_a_part_of_a_special_token(
    trigger: str, smollm2_vocabulary: Vocabulary, jupyter: tuple[int, int]
) -> None:
    begin = "\n<jupyter_code>f" if trigger.startswith("\n") else "<jupyter_code>f"
    grammar = compiled(triggered([trigger], tag(begin, INTEGER, ";")), smollm2_vocabulary)
    before = begin.partition("<")[0]
    assert _written(grammar, "a" + before, jupyter[0], "f12; b")
    assert not _written(grammar, "a" + before, jupyter[0], "g12; b")


# --- Refusals ---

HAS_A = repeated("star", sequence(const("a"), INTEGER))
REFUSALS = {
    "an unknown type": (sequence(const("a"), {"type": "telepathy"}), "format/elements/1", "telepathy"),
    "another style": (tag("<", {**document(CITY), "style": "qwen_xml"}, ">"), "format/content/style", "qwen_xml"),
    "any order": ({**document(CITY), "any_order": True}, "format/any_order", "True"),
    "excludes in JSON": ({**document(CITY), "excludes": ["x"]}, "format/excludes", "x"),
    "no blanks": ({**document(CITY), "max_whitespace_cnt": 0}, "format/max_whitespace_cnt", "blanks"),
    "a budget of tokens": ({**any_text(), "max_tokens": 5}, "format/max_tokens", "5"),
    "a budget of characters": ({**any_text(), "max_chars": 5}, "format/max_chars", "5"),
    "an unknown member": ({**const("a"), "temperature": 2}, "format/temperature", "2"),
    "a grammar": ({"type": "grammar", "grammar": 'root ::= "a"'}, "format", "grammar"),
    "an unending tag": (tag("<", any_text(), ""), "format/content", "never stop"),
    "the end token": (const("a<|im_end|>"), "format", "ends the whole output"),
    "a token of text": ({"type": "token", "token": 1000}, "format/token", "special"),
    "a trigger in a trigger": (triggered(["f", "<f"], tag("<g", INTEGER, ";")), "format/triggers", "'f'"),
    "an excluded trigger": (triggered(["<f"], tag("<f", INTEGER, ";"), excludes=["f"]), "format/triggers", "excluded"),
    "an anchor within": (pattern("a(^b)"), "format/pattern", "anchors"),
    "text before JSON": (sequence(any_text(), document(CITY)), "format/elements/1", "begin alike"),
    "a pattern before more of it": (sequence(pattern("a+"), HAS_A), "format/elements/0", "cannot be told"),
    "a number before a digit": (sequence(INTEGER, const("0")), "format/elements/0", "JSON number"),
    "text or JSON": (either(any_text(), INTEGER), "format/elements/1", "begin alike"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_enforced_is_refused_by_its_path(name: str, smollm2_vocabulary: Vocabulary) -> None:
    tree, where, reason = REFUSALS[name]
    with pytest.raises(UnsupportedGrammarError) as error:
        compiled(tree, smollm2_vocabulary)
    assert error.value.field == "/".join(filter(None, ("structural_tag", where)))
    assert reason in error.value.reason


MALFORMED = {
    "no type": ({"value": "a"}, "format"),
    "no value": ({"type": "const_string"}, "format/value"),
    "no schema": ({"type": "json_schema"}, "format"),
    "a bad schema": (tag("<", document({"type": "nonsense"}), ">"), "format/content/json_schema"),
    "an empty sequence": (sequence(), "format/elements"),
    "bad bounds": (repeated("repeat", const("a"), min=2, max=1), "format"),
    "a bad marker": (tag(3, const("a"), ">"), "format/begin"),
    "no end": (tag("<", const("a"), []), "format/end"),
    "no tags": (triggered(["<"]), "format/tags"),
    "no triggers": (triggered([], tag("<", const("a"), ">")), "format/triggers"),
    "an empty exclude": (any_text(""), "format/excludes"),
    "a tag without its trigger": (triggered(["<f"], tag("<g", const("a"), ">")), "format/tags/0"),
    "something else than a tag": (separated("", const("a")), "format/tags/0"),
    "a bad flag": (separated("", tag("<", const("a"), ">"), at_least_one=1), "format/at_least_one"),
    "a bad pattern": (pattern("a("), "format/pattern"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_formats_are_named(name: str) -> None:
    tree, where = MALFORMED[name]
    with pytest.raises(GrammarError) as error:
        compiled(tree)
    assert not isinstance(error.value, UnsupportedGrammarError)
    assert error.value.field.startswith(f"structural_tag/{where}")


def test_nesting_does_not_multiply_the_work() -> None:
    tree = const("x")
    for _ in range(20):
        tree = separated(",", tag("<", tree, ">"))
    with pytest.raises(UnsupportedGrammarError, match="too large"):
        compiled(tree)


def test_auto_falls_back_to_xgrammar_for_what_llguidance_cannot_read() -> None:
    spec = GrammarSpec.structural_tag(
        {"type": "structural_tag", "format": sequence(any_text(), document(PLAIN_CITY))}
    )  # fmt: skip
    assert compile_grammar(spec, BYTES).engine == "xgrammar"


# --- The same texts as xgrammar, on what both serve ---

PEERS = [HERMES_AUTO, HERMES_REQUIRED, *(tree for tree, _, _ in CASES.values())]
PEER_TEXTS = [
    "",
    "Hello <tool_call",
    f'<tool_call>\n{{"name": "get", "arguments": {ROME}}}\n</tool_call>',
    f'<tool_call>{{"name": "get_weather", "arguments": {ROME}}}</tool_call>',
    f'<tool_call>{{"name": "get", "arguments": {ROME}}}</tool_call>' * 2,
    f'ok <tool_call>{{"name": "get", "arguments": {ROME}}}</tool_call> done',
    f'<tool_call>{{"name": "get", "arguments": {ROME}}}\n</tool_call>',
    '<tool_call>{"name": "get", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "set", "arguments": {}}</tool_call>',
]


def _for_xgrammar(tree: Any) -> Any:
    """Without the keyword that xgrammar does not enforce."""
    return json.loads(json.dumps(tree).replace('"maxLength": 5', '"title": "c"'))


def test_takes_the_same_texts_as_xgrammar() -> None:
    texts = {text for _, taken, refused in CASES.values() for text in (*taken, *refused)} | set(PEER_TEXTS)
    for tree in map(_for_xgrammar, PEERS):
        ours, theirs = compiled(tree), compiled(tree, engine="xgrammar")
        different = [text for text in sorted(texts) if accepts(ours, text) != accepts(theirs, text)]
        assert different == [], tree


# --- What serving engines generate for tools ---

TOOLS = [{"type": "function", "function": {"name": n, "parameters": CITY, "strict": True}} for n in ("get", "get_more")]
FORCED = {"type": "function", "function": {"name": "get"}}
CHOICES = {"auto": "auto", "required": "required", "forced": FORCED}
CALLS = {
    "llama": f'{{"name": "get", "parameters": {ROME}}}',
    "qwen_3": f'<tool_call>\n{{"name": "get", "arguments": {ROME}}}\n</tool_call>',
    "deepseek_v3_1": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>"
    f"{ROME}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.get:0<|tool_call_argument_begin|>"
    f"{ROME}<|tool_call_end|><|tool_calls_section_end|>",
}


def _check_calls(tree: Format, choice: str, call: str, vocabulary: Vocabulary) -> None:
    grammar = compiled(tree, vocabulary)
    assert accepts(grammar, call)
    assert not accepts(grammar, call.replace(ROME, TOO_LONG))
    assert not accepts(grammar, call.replace("get", "put"))
    assert accepts(grammar, "It is sunny.") == (choice == "auto")
    assert accepts(grammar, "Wait: " + call) == (choice == "auto")
    if choice == "forced":
        assert not accepts(grammar, call.replace("get", "get_more"))


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("model", CALLS)
def test_xgrammars_own_layouts(model: str, choice: str, smollm2_vocabulary: Vocabulary) -> None:
    import xgrammar

    built = xgrammar.get_model_structural_tag(
        model, tools=TOOLS, tool_choice=CHOICES[choice], reasoning="disabled"
    ).model_dump()
    _check_calls(built["format"], choice, CALLS[model], smollm2_vocabulary)


@pytest.mark.parametrize("choice", CHOICES)
def test_vllms_hermes_layout(choice: str, smollm2_vocabulary: Vocabulary) -> None:
    registry = pytest.importorskip("vllm.tool_parsers.structural_tag_registry")
    protocol = pytest.importorskip("vllm.entrypoints.openai.chat_completion.protocol")
    tools = [protocol.ChatCompletionToolsParam.model_validate(tool) for tool in TOOLS]
    wanted = protocol.ChatCompletionNamedToolChoiceParam.model_validate(FORCED) if choice == "forced" else choice
    built = registry.get_model_structural_tag("hermes", tools, wanted, reasoning=False).model_dump()
    for begin, end in BOTH_LAYOUTS:
        call = f'{begin}get", "arguments": {ROME}{end}'
        _check_calls(built["format"], choice, call, smollm2_vocabulary)


MANY_TOOLS = triggered(["<tool_call>"], *hermes_tags(*(f"function_{i}" for i in range(128))))


def test_many_tools(smollm2_vocabulary: Vocabulary) -> None:
    grammar = compiled(MANY_TOOLS, smollm2_vocabulary)
    assert accepts(grammar, f'<tool_call>{{"name": "function_99", "arguments": {ROME}}}</tool_call>')
    assert not accepts(grammar, f'<tool_call>{{"name": "function_128", "arguments": {ROME}}}</tool_call>')
