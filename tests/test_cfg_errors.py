"""What a wrong grammar is told, and that no grammar costs more than its budget."""

from __future__ import annotations

from contextlib import suppress

import pytest
from test_cfg_grammars import accepts, automaton_of

from latticework.structured.cfg.compiling import compile_gbnf, compile_lark
from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError
from latticework.structured.limits import GrammarLimits

LIMITS = GrammarLimits()

GBNF_ERRORS = [
    ('root ::= "a', "column 12: expected '\"' to end a literal begun at column 10, got the end of the grammar"),
    ('root ::= "a\nb"', "column 12: expected '\"' to end a literal begun at column 10, got the end of the line"),
    ('# c\nroot ::= "a" }', "line 2, column 14: expected a literal, a class, a name, '(', '|' or a new rule, got '}'"),
    ('root = "a"', "line 1, column 6: expected '::=', got '='"),
    ('root ::= ("a" | "b"\nx ::= "c"', "line 2, column 1: expected ')', got 'x'"),
    ("root ::= [z-a]", "line 1, column 11: the ends of a range are out of order"),
    ('root ::= "\\q"', "line 1, column 11: not an escape"),
    ('root ::= "\\ud800"', "line 1, column 11: U+D800 is not a character"),
    ('root ::= "a"{3,2}', "line 1, column 13: the bounds 3 and 2 are out of order"),
    ('root ::= "a"{x}', "line 1, column 14: expected a number, got 'x'"),
    ('root ::= "a"{2', "line 1, column 15: expected ',' or '}', got the end of the grammar"),
    ("root ::= foo", "line 1, column 10: rule 'foo' is not defined"),
    ('root ::= "a"\nroot ::= "b"', "line 2, column 1: rule 'root' is defined a second time"),
    ('start ::= "a"', "there is no rule 'root'"),
    ('root ::= "a" root', "describes no text at all: rule 'root' never comes to an end"),
    ("root ::= []", "describes no text at all"),
    ('"x" ::= "a"', "line 1, column 1: expected the name of a rule, got '\"'"),
]

LARK_ERRORS = [
    ('start: "a', "line 1, column 8: a literal must end with '\"' on the line where it begins"),
    ("start: 'a'", "line 1, column 8: literals stand in double quotes"),
    ("start: /a", "line 1, column 8: a regular expression must end with '/'"),
    ('start: "a"\nb: foo', "line 2, column 4: rule 'foo' is not defined"),
    ("start: FOO", "line 1, column 8: terminal 'FOO' is not defined"),
    ('start: "a"\nstart: "b"', "line 2, column 1: 'start' is defined a second time"),
    ('rule: "a"', "there is no rule 'start'"),
    ('start: ("a"', "line 1, column 12: expected ')', got the end of the grammar"),
    ('start "a"', "line 1, column 7: expected ':', got '\"'"),
    ('start: "b".."a"', "a range needs one character on each side, the lower one first"),
    ('start: ""', "line 1, column 8: an empty literal"),
    ('start: "a"~3..2', "line 1, column 12: the bounds 3 and 2 are out of order"),
    ("start: /a(/", "line 1, column 8: a group is never closed"),
    ('start: A\nA: B\nB: A "x"', "contains itself; only rules may do that"),
    ('start: A\nA: "x" b\nb: "y"', "line 2, column 8: a terminal is made of terminals; 'b' is a rule"),
    ("%import common.FOO\nstart: FOO", "line 1, column 16: 'common' has no terminal 'FOO'"),
    ('start: t{"a", "b"}\nt{x}: x', "line 1, column 8: template 't' takes 1 arguments, not 2"),
    ("start: start", "describes no text at all"),
    ('start: "a" "b" -> 3', "line 1, column 19: expected a name, got '3'"),
]

REFUSED = [
    ('root ::= a "c"\na ::= "b" (= "c")', "line 2, column 11: a lookahead assertion is not served"),
    ('root ::= TagDispatch(("a", b))\nb ::= "x"', "line 1, column 10: TagDispatch(...) is not served"),
    ("start: /a(?=b)/", "line 1, column 8: a lookaround in a terminal"),
    ("start: /^a/", "line 1, column 8: an anchor in a terminal"),
    ("start: /a/x", "the regex flag 'x' is not served"),
    ("%declare INDENT\nstart: INDENT", "line 1, column 1: %declare names terminals that only a program can read"),
    ("%import python.NAME\nstart: NAME", "line 1, column 1: only the terminals of 'common' can be imported"),
    ('start: %json {"type": "object"}', "line 1, column 8: %json is llguidance's, not Lark's"),
    ("start: <|tool|>", "line 1, column 8: the special token <|tool|> is not served"),
    ('start[capture]: "a"', "line 1, column 6: attributes in brackets are llguidance's"),
]


