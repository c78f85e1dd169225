"""The preset languages: masks against brute force, laws, and records that survive being written and read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import pytest
import regex as judge
from preset_texts import allowed_by, compiled, vocabulary_of, written

from latticework.structured import GrammarSpec
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.laws import MatcherLaws
from latticework.structured.presets import closed_ie, constituency, disambiguation, lasuie, refvlm
from latticework.structured.presets.lasuie import Form, Record, Span
from latticework.structured.presets.refvlm import Answer, Target

#: Stands for special token number ``i`` in the texts of these tests: no letter of any text.
MARK = 0xE000
MARKS = range(MARK, MARK + 100)
#: Sentinels of T5 and markers of REF-VLM, which a vocabulary may have as special tokens.
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(5))
TASK_MARKERS = ("<Task>", "</Task>", "<Unit>", "</Unit>", "<Phrase>", "</Phrase>", "<REF>")


@dataclass(frozen=True)
class Language:
    """A preset's constraint, its meaning as a regular expression, and texts of it."""

    spec: GrammarSpec
    meaning: str
    samples: tuple[str, ...]
    specials: tuple[str, ...] = ()

    def grammar(self) -> CompiledGrammar:
        return compiled(self.spec, vocabulary_of(self.samples, self.specials))


def union(texts: Sequence[str]) -> str:
    return "(?:" + "|".join(judge.escape(text, special_only=True) for text in texts) + ")"


def substrings(text: str) -> list[str]:
    return sorted({text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)})


CITIES, RELATIONS = ["York", "York [r", "New York", "Bari"], ["in", "in or near"]
CITY, RELATION = union(CITIES), union(RELATIONS)
FACT = rf" \[r\] {RELATION} \[o\] {CITY}"
TEXT = "a bé bé a"


def marked(text: str, specials: Sequence[str]) -> str:
    """``text`` with each name of a special token as one character."""
    for number, name in enumerate(specials):
        text = text.replace(name, chr(MARK + number))
    return text


def lasuie_meaning(form: Form, specials: Sequence[str]) -> str:
    b, e, c, d, n = (judge.escape(marked(marker, specials)) for marker in SENTINELS)
    span = rf"{union(substrings(TEXT))}{c}(?:X|XY)"
    part = rf"{b}(?:r|rs){d}{span}{e}"
    record = {Form.SPAN: span, Form.PAIR: span + part, Form.HYPER: f"{span}(?:{part})+"}[form]
    return f"{b}(?:{n}|(?:{b}{record}{e})+){e}"


def referring_meaning(specials: Sequence[str]) -> str:
    """Every plan of one target, and the texts that keep to it; or no plan."""
    free = rf"(?:(?!{union(TASK_MARKERS)})[^{chr(MARKS[0])}-{chr(MARKS[-1])}])*"
    options = [judge.escape(marked(refvlm.serialise(Answer((), ("",))), specials)) + free]
    for name in ("cat", "cat food"):
        for count in (1, 2):
            target = Target(name, "box", count)
            plan = refvlm.serialise(Answer((target,), ("", ""))).removesuffix(target.mention())
            pair = (judge.escape(marked(text, specials)) for text in (plan, target.mention()))
            options.append(free.join(pair) + free)
    return "|".join(options)


CATS = Answer((Target("cat food", "box", 2),), ("a ", " b<"))
LASUIE_SAMPLES = (lasuie.serialise([Record(Span("bé a", "XY"), (("rs", Span("bé bé", "X")),))]),)
TREE_WORDS, TREE_LABELS, TREE_TAGS = ("a", "a", "bé"), ("S", "X"), ("X", "N")


def trees(words: Sequence[str], labels: Sequence[str], tags: Sequence[str], max_opens: int) -> list[str]:
    """Every tree, written out by the definition."""

    def nodes(word: int, opens: int) -> list[tuple[str, int]]:
        if word == len(words) or opens == max_opens:
            return []
        leaves = [(f"({tag} {words[word]})", word + 1) for tag in tags]
        if opens + 1 == max_opens:
            return leaves
        return leaves + [(f"({label} {inner})", end) for label in labels for inner, end in children(word, opens + 1)]

    def children(word: int, opens: int) -> list[tuple[str, int]]:
        found = nodes(word, opens)
        return found + [(f"{one} {rest}", end) for one, after in found for rest, end in children(after, 0)]

    return [f"[{text}]" for text, end in nodes(0, 0) if end == len(words)]


