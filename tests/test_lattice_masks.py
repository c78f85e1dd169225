"""Masks of the lattice engine equal brute force, for random regexes and vocabularies and for a real tokenizer."""

from __future__ import annotations

import codecs
import itertools
import json
import random
import re

import pytest
import regex as regex_package
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latticework.structured import bitmask
from latticework.structured.automata.choice import Choice
from latticework.structured.automata.combinators import sequence, union
from latticework.structured.automata.json_value import JsonValue
from latticework.structured.automata.regex import regex
from latticework.structured.engines.lattice import LatticeEngine, LatticeGrammar, compile_source
from latticework.structured.errors import GrammarError, LatticeworkError
from latticework.structured.json_options import Whitespace
from latticework.structured.laws import AutomatonLaws, MatcherLaws, complete, mask_of
from latticework.structured.limits import GrammarLimits
from latticework.structured.runtime.matcher import fill_bitmasks
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

ALPHABET = "abé"
EOS = 0


def every_byte_vocabulary(extra: list[bytes]) -> Vocabulary:
    return Vocabulary([None, *(bytes([b]) for b in range(256)), *extra], [EOS])


def atoms() -> st.SearchStrategy[str]:
    return st.sampled_from(["a", "b", "é", "[ab]", "[^a]", "."])


def patterns() -> st.SearchStrategy[str]:
    def extend(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{2,}"])).map(
                lambda p: f"(?:{p[0]}){p[1]}"
            ),
        )

    return st.recursive(atoms(), extend, max_leaves=6)


@settings(max_examples=120, deadline=None)
@given(
    pattern=patterns(),
    extra=st.lists(st.text(ALPHABET, min_size=1, max_size=3).map(str.encode), max_size=8),
    split=st.lists(st.sampled_from([b"\xa9", b"\xc3", b"a\xc3", b"\xa9b", b"\xa9\xc3"]), max_size=3),
    seed=st.integers(0, 2**16),
)
def test_mask_equals_brute_force(pattern: str, extra: list[bytes], split: list[bytes], seed: int) -> None:
    """A token is allowed iff what was written plus the token begins some text of the language.

    The judge is the ``regex`` package, whose partial matching answers exactly that question about a prefix.
    """
    assume(is_prefix(pattern, b""))
    vocabulary = every_byte_vocabulary(extra + split)
    grammar = LatticeEngine().compile(GrammarSpec.regex(pattern), vocabulary, GrammarLimits())
    matcher = grammar.matcher()
    written = b""
    chance = random.Random(seed)
    usable = [i for i, token in enumerate(vocabulary.tokens) if token and all(byte in "abé".encode() for byte in token)]
    for _ in range(6):
        mask = mask_of(grammar, matcher)
        for token_id in usable:
            text = written + vocabulary.tokens[token_id]
            assert bitmask.test(mask, token_id) == is_prefix(pattern, text), (pattern, text)
        assert bitmask.test(mask, EOS) == is_member(pattern, written)
        legal = [t for t in usable if bitmask.test(mask, t)]
        if not legal:
            break
        token_id = chance.choice(legal)
        assert matcher.accept(token_id)
        written += vocabulary.tokens[token_id]


def is_member(pattern: str, data: bytes) -> bool:
    try:
        return re.fullmatch(pattern, data.decode()) is not None
    except UnicodeDecodeError:
        return False


