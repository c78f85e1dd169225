"""Structural tags as a pushdown source: the language, judged by enumeration, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import regex as judge

from latticework.structured import GrammarError, GrammarLimits, UnsupportedGrammarError, Vocabulary
from latticework.structured.lexemes import regex_table
from latticework.structured.pushdown.automaton import PushdownAutomaton
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, Return
from latticework.structured.tags.members import check_members
from latticework.structured.tags.parts import Call, Part
from latticework.structured.tags.reading import tag_source

Format = dict[str, Any]

SPECIAL, EOS = 256, 257
VOCABULARY = Vocabulary(
    [bytes([b]) for b in range(256)] + [None, None],
    [EOS],
    special_ids=[SPECIAL],
    special_names={"<s>": SPECIAL, "<eos>": EOS},
)


class TableSource(PlainSource):
    """A document that is one lexeme: stands for a JSON source."""

    def __init__(self, pattern: str) -> None:
        self._table = regex_table(pattern)

    def start(self) -> Action:
        return Enter(("document",), self._table, self._table.start)

    def resume(self, symbol, result):
        return Return(0)


#: "Schemas" of the tests: a pattern, the bytes it begins with, those that a finished text can go on with.
DOCUMENTS = {"closed": ("x[ab]y", b"x", b""), "number": ("[12]+", b"12", b"12"), "other": ("z", b"z", b"")}


def read_document(where: str, value: Format) -> Part:
    check_members(where, value, {"json_schema": ()})
    pattern, first, extends = DOCUMENTS[value["json_schema"]]
    return Part(TableSource(pattern), Call(frozenset(first), frozenset(extends), where))


def automaton_of(fmt: Format) -> PushdownAutomaton:
    tag = {"type": "structural_tag", "format": fmt}
    return PushdownAutomaton(tag_source(tag, VOCABULARY, GrammarLimits(), {"json_schema": read_document}))


def run(automaton: PushdownAutomaton, text: str) -> Any:
    """The state after ``text``, in which ``$`` stands for the special token; ``None`` if it is not a viable prefix."""
    state = automaton.start()
    for letter in text:
        if state is None:
            return None
        state = automaton.step_special(state, SPECIAL) if letter == "$" else automaton.step(state, ord(letter))
    return state


def const(value: str) -> Format:
    return {"type": "const_string", "value": value}


def pattern(source: str) -> Format:
    return {"type": "regex", "pattern": source}


def document(name: str) -> Format:
    return {"type": "json_schema", "json_schema": name}


def any_text(*excludes: str) -> Format:
    return {"type": "any_text", "excludes": list(excludes)}


def tag(begin: Any, content: Format, end: Any) -> Format:
    return {"type": "tag", "begin": begin, "content": content, "end": end}


def sequence(*elements: Format) -> Format:
    return {"type": "sequence", "elements": list(elements)}


def either(*elements: Format) -> Format:
    return {"type": "or", "elements": list(elements)}


def triggered(triggers: list[str], *tags: Format, **options: Any) -> Format:
    return {"type": "triggered_tags", "triggers": triggers, "tags": list(tags), **options}


def free(*forbidden: str) -> str:
    """A regular expression of the texts that contain none of ``forbidden``; ``$`` (a special token) is no text."""
    return "(?:" + "".join(f"(?!{judge.escape(text)})" for text in forbidden) + "[^$])*"


CLOSED, NUMBER = "x[ab]y", "[12]+"
TOKEN = {"type": "token", "token": "<s>"}

#: A format, and the same language as a regular expression over the letters below.
LANGUAGES = {
    "constant": (const("ab"), "ab"),
    "pattern": (pattern("a+b|c"), "a+b|c"),
    "document": (document("closed"), CLOSED),
    "number ends the text": (sequence(const("a"), document("number")), "a[12]+"),
    "number before a marker": (tag("a", document("number"), "b"), "a[12]+b"),
    "sequence": (sequence(const("a"), document("closed"), const("b")), f"a{CLOSED}b"),
    "either": (either(const("ab"), sequence(const("a"), document("closed"))), f"ab|a{CLOSED}"),
    "optional document": (sequence({"type": "optional", "content": document("closed")}, const("b")), f"(?:{CLOSED})?b"),
    "star": ({"type": "star", "content": tag("a", document("closed"), "b")}, f"(?:a{CLOSED}b)*"),
    "plus": ({"type": "plus", "content": either(const("a"), const("bb"))}, "(?:a|bb)+"),
    "repeat": ({"type": "repeat", "content": const("ab"), "min": 1, "max": 2}, "(?:ab){1,2}"),
    "repeat without end": ({"type": "repeat", "content": const("a"), "min": 2, "max": -1}, "a{2,}"),
    "free text": (any_text("ab"), free("ab")),
    "free text in a tag": (tag("x", any_text(), "ab"), f"x{free('ab')}ab"),
    "two ends": (tag("x", any_text("c"), ["a", "b"]), f"x{free('a', 'b', 'c')}[ab]"),
    "triggered": (triggered(["ab"], tag("ab", document("closed"), "c")), f"(?:{free('ab')}ab{CLOSED}c)*{free('ab')}"),
    "triggered by a longer begin": (
        triggered(["a"], tag("ab", const("x"), "c"), tag("ac", const("y"), "c")),
        f"(?:{free('a')}a(?:bxc|cyc))*{free('a')}",
    ),
    "triggered at least once": (
        triggered(["ab"], tag("ab", const("x"), "c"), at_least_one=True),
        f"abxc(?:{free('ab')}abxc)*{free('ab')}",
    ),
    "triggered at most once": (
        triggered(["ab"], tag("ab", const("x"), "c"), stop_after_first=True),
        f"{free('ab')}abxc|{free('ab')}",
    ),
    "triggered exactly once": (
        triggered(["ab"], tag("ab", const("x"), "c"), at_least_one=True, stop_after_first=True),
        "abxc",
    ),
    "separated": (
        {"type": "tags_with_separator", "separator": "c", "tags": [tag("a", document("closed"), "b")]},
        f"(?:a{CLOSED}b(?:ca{CLOSED}b)*)?",
    ),
    "separated, at least one": (
        {"type": "tags_with_separator", "separator": "c", "at_least_one": True, "tags": [tag("a", const("x"), "b")]},
        "axb(?:caxb)*",
    ),
    "dispatch": ({"type": "dispatch", "rules": [["ab", const("x")], ["c", const("y")]], "loop": False},
                 f"{free('ab', 'c')}(?:abx|cy)?"),
    "special token in a marker": (tag("a<s>", const("b"), "<s>"), r"a\$b\$"),
    "special token": (sequence({"type": "token", "token": "<s>"}, const("a")), r"\$a"),
    "free text of few letters": (tag("a", {**any_text("bb"), "max_chars": 2}, "c"), "a(?:(?!bb)[^c$]){0,2}c"),
    "any tokens": (tag(TOKEN, {"type": "any_tokens"}, TOKEN), r"\$[^$]*\$"),
    "any tokens before a text": (sequence({"type": "any_tokens"}, const("a")), "(?s:.)*a"),
    "triggered by a token": (
        {"type": "token_triggered_tags", "trigger_tokens": ["<s>"], "tags": [tag(TOKEN, const("x"), "c")]},
        r"(?:[^$]*\$xc)*[^$]*",
    ),
    "triggered by a token exactly once": (
        {"type": "token_triggered_tags", "trigger_tokens": ["<s>"], "tags": [tag(TOKEN, const("x"), "c")],
         "at_least_one": True, "stop_after_first": True},
        r"\$xc",
    ),
    "triggered by a token at most once": (
        {"type": "token_triggered_tags", "trigger_tokens": ["<s>"], "tags": [tag(TOKEN, const("x"), "c")],
         "stop_after_first": True},
        r"[^$]*(?:\$xc)?",
    ),
    "dispatch by a token": (
        {"type": "token_dispatch", "rules": [["<s>", const("x")]], "loop": False}, r"[^$]*(?:\$x)?"
    ),
    "special trigger": (triggered(["<s>"], tag("<s>", const("x"), "c")), rf"(?:{free()}\$xc)*{free()}"),
}  # fmt: skip


@pytest.mark.parametrize("name", LANGUAGES)
def test_language_by_enumeration(name):
    fmt, source = LANGUAGES[name]
    automaton = automaton_of(fmt)
    compiled = judge.compile(source, judge.DOTALL)
    letters = [letter for letter in "abcxyz12$" if letter in judge.sub(r"\[\^\$\]", "abcx", source) or letter in "a$"]
    length = 6 if len(letters) <= 6 else 5
    states = {"": automaton.start()}
    for size in range(length + 1):
        for text in [text for text in states if len(text) == size]:
            viable = compiled.fullmatch(text, partial=True) is not None
            assert states[text] is not None or not viable, f"{text!r} is blocked"
            if states[text] is None:
                continue
            assert viable, f"{text!r} is allowed"
            assert automaton.accepts(states[text]) == (compiled.fullmatch(text) is not None), f"the end after {text!r}"
            for letter in letters if size < length else ():
                special = letter == "$"
                step = automaton.step_special if special else automaton.step
                states[text + letter] = step(states[text], SPECIAL if special else ord(letter))


def test_free_text_is_well_formed_utf8():
    automaton = automaton_of(any_text("é"))
    state = automaton.start()
    for byte in "è😀".encode():
        state = automaton.step(state, byte)
    assert automaton.accepts(state)
    assert automaton.step(state, 0xFF) is None
    lead = automaton.step(state, "é".encode()[0])
    assert not automaton.accepts(lead)
    assert automaton.step(lead, "é".encode()[1]) is None
    assert automaton.step(lead, "è".encode()[1]) is not None


def test_many_tools_are_told_apart_by_name():
    names = [f"tool_{i}" for i in range(40)]
    tags = [tag(f"<call={name}>", document("closed"), "</call>") for name in names]
    automaton = automaton_of(triggered(["<call="], *tags))
    for name in names:
        state = run(automaton, f"ok <call={name}>xay</call> done")
        assert automaton.accepts(state)
    assert run(automaton, "<call=tool_40>") is None


@pytest.mark.parametrize(
    ("fmt", "path"),
    [
        (either(document("closed"), document("other")), "elements/0"),
        (either(document("closed"), const("xx")), "elements/0"),
        (sequence(document("number"), const("1")), "elements/0"),
        (sequence(any_text(), document("closed")), "elements/1"),
        ({"type": "grammar", "grammar": "root ::= [a]"}, "format"),
        ({**any_text(), "max_tokens": 3}, "max_tokens"),
        ({**document("closed"), "style": "cohere_xml"}, "style"),
        (triggered(["ab", "b"], tag("ab", const("x"), "c")), "triggers"),
        (tag("<eos>", const("x"), "c"), "begin"),
        ({"type": "token", "token": 65}, "token"),
        ({"type": "any_tokens", "exclude_tokens": ["a"]}, "exclude_tokens/0"),
        ({"type": "any_tokens", "max_tokens": 4}, "max_tokens"),
        ({"type": "exclude_token", "exclude_tokens": []}, "format"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_path(fmt, path):
    with pytest.raises(UnsupportedGrammarError) as caught:
        automaton_of(fmt)
    assert path in caught.value.field


@pytest.mark.parametrize(
    ("fmt", "path"),
    [
        ({"type": "sequence", "elements": []}, "elements"),
        ({"type": "tag", "begin": 3, "content": const("a"), "end": "b"}, "begin"),
        ({"type": "repeat", "content": const("a"), "min": 3, "max": 2}, "format"),
        ({"type": "token_triggered_tags", "trigger_tokens": ["<s>"], "tags": [tag("a", const("x"), "c")]},
         "tags/0/begin"),
        ({"type": "token_dispatch", "rules": [[3.5, const("x")]]}, "rules"),
        ({"type": "any_text", "max_chars": -1}, "max_chars"),
        (triggered(["q"], tag("ab", const("x"), "c")), "tags/0"),
        ({"type": "any_text", "excludes": [""]}, "excludes"),
        ([], "format"),
    ],
)
def test_malformed_formats_are_named(fmt, path):
    with pytest.raises(GrammarError) as caught:
        automaton_of(fmt)
    assert path in caught.value.field
    assert not isinstance(caught.value, UnsupportedGrammarError)


def test_expansion_is_bounded():
    fmt = const("a")
    for _ in range(8):
        fmt = {"type": "repeat", "content": fmt, "min": 20, "max": 20}
    with pytest.raises(Exception, match="states"):
        automaton_of(fmt)
