"""From patterns to bytes: Unicode properties, case, UTF-8 spelling, and constraints served by the engine."""

from __future__ import annotations

import random
import sys
from itertools import product

import pytest
import regex as regex_package

from latticework.structured import bitmask
from latticework.structured.automata.casing import without_case
from latticework.structured.automata.codepoints import CodePoints, complement
from latticework.structured.automata.properties import property_points
from latticework.structured.automata.regex_machine import regex_machine
from latticework.structured.automata.spelling import Writing, quoted_table, raw_table
from latticework.structured.engines.lattice import LatticeEngine
from latticework.structured.errors import BudgetExceededError, LatticeworkError
from latticework.structured.lexemes.texts import choice_table, regex_table
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

EVERYTHING = "".join(chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF)


def every_byte_vocabulary() -> Vocabulary:
    """Token 0 ends the text, token ``1 + b`` is byte ``b``."""
    return Vocabulary([None, *(bytes([byte]) for byte in range(256))], [0])


def matched(pattern: str) -> CodePoints:
    found = [match.span() for match in regex_package.finditer(f"(?:{pattern})+", EVERYTHING)]
    # Where the surrogates are left out, positions and code points differ.
    return complement(complement(tuple((ord(EVERYTHING[a]), ord(EVERYTHING[b - 1])) for a, b in found)))


@pytest.mark.parametrize(
    "query",
    [
        "L", "Lu", "Nd", "Cn", "Cased_Letter", "gc=Punctuation", "General_Category=Zs", "Greek", "sc=Han",
        "Script=Cyrl", "scx=Deva", "Script_Extensions=Grek", "scx=Latin", "Alphabetic", "White_Space", "Emoji",
        "Emoji_Presentation", "ID_Start", "XIDC", "Uppercase", "Any", "Assigned", "Extended_Pictographic",
        "ASCII_Hex_Digit", "Ideographic", "Changes_When_Lowercased",
    ],
)  # fmt: skip
def test_properties_are_those_of_the_regex_package(query: str) -> None:
    points = property_points(query)
    assert points is not None
    assert points == matched(rf"\p{{{query}}}")


def test_property_names_are_matched_loosely() -> None:
    assert property_points("uppercase-letter") == property_points("Lu") == property_points("gc=lu")
    assert property_points("ASCII") == ((0, 0x7F),)
    for unknown in ("Klingon", "gc=Greek", "sc=Lu", "block=Latin", "=", ""):
        assert property_points(unknown) is None


def test_case_is_the_simple_folding_of_unicode() -> None:
    folded: dict[str, set[str]] = {}
    for character in EVERYTHING[:0x20000]:
        folded.setdefault(character.casefold(), set()).add(character)
    for letter in "kKsSaZµΣςσïÿǅ1-éж":
        points = without_case(((ord(letter),) * 2,))
        assert {chr(point) for low, high in points for point in range(low, high + 1)} == folded[letter.casefold()]
    assert without_case(((0x6B, 0x6B),)) == ((0x4B, 0x4B), (0x6B, 0x6B), (0x212A, 0x212A))
    assert without_case(((0xDF, 0xDF),)) == ((0xDF, 0xDF), (0x1E9E, 0x1E9E))


def reads(table: Table, data: bytes) -> bool:
    state = table.start
    for byte in data:
        state = table.step(state, byte)
        if state == DEAD:
            return False
    return table.end_at(state) != NO_RESULT


@pytest.mark.parametrize("pattern", [r"\p{L}", r".", r"[^\w\s]", r"[\u07ff-\u{10000}]", r"(?i)k", r"[^]"])
def test_every_character_is_spelled_in_utf8(pattern: str) -> None:
    machine = regex_machine(pattern, field="regex", search=False)
    table = raw_table(machine, field="regex")
    rng = random.Random(1)
    edges = {0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF}
    for point in edges | {rng.randrange(0x110000) for _ in range(3000)}:
        if not 0xD800 <= point <= 0xDFFF:
            assert reads(table, chr(point).encode()) == (machine.read(chr(point)) == 1), hex(point)


def test_what_is_not_utf8_is_never_read() -> None:
    table = raw_table(regex_machine("[^]*", field="regex", search=False), field="regex")
    for data in product([0x41, 0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xA0, 0xF0, 0x90, 0xF4, 0xF5], repeat=3):
        text = bytes(data)
        try:
            legal = text.decode() is not None
        except UnicodeDecodeError:
            legal = False
        assert reads(table, text) == legal, text