def is_prefix(pattern: str, data: bytes) -> bool:
    """Whether some completion of ``data`` matches; a character cut at its end may become any that begins like it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(data)
    except UnicodeDecodeError:
        return False
    started = decoder.getstate()[0]
    tails = [""] if not started else [chr(c) for c in range(0x80, 0x800) if chr(c).encode().startswith(started)]
    return any(regex_package.fullmatch(pattern, text + tail, partial=True) is not None for tail in tails)


@settings(max_examples=150, deadline=None)
@given(
    options=st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=5),
    tokens=st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=8, unique=True),
)
def test_no_dead_end_without_single_byte_tokens(options: list[str], tokens: list[str]) -> None:
    """With a vocabulary that cannot spell every text, a token is allowed iff some sequence of tokens completes it."""
    vocabulary = Vocabulary([None, *(token.encode() for token in tokens)], [EOS])

    def spellable(prefix: str) -> bool:
        return any(o == prefix for o in options) or any(
            any(o.startswith(prefix + t) for o in options) and spellable(prefix + t) for t in tokens
        )

    spec = GrammarSpec.choice(options)
    if not spellable(""):
        with pytest.raises(GrammarError, match="no sequence"):
            LatticeEngine().compile(spec, vocabulary, GrammarLimits())
        return
    grammar = LatticeEngine().compile(spec, vocabulary, GrammarLimits())

    def check(prefix: str, matcher: object) -> None:
        mask = mask_of(grammar, matcher)  # type: ignore[arg-type]
        assert bitmask.test(mask, EOS) == (prefix in options)
        for token_id, token in enumerate(tokens, start=1):
            allowed = any(o.startswith(prefix + token) for o in options) and spellable(prefix + token)
            assert bitmask.test(mask, token_id) == allowed
            if allowed:
                fork = matcher.fork()  # type: ignore[attr-defined]
                assert fork.accept(token_id)
                check(prefix + token, fork)

    check("", grammar.matcher())


AUTOMATA = {
    "regex": lambda: regex(r"(?:[a-z]{2,5}|é+\d*)(?:-\w+)?"),
    "anchors": lambda: regex(r"(^a|b)*c$"),
    "choice": lambda: Choice(["yes", "no", "yesterday", "né"]),
    "json": lambda: JsonValue(),
    "json object, one line": lambda: JsonValue(objects_only=True, whitespace=Whitespace.LINE, max_depth=3),
    "sequence": lambda: sequence(regex("a*"), Choice(["ab", "b"]), JsonValue(whitespace=Whitespace.COMPACT)),
    "union": lambda: union(Choice(["[1", "{}"]), JsonValue(), regex("[0-9a-f]+")),
}


@pytest.fixture(params=AUTOMATA, name="automaton")
def automaton_fixture(request: pytest.FixtureRequest) -> object:
    return AUTOMATA[request.param]()


class TestAutomata(AutomatonLaws):
    pass


SPECS = {
    "regex": GrammarSpec.regex(r"[A-Z][a-z]{1,8} (?:is|was) \d{2,4}\."),
    "unicode": GrammarSpec.regex(
        r"[à-ÿ€\U0001F600-\U0001F64F]{1,5}".replace(r"\U0001F600", "\U0001f600").replace(r"\U0001F64F", "\U0001f64f")
    ),
    "choice": GrammarSpec.choice(["positive", "negative", "neutral", "pos"]),
    "json": GrammarSpec.json_object(),
}


class TestLatticeMatcherOnBytes(MatcherLaws):
    @pytest.fixture(params=SPECS)
    def grammar(self, request: pytest.FixtureRequest) -> LatticeGrammar:
        vocabulary = every_byte_vocabulary([b"pos", b"itive", b'{"', b'": ', b"is ", b"20", b"\xc3\xa0", b"\xe2\x82"])
        return LatticeEngine().compile(SPECS[request.param], vocabulary, GrammarLimits())


class TestLatticeMatcherOnRealTokenizer(MatcherLaws):
    @pytest.fixture(params=SPECS)
    def grammar(self, request: pytest.FixtureRequest, smollm2_vocabulary: Vocabulary) -> LatticeGrammar:
        return LatticeEngine().compile(SPECS[request.param], smollm2_vocabulary, GrammarLimits())


@pytest.mark.parametrize(
    ("spec", "written", "member"),
    [
        (GrammarSpec.regex(r"[a-z]+@[a-z]+\.com"), b"joe@", re.compile(r"[a-z]+@[a-z]+\.com")),
        (GrammarSpec.regex(r"\d{4}-\d{2}-\d{2}"), b"2026-1", re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)),
        (GrammarSpec.choice(["red", "green", "blue"]), b"g", re.compile("red|green|blue")),
    ],
)
def test_real_vocabulary_mask_equals_brute_force(
    spec: GrammarSpec, written: bytes, member: re.Pattern[str], smollm2_vocabulary: Vocabulary
) -> None:
    """Over all 49k tokens: allowed iff one of a few hand-made completions makes the text a member."""
    grammar = LatticeEngine().compile(spec, smollm2_vocabulary, GrammarLimits())
    matcher = grammar.matcher()
    for token_id in smollm2_vocabulary.encode(written) or []:
        assert matcher.accept(token_id)
    mask = mask_of(grammar, matcher)
    tails = [
        b"",
        b"a@b.com",
        b"@b.com",
        b"b.com",
        b".com",
        b"com",
        b"om",
        b"m",
        b"n",
        b"en",
        b"een",
        b"reen",
        b"reen",
    ]
    tails += [
        f"{n:010d}"[:k].encode() + rest for k in range(5) for n in (0,) for rest in (b"", b"-01", b"-01-01", b"1-01-01")
    ]
    for token_id, token in enumerate(smollm2_vocabulary.tokens):
        text = written + token
        expected = bool(token) and any(_matches(member, text + tail) for tail in tails)
        assert bitmask.test(mask, token_id) == expected, token


def _matches(member: re.Pattern[str], text: bytes) -> bool:
    try:
        return member.fullmatch(text.decode()) is not None
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("whitespace", list(Whitespace))
def test_json_documents(whitespace: Whitespace) -> None:
    vocabulary = every_byte_vocabulary([])
    automaton = JsonValue(whitespace=whitespace)
    grammar = compile_source(automaton, GrammarSpec.json_object(), vocabulary, GrammarLimits())
    documents = [
        None,
        True,
        -1.5e10,
        'é\n"\\\U0001f600',
        [],
        {},
        [1, [2, {"a": [None]}]],
        {"k": {"": [{}]}, "x": 0.25},
    ]
    styles = {
        Whitespace.COMPACT: [{"separators": (",", ":")}],
        Whitespace.LINE: [{}],
        Whitespace.FLEXIBLE: [{"separators": (",", ":")}, {}, {"indent": 4}, {"indent": "\t"}],
    }
    for document, style, ascii_only in itertools.product(documents, styles[whitespace], (True, False)):
        assert accepts(grammar, json.dumps(document, ensure_ascii=ascii_only, **style)), (document, style)
    if whitespace is not Whitespace.FLEXIBLE:
        assert not accepts(grammar, json.dumps([1], indent=1))
    if whitespace is Whitespace.LINE:
        assert not accepts(grammar, "[1,2]")
        assert not accepts(grammar, '{"a":1}')
    for text in [
        "",
        "01",
        "1.",
        "[1,]",
        '{"a"}',
        "{'a':1}",
        '"\\ud800"',
        '"\\udc00"',
        '"\x01"',
        "nul",
        "[1",
        "1 ",
        " 1",
        "{1:2}",
    ]:
        assert not accepts(grammar, text), text


def test_random_json_documents_parse() -> None:
    vocabulary = every_byte_vocabulary([b'{"', b'":', b'",'])
    grammar = compile_source(JsonValue(objects_only=True), GrammarSpec.json_object(), vocabulary, GrammarLimits())
    for seed in range(60):
        chance = random.Random(seed)
        matcher, text = grammar.matcher(), b""
        while not matcher.finished:
            allowed = bitmask.indices(mask_of(grammar, matcher)).tolist()
            closing = [t for t in allowed if vocabulary.tokens[t] in (b'"', b"}", b"]")]
            token_id = EOS if EOS in allowed else chance.choice(closing if closing and len(text) > 40 else allowed)
            assert matcher.accept(token_id)
            text += vocabulary.tokens[token_id]
        assert isinstance(json.loads(text), dict)


def accepts(grammar: LatticeGrammar, text: str) -> bool:
    matcher = grammar.matcher()
    data = text.encode()
    return matcher.count_valid([byte + 1 for byte in data]) == len(data) and _advanced(matcher, data).can_end


def _advanced(matcher: object, data: bytes) -> object:
    for byte in data:
        matcher.accept(byte + 1)  # type: ignore[attr-defined]
    return matcher


def test_forced_text_is_found_and_segmented_by_the_tokenizer(smollm2_vocabulary: Vocabulary) -> None:
    text = "The quick brown fox jumps over the lazy dog."
    grammar = LatticeEngine().compile(GrammarSpec.choice([text]), smollm2_vocabulary, GrammarLimits())
    eos = min(smollm2_vocabulary.eos_ids)
    assert grammar.matcher().forced_tokens(limit=64) == [*smollm2_vocabulary.encode(text.encode()), eos]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "never closed"),
        (")", "unbalanced"),
        ("[a", "never closed"),
        ("[b-a]", "out of order"),
        ("a{3,1}", "out of order"),
        ("*a", "nothing to repeat"),
        ("a**", "nothing to repeat"),
        ("\\", "backslash"),
        ("\\q", "unknown escape"),
        ("(a)\\1", "back-reference"),
        ("(?=a)b", "matches no text"),
        ("a\\bb", "matches no text"),
        ("(?>a)", "atomic"),
        ("a++", "possessive"),
        ("[]", "never closed"),
        ("\\p{Klingon}", "Klingon"),
        ("a\\ud800", "surrogate"),
        ("[^\\s\\S]", "matches no text"),
        ("a^b", "matches no text"),
        ("a{999999999999}", "too large"),
        ("a{60000}", "50000 states"),
        ("(" * 70 + ")" * 70, "nested deeper than 64"),
    ],
)
def test_bad_regexes_name_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(LatticeworkError, match=reason) as caught:
        LatticeEngine().compile(GrammarSpec.regex(pattern), every_byte_vocabulary([]), GrammarLimits())
    assert caught.value.field == "regex"


def test_every_seed_reaches_an_end(smollm2_vocabulary: Vocabulary) -> None:
    grammar = LatticeEngine().compile(GrammarSpec.json_object(), smollm2_vocabulary, GrammarLimits())
    for seed in range(5):
        assert complete(grammar, seed).finished


def test_a_batch_is_filled_row_by_row() -> None:
    vocabulary = every_byte_vocabulary([b"ab"])
    grammars = [
        LatticeEngine().compile(SPECS[name], vocabulary, GrammarLimits()) for name in ("regex", "choice", "json")
    ]
    rows = bitmask.allocate(3, vocabulary.size)
    fill_bitmasks([grammar.matcher() for grammar in grammars], rows)
    assert [row.tolist() for row in rows] == [mask_of(grammar, grammar.matcher()).tolist() for grammar in grammars]
