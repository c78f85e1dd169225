"""Regular expressions as machines: judged by a matcher that follows the definition, and by Python's engines."""

from __future__ import annotations

import re
from itertools import product

import pytest
import regex as regex_package
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from latticework.structured.automata.moore import Moore
from latticework.structured.automata.regex_characters import Dialect
from latticework.structured.automata.regex_machine import node_machine, regex_machine
from latticework.structured.automata.regex_syntax import Alternate, Anchor, Chars, Concat, Look, Node, Repeat, parse
from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError

LETTERS = "ab-"
TEXTS = ["".join(letters) for size in range(6) for letters in product(LETTERS, repeat=size)]


def ends(node: Node, text: str, start: int) -> set[int]:
    """Where a match of ``node`` from ``start`` may end: the definition, clause by clause."""
    match node:
        case Chars(points):
            inside = start < len(text) and any(low <= ord(text[start]) <= high for low, high in points)
            return {start + 1} if inside else set()
        case Anchor(at_start):
            return {start} if start == (0 if at_start else len(text)) else set()
        case Concat(parts):
            places = {start}
            for part in parts:
                places = {end for place in places for end in ends(part, text, place)}
            return places
        case Alternate(options):
            return {end for option in options for end in ends(option, text, start)}
        case Repeat(inner, low, high):
            places, done = {start}, {start} if low == 0 else set()
            for count in range(1, (high if high is not None else low + len(text) + 1) + 1):
                places = {end for place in places for end in ends(inner, text, place)}
                if count >= low:
                    done |= places
            return done
        case Look(inner, ahead, negated):
            if ahead:
                found = bool(ends(inner, text, start))
            else:
                found = any(start in ends(inner, text, place) for place in range(start + 1))
            return {start} if found != negated else set()


def expected(node: Node, text: str, search: bool) -> bool:
    if search:
        return any(ends(node, text, start) for start in range(len(text) + 1))
    return len(text) in ends(node, text, 0)


def trees(*, looks: bool) -> st.SearchStrategy[Node]:
    letters = st.sampled_from(["a", "b", "-", "ab"]).map(lambda s: Chars(tuple((ord(c),) * 2 for c in s)))
    leaves = letters | st.sampled_from([Anchor(True), Anchor(False), Concat(())])

    def larger(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
        bounds = st.sampled_from([(0, None), (1, None), (0, 1), (2, 3), (0, 2), (2, 2)])
        kinds = parts.map(Concat) | parts.map(Alternate) | st.builds(lambda n, b: Repeat(n, *b), inner, bounds)
        if looks:
            kinds |= st.builds(Look, inner, ahead=st.booleans(), negated=st.booleans())
        return kinds

    return st.recursive(leaves, larger, max_leaves=8)


def read(machine: Moore, text: str) -> bool:
    return machine.read(text) == 1


@settings(max_examples=300, deadline=None)
@given(trees(looks=False), st.booleans())
def test_plain_expressions_match_by_the_definition(node: Node, search: bool) -> None:
    machine = node_machine(node, field="regex", search=search)
    for text in TEXTS[:121]:
        assert read(machine, text) == expected(node, text, search), (node, text)


@settings(max_examples=400, deadline=None)
@given(trees(looks=True), st.booleans())
def test_lookaround_matches_by_the_definition(node: Node, search: bool) -> None:
    try:
        machine = node_machine(node, field="regex", search=search)
    except UnsupportedGrammarError:  # a lookahead or $ inside a lookbehind
        reject()
    for text in TEXTS[:121]:
        assert read(machine, text) == expected(node, text, search), (node, text)


#: Patterns that mean the same in Python (with ``\\Z`` for ``$``) and in ECMA-262, on texts over LETTERS.
COMMON = [
    "a|b-",
    "(a|b)*-",
    "(?:ab?){2,3}",
    "[^-]+",
    "a*?b+?",
    r"\w+-\w*",
    r"^a|b$",
    r"\bab\b",
    r"\Ba",
    r"(?=a)",
    r"(?!a).b",
    r"^(?!.*--).*$",
    r"^(?=.*a)(?=.*b)[ab-]{3,}$",
    r"^(?!^a|b-|--b).*",
    r"(?<=a)b",
    r"(?<!a)b$",
    r"(?<!-)\b\w(?!-)",
    r"^((?!ab).)*$",
    r"^(?:(?!--).)+--$",
    r"(a*)*b",
    r"(a|aa)+$",
    r"(?:a|b)??-",
    r"(?=(?!a)b)b",
    r"(?!(?=ab)a)a",
    r"a(?=b(?=-))",
    r"(?i:A)b",
    r"^(?:a(?=.*b$)|-)*",
    r"(?P<name>a)-",
]


@pytest.mark.parametrize("pattern", COMMON)
@pytest.mark.parametrize("search", [True, False])
def test_agrees_with_python(pattern: str, search: bool) -> None:
    machine = regex_machine(pattern, field="regex", search=search)
    python = re.compile(pattern.replace("$", r"\Z"))
    for text in TEXTS:
        matched = python.search(text) if search else python.fullmatch(text)
        # A full match must end at the end: Python's engine backtracks into it, so the two mean the same.
        assert read(machine, text) == (matched is not None), text


@pytest.mark.parametrize("pattern", [r"(?<=a|b-)b", r"(?<!-a*)b", r"(?<=(?<!a)b)-", r"(?<=^a+)-"])
def test_lookbehind_of_any_length(pattern: str) -> None:
    machine = regex_machine(pattern, field="regex", search=True)
    for text in TEXTS:
        assert read(machine, text) == (regex_package.search(pattern, text) is not None), text


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (r"^(?=X)X", r"^X"),
        (r"^(?!X)(?=X)", r"[]"),
        (r"^(?:(?=X)|(?!X))", r""),
        (r"(?!)", r"[]"),
        (r"(?=)", r""),
        (r"(?=X)*a", r"a"),
        (r"(?=X){2}a", r"(?=X)a"),
        (r"(?<=X)$", r"X$"),
        (r"(?:(?<=X)|(?<!X))a", r"a"),
        (r"\b\b", r"\b"),
        (r"\b\B", r"[]"),
        (r"^(?!(?!X))", r"^(?=X)"),
        (r"(?<!(?<!X))$", r"(?<=X)$"),
    ],
)
@pytest.mark.parametrize("body", ["ab", "a|b-*", "[^a]", "(?:ab?)+-"])
def test_identities(one: str, two: str, body: str) -> None:
    machines = [regex_machine(p.replace("X", f"(?:{body})"), field="regex", search=True) for p in (one, two)]
    assert [read(machines[0], text) for text in TEXTS] == [read(machines[1], text) for text in TEXTS]


