"""Which lexeme a text is read as, rule by rule."""

from __future__ import annotations

import re
import unicodedata

import pytest
from test_cfg_grammars import accepts, automaton_of

from latticework.structured.cfg.compiling import compile_lark
from latticework.structured.cfg.lark import read_lark
from latticework.structured.cfg.python_regex import parse_python
from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits


def accepted(grammar, *texts):
    automaton = automaton_of(grammar)
    return [text for text in texts if accepts(automaton, text)]


def test_the_longest_lexeme_wins():
    grammar = 'start: ("<" | "<=" | "<<" | "<<=" | NAME)+\nNAME: /[a-z]+/\n%ignore " "'
    assert accepted(grammar, "a <<= b", "a<<b", "a < < = b", "a<=<b") == ["a <<= b", "a<<b", "a<=<b"]


def test_a_keyword_wins_over_a_name_of_the_same_length_only():
    grammar = 'start: "if" NAME | NAME "=" NAME\nNAME: /[a-z]+/\n%ignore " "'
    assert accepted(grammar, "if x", "ifx = y", "if = y", "x = ifs") == ["if x", "ifx = y", "x = ifs"]


def test_a_keyword_is_a_name_where_only_a_name_may_stand():
    assert accepted('start: "if" NAME\nNAME: /[a-z]+/\n%ignore " "', "if if", "if x") == ["if if", "if x"]


def test_higher_priority_wins_over_a_longer_lexeme():
    grammar = "start: (SHORT | LONG)+\nSHORT.2: /ab/\nLONG: /abc+|c/"
    assert accepted(grammar, "abc", "abcc", "ab", "c") == ["abc", "abcc", "ab", "c"]
    assert accepted(grammar.replace("|c/", "/"), "abc", "ab") == ["ab"]


def test_case_does_not_matter_where_a_literal_says_so():
    assert accepted('start: "Straße"i', "straße", "STRAßE", "Strasse") == ["straße", "STRAßE"]


def test_a_lazy_quantifier_ends_at_the_first_place():
    grammar = 'start: STRING ("+" STRING)*\nSTRING: /".*?"/'
    assert accepted(grammar, '"a"+"b"', '"a""b"', '"a+') == ['"a"+"b"']


def test_other_lazy_quantifiers_are_refused():
    with pytest.raises(UnsupportedGrammarError, match="lazy quantifier"):
        compile_lark("start: /a+?b*/", GrammarLimits())


@pytest.mark.parametrize(
    ("text", "belongs"),
    [("1..2", True), ("1.5", True), ("1.5..2", True), ("1.", False), ("1...2", False), ("1.e", True), ("1.5e", True)],
)
def test_a_lexeme_read_too_far_is_given_back(text, belongs):
    grammar = """
    start: (INT | FLOAT) (".." (INT | FLOAT) | "e" | ".e")?
    INT: /[0-9]+/
    FLOAT: /[0-9]+\\.[0-9]+(e-?[0-9]+)?/
    """
    assert accepts(automaton_of(grammar), text) == belongs


def test_several_lexemes_are_read_again_after_one_that_was_given_back():
    grammar = 'start: (A | LONG | B | C)+\nA: "a"\nB: "b"\nC: "c"\nLONG: "abcbcx"'
    assert accepted(grammar, "abcbc", "abcbcx", "abcbcb", "abcb", "abcx") == ["abcbc", "abcbcx", "abcbcb", "abcb"]


def test_comments_and_strings_are_not_given_back():
    grammar = 'start: NAME ("/" "*"? NAME)*\nNAME: /[a-z]+/\n%ignore / +/\n%ignore /\\/\\*(.|\\n)*?\\*\\//'
    assert accepted(grammar, "a / *b", "a /*b*/ / c", "a /*b", "a /* b */") == ["a / *b", "a /*b*/ / c", "a /* b */"]


def test_characters_of_several_bytes_are_told_apart_by_their_last_one():
    # A no-break space and a Greek letter share their first byte with others of the same kind.
    grammar = "start: NAME+\nNAME: /\\w+/\n%ignore /\\s+/"
    good = ["a\u00a0b", "naïve \u03b1\u2003\u03b2"]
    assert accepted(grammar, *good, "a\u00a1b") == good


def test_terminals_that_the_lexer_joins_cannot_both_be_asked_for():
    with pytest.raises(GrammarError, match="no text at all"):
        compile_lark("start: WORD WORD\nWORD: /[a-z]+/", GrammarLimits())
    with pytest.raises(UnsupportedGrammarError, match="no continuation"):
        compile_lark('start: WORD WORD | "1" WORD\nWORD: /[a-z]+/', GrammarLimits())
    assert accepted("start: WORD+\nWORD: /[a-z]+/", "abc", "") == ["abc"]
    assert accepted('start: WORD+\nWORD: /[a-z]+/\n%ignore " "', "ab c", "") == ["ab c"]