@pytest.mark.parametrize("pattern", [r"^\p{L}*$", r'^["\\/a]+$', r"^[^a]?$"])
def test_patterns_inside_json_strings(pattern: str) -> None:
    machine = regex_machine(pattern, field="pattern", search=True)
    table = quoted_table(machine, Writing.CANONICAL, field="pattern")
    for text, written in [("é", '"é"'), ('"', r'"\""'), ("\\", r'"\\"'), ("/", '"/"'), ("\n", r'"\n"'), ("a", '"a"')]:
        state = table.start
        for byte in written.encode():
            state = table.step(state, byte)
        assert table.result_at(state) == machine.read(text), text


def allowed(spec: GrammarSpec, alphabet: bytes, length: int, limits: GrammarLimits) -> set[bytes]:
    """The texts up to ``length`` bytes that masks of single bytes allow, followed step by step."""
    vocabulary = every_byte_vocabulary()
    root = LatticeEngine().compile(spec, vocabulary, limits).matcher()
    found: set[bytes] = set()
    todo = [(root, b"")]
    while todo:
        matcher, text = todo.pop()
        if matcher.can_end:
            found.add(text)
        row = bitmask.allocate(1, vocabulary.size)[0]
        matcher.fill_bitmask(row)
        for byte in alphabet:
            if len(text) < length and bitmask.test(row, byte + 1):
                fork = matcher.fork()
                assert fork.accept(byte + 1)
                todo.append((fork, text + bytes([byte])))
    return found


@pytest.mark.parametrize("pattern", [r"(a|b)*-", r"(?!aa)[ab]{1,3}(?<!b)", r"(?:a|ab){2}", r"\ba+\b-?", ""])
def test_the_engine_allows_exactly_the_matches(pattern: str) -> None:
    texts = {"".join(t) for size in range(5) for t in product("ab-", repeat=size)}
    expected = {text.encode() for text in texts if regex_package.fullmatch(pattern, text)}
    assert allowed(GrammarSpec.regex(pattern), b"ab-", 4, GrammarLimits()) == expected


def test_what_is_too_large_for_a_table_is_found_state_by_state() -> None:
    pattern = "[ab]*a[ab]{20}"
    with pytest.raises(BudgetExceededError):
        regex_table(pattern)
    grammar = LatticeEngine().compile(GrammarSpec.regex(pattern), every_byte_vocabulary(), GrammarLimits())
    matcher = grammar.matcher()
    for letter in b"ba" + b"b" * 20:
        assert not matcher.can_end
        assert matcher.accept(letter + 1)
    assert matcher.can_end
    with pytest.raises(BudgetExceededError):  # dead ends behind lookaround are found only by building the machine
        LatticeEngine().compile(
            GrammarSpec.regex("(?=a)" + pattern), every_byte_vocabulary(), GrammarLimits()
        )


def test_choices_are_exact_as_tables_and_as_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(2)
    options = sorted({"".join(rng.choices("ab-", k=rng.randrange(1, 6))) for _ in range(60)})
    expected = {option.encode() for option in options}
    spec = GrammarSpec.choice(options)
    assert allowed(spec, b"ab-", 6, GrammarLimits()) == expected
    monkeypatch.setattr("latticework.structured.automata.words.MAX_CELLS", 40)
    with pytest.raises(BudgetExceededError):
        choice_table(options)
    monkeypatch.undo()

    def too_large(_: object) -> Table:
        raise BudgetExceededError("choice", "too large")

    monkeypatch.setattr("latticework.structured.engines.lattice_texts.choice_table", too_large)
    assert allowed(spec, b"ab-", 6, GrammarLimits()) == expected
    assert allowed(GrammarSpec.choice([*options, ""]), b"ab-", 6, GrammarLimits()) == expected | {b""}


def test_a_hundred_thousand_choices_are_one_small_table() -> None:
    table = choice_table(f"item-{number:06}" for number in range(100_000))
    assert len(table.delta) < 30
    assert reads(table, b"item-099999")
    assert not reads(table, b"item-100000")


def test_an_expression_without_a_match_is_an_error() -> None:
    for pattern in ("[^\\s\\S]", "a^b", "(?!)", "a(?=b)", "(?=a)b", r"a\bb"):
        with pytest.raises(LatticeworkError, match="matches no text"):
            LatticeEngine().compile(GrammarSpec.regex(pattern), every_byte_vocabulary(), GrammarLimits())