#: Pattern, what it finds, what it does not: read as ECMA-262 with its annex B.
ECMA = [
    (r"^[\w-.]+$", ["a-.", "-"], ["a b", "a/b"]),
    (r"^[a-z-_]$", ["a", "-", "_"], ["`", "A"]),
    (r"^a{,3}$", ["a{,3}"], ["", "aa", "aaa"]),
    (r"^{}$", ["{}"], [""]),
    (r"^a{$", ["a{"], ["a"]),
    (r"^a{1$", ["a{1"], ["a"]),
    (r"^x]}$", ["x]}"], ["x"]),
    (r"^\-\/\@\"\_\:\ $", ["-/@\"_: "], ["-"]),
    (r"^[]$", [], ["", "a", "]"]),
    (r"^[^]$", ["\n", "a", "\U0001f432"], ["", "ab"]),
    (r"^\d$", ["0", "9"], ["\u0661", "a"]),
    (r"^\w$", ["a", "_"], ["\u00e9", "-"]),
    (r"^\W$", ["\u00e9", "-"], ["a"]),
    (r"^\s$", [" ", "\u00a0", "\ufeff", "\u2029", "\t"], ["\u200b", "x"]),
    (r"^.$", ["a", "\U0001f432", "\x85"], ["\n", "\r", "\u2028"]),
    (r"^(?s:.)$", ["\n", "a"], [""]),
    (r"(?m:^a$)", ["b\na\nb", "a", "b\ra"], ["ba", "ab"]),
    (r"^\cJ\x41\u0042\u{1F432}$", ["\nAB\U0001f432"], []),
    (r"^\ud83d\udc32*$", ["\U0001f432\U0001f432"], ["\U0001f431"]),
    (r"^[\ud83d\udc32-\ud83d\udc40]$", ["\U0001f432", "\U0001f440"], ["\U0001f431"]),
    (r"^[\ud800-\udfffa]$", ["a"], ["b"]),
    (r"^\0$", ["\0"], ["0"]),
    (r"^[\b]$", ["\b"], ["b"]),
    (r"^\p{Lu}\p{L}\P{L}$", ["\u00c9a1", "Ab-"], ["ab1"]),
    (r"^\p{Script=Greek}\p{scx=Grek}\p{General_Category=Decimal_Number}$", ["\u03b1\u03b20"], ["ab0"]),
    (r"^\p{Emoji_Presentation}\p{ASCII}\p{Any}$", ["\U0001f432a\u00e9"], ["aaa"]),
    (r"^[^\p{L}\d]$", ["-"], ["a", "1"]),
    (r"(?i)^stra\u00dfe$", ["STRA\u1e9eE", "Stra\u00dfe"], ["STRASSE"]),
    (r"^(?i:[a-c]x)[d]$", ["BXd", "aXd"], ["BXD"]),
    (r"^(?i:[^k])$", ["x"], ["k", "K", "\u212a"]),
    (r"^a(?i)b(?-i)c$", ["aBc", "abc"], ["ABc", "aBC"]),
    (r"$^", [""], ["a"]),
    (r"a^b|c$d", [], ["ab", "a", "cd"]),
    (r"x*^a", ["a", "ab"], ["xa"]),
]