def test_an_ignored_text_may_not_swallow_what_must_follow():
    automaton = automaton_of('start: "a" "b"\n%ignore /#.*/')
    assert accepts(automaton, "ab#c")
    assert automaton.step(automaton.step(automaton.start(), ord("a")), ord("#")) is None
    assert accepted('start: "a" "b"\n%ignore /#.*/\n%ignore /\\n/', "a#x\nb#", "a#b") == ["a#x\nb#"]


def test_an_ignored_terminal_cannot_be_asked_for():
    with pytest.raises(UnsupportedGrammarError, match="ignored everywhere"):
        compile_lark('start: "a" WS "b"\n%import common.WS\n%ignore WS', GrammarLimits())


def test_a_terminal_that_may_be_empty_may_be_left_out():
    assert accepted('start: "<" /[a-z]*/ ">"', "<>", "<ab>", "<1>") == ["<>", "<ab>"]


def test_a_literal_in_a_rule_is_the_terminal_defined_as_it():
    read = read_lark('start: "if" /[a-z]+/\nIF.5: "if"\nNAME: /[a-z]+/', 64)
    assert sorted(read.terminals) == ["IF", "NAME"]
    assert read.terminals["IF"].priority == 5


def test_templates_are_unfolded():
    grammar = 'start: "[" _sep{NUMBER, ","} "]" | "(" _sep{word, _sep{";", "."}} ")"\n_sep{x, y}: x (y x)*\n'
    grammar += "word: /[a-z]/\nNUMBER: /[0-9]+/"
    assert accepted(grammar, "[1,22]", "(a;.;b)", "(a;b)", "[1;2]", "[]") == ["[1,22]", "(a;.;b)", "(a;b)"]


def test_repeats_ranges_and_optional_parts():
    grammar = 'start: "a"~2 DIGIT~1..3 ["x"] ("y" | "z")?\nDIGIT: "0".."9"'
    assert accepted(grammar, "aa1", "aa123xz", "aa1y", "a1", "aa1234", "aa1yx") == ["aa1", "aa123xz", "aa1y"]


def test_extended_and_overridden_definitions():
    grammar = 'start: a B\na: "1"\n%extend a: "2"\nB: "x"\n%override B: "y"'
    assert accepted(grammar, "1y", "2y", "1x") == ["1y", "2y"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("INT", ["0", "007"], ["-1", ""]),
        ("SIGNED_INT", ["-1", "+2", "3"], ["--1"]),
        ("DECIMAL", ["1.", ".5", "1.5"], ["1", "."]),
        ("FLOAT", ["1.5", "1e5", ".5E-3"], ["1", "1e"]),
        ("SIGNED_FLOAT", ["-1.5"], ["-1"]),
        ("NUMBER", ["1", "1.5"], ["-1"]),
        ("SIGNED_NUMBER", ["-1", "1.5e+3"], ["1-"]),
        ("ESCAPED_STRING", ['""', '"a\\"b"', '"\\\\"'], ['"a"b"', '"a\\"', '"a\nb"', '"\\\\""']),
        ("WORD", ["aB"], ["a1", ""]),
        ("CNAME", ["_a1"], ["1a"]),
        ("LCASE_LETTER", ["a"], ["A", "ab"]),
        ("HEXDIGIT", ["f", "9"], ["g"]),
        ("WS", [" \t\f\r\n"], ["\v", ""]),
        ("WS_INLINE", [" \t"], ["\n"]),
        ("NEWLINE", ["\n", "\r\n\n"], ["\r"]),
        ("SH_COMMENT", ["# a"], ["# a\n"]),
        ("CPP_COMMENT", ["// a"], ["/ a"]),
        ("C_COMMENT", ["/* a * / */", "/**/"], ["/* */ */", "/*"]),
        ("SQL_COMMENT", ["-- a"], ["- a"]),
    ],
)
def test_the_common_library(name, good, bad):
    automaton = automaton_of(f"start: {name}\n%import common.{name}")
    assert [text for text in good if not accepts(automaton, text)] == []
    assert [text for text in bad if accepts(automaton, text)] == []


@pytest.mark.parametrize("pattern", [r"\d", r"\w", r"\s", r"\S", r"[^\W_]", ".", "(?i:k)", r"\x41"])
def test_classes_are_those_of_pythons_re(pattern):
    node = parse_python(pattern, "", field="grammar", max_nesting=8)
    while hasattr(node, "parts"):
        (node,) = node.parts
    expression = re.compile(pattern)
    mine = {point for first, last in node.points for point in range(first, last + 1)}
    # Versions of Unicode differ in what is not assigned yet.
    sample = [p for p in (*range(0x3000), 0x1D7D8, 0xFEFF, 0x10FFFF) if unicodedata.category(chr(p)) != "Cn"]
    assert [hex(p) for p in sample if (p in mine) != bool(expression.fullmatch(chr(p)))] == []