def compile_grammar(source):
    return (compile_gbnf if "::=" in source else compile_lark)(source, LIMITS)


@pytest.mark.parametrize(
    ("reader", "source", "reason"),
    [*((compile_gbnf, *case) for case in GBNF_ERRORS), *((compile_lark, *case) for case in LARK_ERRORS)],
)
def test_wrong_grammars_say_where_and_what(reader, source, reason):
    with pytest.raises(GrammarError) as caught:
        reader(source, LIMITS)
    assert not isinstance(caught.value, UnsupportedGrammarError)
    assert caught.value.field == "grammar"
    assert reason in caught.value.reason


@pytest.mark.parametrize(("source", "reason"), REFUSED)
def test_what_is_not_served_is_named(source, reason):
    with pytest.raises(UnsupportedGrammarError) as caught:
        compile_grammar(source)
    assert reason in caught.value.reason


def test_errors_show_the_place():
    with pytest.raises(GrammarError) as caught:
        compile_gbnf('root ::= "a"\nb    ::= "x" | [z-a]', LIMITS)
    assert caught.value.reason.splitlines()[1:] == ['  b    ::= "x" | [z-a]', "                  ^"]


def test_long_lines_are_cut():
    with pytest.raises(GrammarError) as caught:
        compile_gbnf("root ::= " + '"a" ' * 5000 + "}", LIMITS)
    assert max(map(len, caught.value.reason.splitlines())) < 200


HOSTILE = {
    "repeat of characters": 'root ::= "a"{1,1000000}',
    "repeat of repeats": 'root ::= (("a"{1,999}){1,999}){1,999}',
    "repeat of rules": 'root ::= x{1,1000000}\nx ::= "(" x ")" | "y"',
    "huge count": 'root ::= "a"{1,99999999999999999999}',
    "exponential terminal": "start: T\nT: /(a|b)*a(a|b){25}/",
    "doubling rules": "root ::= a0\n" + "".join(f"a{i} ::= a{i + 1} a{i + 1}\n" for i in range(60)) + 'a60 ::= "x"',
    "doubling terminals": "start: T0\n" + "".join(f"T{i}: T{i + 1} T{i + 1}\n" for i in range(40)) + 'T40: "x"',
    "doubling recursive rules": "root ::= a0\n"
    + "".join(f"a{i} ::= a{i + 1} a{i + 1} | a{i + 1} root\n" for i in range(60))
    + 'a60 ::= "x"',
    "long chain": "root ::= a0\n" + "".join(f"a{i} ::= a{i + 1}\n" for i in range(20000)) + 'a20000 ::= "x"',
    "long recursive chain": "root ::= a0\n"
    + "".join(f"a{i} ::= a{i + 1} | root a{i + 1}\n" for i in range(3000))
    + 'a3000 ::= "x"',
    "deep nesting": "root ::= " + "(" * 10000 + '"x"' + ")" * 10000,
    "deep nesting in lark": "start: " + "(" * 10000 + '"x"' + ")" * 10000,
    "deep terminals": "start: T0\n" + "".join(f"T{i}: T{i + 1}\n" for i in range(5000)) + 'T5000: "x"',
    "templates without end": 'start: t{"a"}\nt{x}: t{(x x)}',
    "many templates": 'start: t{"a"}\nt{x}: "y" | t{(x "b")}',
    "many alternatives": "root ::= " + " ".join(f'("a{i}" | root)?' for i in range(40)) + ' "z"',
    "wide choice": "root ::= " + " | ".join(f'"w{i}" root' for i in range(3000)) + ' | "."',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_grammars_end_within_their_budget(name):
    source = HOSTILE[name]
    reader = compile_gbnf if "::=" in source else compile_lark
    with suppress(BudgetExceededError):
        compiled = reader(source, GrammarLimits(compile_seconds=2.0))
        assert hasattr(compiled, "resume") or hasattr(compiled, "edges")


def test_exponential_ambiguity_costs_no_more_than_its_text():
    automaton = automaton_of('root ::= root root root | root root | "a" | "(" root ")"')
    assert accepts(automaton, "a" * 200 + "(" * 50 + "a" + ")" * 50)


def test_useless_rules_are_left_out():
    automaton = automaton_of('root ::= "a" | dead "b"\ndead ::= "x" dead\nlonely ::= "y"')
    assert accepts(automaton, "a")
    assert automaton.step(automaton.start(), ord("x")) is None


def test_cycles_and_empty_rules():
    automaton = automaton_of('root ::= a | root | ""\na ::= b\nb ::= a | "x" | c c\nc ::= "" | "y"')
    assert [text for text in ("", "x", "y", "yy", "yyy", "xy") if accepts(automaton, text)] == ["", "x", "y", "yy"]