@pytest.mark.parametrize(("pattern", "found", "missing"), ECMA)
def test_ecma(pattern: str, found: list[str], missing: list[str]) -> None:
    machine = regex_machine(pattern, field="pattern", search=True)
    assert [text for text in found if not read(machine, text)] == []
    assert [text for text in missing if read(machine, text)] == []


#: The same for whole matches of the ``regex`` constraint, which takes what Python and Rust write besides.
PYTHON = [
    (r"\Aab\Z", ["ab"], ["ab\n"]),
    (r"ab\z", ["ab"], ["b"]),
    (r"a{,2}", ["", "a", "aa"], ["aaa", "a{,2}"]),
    (r"[]a]+", ["]a"], ["b"]),
    (r"[^]a]", ["b"], ["]", "a"]),
    (r"(?x) a b # comment", ["ab"], ["a b"]),
    (r"(?x: a\ b [ ] ) ", ["a b  "], ["ab"]),
    (r"(?x) a + ", ["aa"], ["a "]),
    (r"(?#note)a", ["a"], [""]),
    (r"\a\U0001F432", ["\a\U0001f432"], []),
    (r"(?i)ab|C", ["AB", "c"], ["abC"]),
    (r"\pL\p{^L}", ["a1"], ["1a"]),
    (r"\012", ["\n"], ["012"]),
]


@pytest.mark.parametrize(("pattern", "found", "missing"), PYTHON)
def test_python_dialect(pattern: str, found: list[str], missing: list[str]) -> None:
    machine = regex_machine(pattern, field="regex", search=False, dialect=Dialect.PYTHON)
    assert [text for text in found if not read(machine, text)] == []
    assert [text for text in missing if read(machine, text)] == []


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a)\1", "back-reference at position 3"),
        (r"(?<n>a)\k<n>", "back-reference at position 7"),
        (r"a++", "possessive quantifier at position 2"),
        (r"x(?>a)", "atomic group at position 1"),
        (r"(a)?(?(1)b)", "conditional at position 4"),
        (r"(?P=n)", "back-reference at position 0"),
        (r"\p{Nonsense}", "'Nonsense' at position 0"),
        (r"(?u)a", "flag 'u' at position 0"),
        (r"(?<=a(?=b))b", "inside a lookbehind"),
    ],
)
def test_refused_by_name(pattern: str, reason: str) -> None:
    with pytest.raises(UnsupportedGrammarError, match=re.escape(reason)):
        regex_machine(pattern, field="pattern", search=True)


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        ("a(b", 1),
        ("ab)", 2),
        ("*a", 0),
        ("a|+", 2),
        ("a**", 0),
        ("^*", 0),
        ("{2}", 0),
        ("a{3,2}", 1),
        ("[b-a]", 1),
        ("x[ab", 1),
        ("a\\", 1),
        (r"\q", 0),
        (r"\Z", 0),
        (r"ab\xg1", 2),
        (r"\u{110000}", 0),
        (r"\ud800", 0),
        ("(?~a)", 0),
        ("(?<=a)*", 0),
    ],
)
def test_syntax_errors_have_a_position(pattern: str, position: int) -> None:
    with pytest.raises(GrammarError, match=f"at position {position}$") as caught:
        regex_machine(pattern, field="pattern", search=True)
    assert not isinstance(caught.value, UnsupportedGrammarError)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a*)*b",
        "(a|aa)+$",
        "(.*a){20}",
        "(a?){200}a{200}",
        "a{1,1000}",
        "[a-z]{0,10000}",
        "(?:ab|c){500}",
        "(?:(?:a{1,9}b?){1,9}c?){1,9}",
        "(?:[^/]*/){0,300}x",
        "^(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])(?=.*[^A-Za-z0-9]).{8,64}$",
        "^(?!.*(?:foo|bar|baz)).{1,200}$",
    ],
)
def test_repeats_and_loops_compile(pattern: str) -> None:
    assert regex_machine(pattern, field="pattern", search=False).label.any()


@pytest.mark.parametrize(
    "pattern",
    [
        "[ab]*a[ab]{40}",
        "(a{1,100}){1,1000}",
        "a{100000}",
        "(?:(?:(?:a{1,99}){1,99}){1,99}){1,99}",
        "(?:.*a.{0,300}b){50}",
        "^(?:(?!a.{20}b).)*$",
        "(" * 100 + ")" * 100,
    ],
)
def test_what_explodes_is_a_budget_error(pattern: str) -> None:
    with pytest.raises(BudgetExceededError):
        regex_machine(pattern, field="pattern", search=True)


def test_group_names_and_comments_leave_no_trace() -> None:
    assert parse("(?<year>a)(?:b)(?#c)") == Concat((Chars(((97, 97),)), Chars(((98, 98),)), Concat(())))