LANGUAGES = {
    "closed_ie": Language(
        closed_ie.closed_ie(CITIES, RELATIONS),
        rf"\[s\] {CITY}{FACT} \[e\](?: \[s\] {CITY}{FACT} \[e\])*",
        ("[s] York [r] in [o] York [r [e] [s] New York [r] in or near [o] Bari [e]",),
    ),
    "closed_ie collapsed, maybe empty, tight": Language(
        closed_ie.closed_ie(["York", "York City"], RELATIONS, collapsed=True, tight=True, allow_empty=True),
        rf"(?:\[s\](?:York|York City)(?:\[r\]{RELATION}\[o\](?:York|York City))+\[e\])*",
        ("[s]York[r]in[o]York City[r]in or near[o]York[e]",),
    ),
    "disambiguation": Language(
        disambiguation.disambiguation("EU", ["European Union", "Europe", "Eu [a]"], form="Union", fallback="none"),
        r"EU : Union \[" + union(["European Union", "Europe", "Eu [a]", "none"]) + r"\]",
        ("EU : Union [European Union]",),
    ),
    "constituency": Language(
        constituency.constituency(TREE_WORDS, labels=TREE_LABELS, tags=TREE_TAGS, max_opens=2),
        union(trees(TREE_WORDS, TREE_LABELS, TREE_TAGS, 2)),
        ("[(X (X (X a)) (N a) (N bé))]",),
    ),
    "lasuie span": Language(
        lasuie.lasuie(Form.SPAN, TEXT, ["X", "XY"]), lasuie_meaning(Form.SPAN, SENTINELS), LASUIE_SAMPLES, SENTINELS
    ),
    "lasuie pair": Language(
        lasuie.lasuie(Form.PAIR, TEXT, ["X", "XY"], ["r", "rs"]),
        lasuie_meaning(Form.PAIR, SENTINELS),
        LASUIE_SAMPLES,
        SENTINELS,
    ),
    "lasuie hyper, markers as text": Language(
        lasuie.lasuie(Form.HYPER, TEXT, ["X", "XY"], ["r", "rs"]), lasuie_meaning(Form.HYPER, ()), LASUIE_SAMPLES
    ),
    "refvlm": Language(
        refvlm.referring(["cat", "cat food"], ["box"], max_targets=1, max_count=2),
        referring_meaning(TASK_MARKERS),
        (refvlm.serialise(CATS), refvlm.serialise(Answer((), ("a <Phr",)))),
        TASK_MARKERS,
    ),
    "refvlm, markers as text": Language(
        refvlm.referring(["cat", "cat food"], ["box"], max_targets=1, max_count=2),
        referring_meaning(()),
        (refvlm.serialise(CATS), refvlm.serialise(Answer((), ("a <Phr",)))),
    ),
}  # fmt: skip


class TestLaws(MatcherLaws):
    @pytest.fixture(params=[name for name in LANGUAGES if "refvlm" not in name])
    def grammar(self, request: pytest.FixtureRequest) -> CompiledGrammar:
        return LANGUAGES[request.param].grammar()


class TestReferringLaws(MatcherLaws):
    """Random walks stay in the free text before a planned mention, so these are led to the end."""

    @pytest.fixture(params=[name for name in LANGUAGES if "refvlm" in name])
    def grammar(self, request: pytest.FixtureRequest) -> CompiledGrammar:
        return LANGUAGES[request.param].grammar()

    def test_nothing_is_allowed_after_the_end(self, grammar: CompiledGrammar) -> None:
        matcher = written(grammar, refvlm.serialise(CATS))
        assert matcher is not None
        assert matcher.can_end
        assert matcher.accept(min(grammar.vocabulary.eos_ids))
        assert not any(matcher.accept(token) for token in range(grammar.vocabulary.size))
        matcher.rollback(1)
        assert matcher.can_end

    test_rollback_over_the_end_token = test_nothing_is_allowed_after_the_end


def spelled(grammar: CompiledGrammar, token: int) -> bytes:
    """The text of a token, that of a special one as :func:`marked` writes it."""
    if token in grammar.vocabulary.special_names.values():
        return chr(MARK + token - min(grammar.vocabulary.special_names.values())).encode()
    return grammar.vocabulary.tokens[token]


def is_prefix(language: judge.Pattern[str], text: bytes) -> bool:
    """Whether the text can be continued. Its last bytes may be a part of a character: then some such character must."""
    head = text.decode(errors="ignore")
    tail = text[len(head.encode()) :]
    if not tail:
        return language.fullmatch(head, partial=True) is not None
    fills = [tail + bytes(fill) for size in (1, 2, 3) for fill in product((0x80, 0x90, 0xA0, 0xBF), repeat=size)]
    wholes = [character.encode() for character in language.pattern if character.encode().startswith(tail)]
    characters = {whole.decode(errors="ignore")[:1] for whole in [*fills, *wholes]} - {"", *map(chr, MARKS)}
    return any(language.fullmatch(head + character, partial=True) for character in characters)


def complete(language: judge.Pattern[str], text: bytes) -> bool:
    try:
        return language.fullmatch(text.decode()) is not None
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("name", LANGUAGES)
def test_masks_equal_brute_force(name: str) -> None:
    """At every position of a few random walks: a token is allowed if and only if the text can then be continued."""
    language = LANGUAGES[name]
    grammar, meaning = language.grammar(), judge.compile(language.meaning, judge.DOTALL)
    spellings = {token: text for token in range(grammar.vocabulary.size) if (text := spelled(grammar, token))}
    chance = random.Random(3)
    for _ in range(3):
        matcher, text = grammar.matcher(), b""
        for _ in range(20):
            allowed = allowed_by(grammar, matcher) - grammar.vocabulary.eos_ids
            expected = {token for token, spelling in spellings.items() if is_prefix(meaning, text + spelling)}
            assert allowed == expected, text
            assert matcher.can_end == complete(meaning, text)
            if not allowed:
                break
            # Mostly pieces of the samples: free text would lead the walk away from what a preset is about.
            token = chance.choice(sorted(token for token in allowed if len(spellings[token]) > 1) or sorted(allowed))
            assert matcher.accept(token)
            text += spellings[token]
