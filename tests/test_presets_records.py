"""Records of the preset languages: they survive being written and read, and stay within what the request gave."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from engine_walks import BYTES
from hypothesis import given, settings
from hypothesis import strategies as st
from preset_texts import accepts, allowed_by, compiled, vocabulary_of

from latticework.structured import BudgetExceededError, GrammarError, GrammarSpec
from latticework.structured.errors import LatticeworkError
from latticework.structured.presets import closed_ie, constituency, disambiguation, lasuie, refvlm
from latticework.structured.presets.constituency import Node
from latticework.structured.presets.lasuie import Form, Record, Span
from latticework.structured.presets.refvlm import Answer, Target
from latticework.structured.presets.substrings import MAX_CHARACTERS, substrings_table

LABELS, TAGS = ("S", "X"), ("X", "N")
CATS = Answer((Target("cat food", "box", 2),), ("a ", " b<"))

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="[]<>\r\n"), min_size=1, max_size=6)
STRIPPED = NAMES.map(str.strip).filter(bool)


@given(st.data(), st.booleans(), st.booleans())
def test_triples_survive(data: st.DataObject, collapsed: bool, tight: bool) -> None:
    entities, relations = (data.draw(st.lists(STRIPPED, min_size=1, max_size=3)) for _ in range(2))
    triple = st.builds(closed_ie.Triple, *map(st.sampled_from, (entities, relations, entities)))
    triples = data.draw(st.lists(triple, max_size=4))
    text = closed_ie.serialise(triples, collapsed=collapsed, tight=tight)
    assert closed_ie.parse(text, tight=tight) == triples
    spec = closed_ie.closed_ie(entities, relations, collapsed=collapsed, tight=tight, allow_empty=not triples)
    assert accepts(compiled(spec, BYTES), text)


@given(NAMES, st.lists(NAMES, min_size=1, max_size=3), st.none() | NAMES)
def test_links_survive(mention: str, candidates: list[str], form: str | None) -> None:
    grammar = compiled(disambiguation.disambiguation(mention, candidates, form=form, fallback="-"), BYTES)
    for candidate in [*candidates, "-"]:
        link = disambiguation.Link(mention, candidate)
        text = disambiguation.serialise(link, form=form)
        assert accepts(grammar, text)
        assert disambiguation.parse(text, mention, form=form) == link
    assert not accepts(grammar, disambiguation.serialise(disambiguation.Link(mention, "".join(candidates) + "?")))


def tree_over(words: Sequence[str], chance: random.Random) -> Node:
    if len(words) == 1 and chance.random() < 0.7:
        return Node(chance.choice(TAGS), words[0])
    cuts = sorted(chance.sample(range(1, len(words)), min(chance.randint(1, 2), len(words) - 1)))
    parts = [words[low:high] for low, high in zip([0, *cuts], [*cuts, len(words)], strict=True)]
    return Node(chance.choice(LABELS), None, tuple(tree_over(part, chance) for part in parts))


@given(st.lists(STRIPPED, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_trees_survive(texts: list[str], chance: random.Random) -> None:
    words = constituency.words_of(" ".join(texts))
    tree = tree_over(words, chance)
    text = constituency.serialise(tree)
    assert constituency.parse(text) == tree
    assert list(tree.leaves()) == words
    spec = constituency.constituency(words, labels=LABELS, tags=TAGS, max_opens=20)
    assert accepts(compiled(spec, BYTES), text)
    assert not accepts(compiled(spec, BYTES), constituency.serialise(Node("S", None, (tree, Node("N", "more")))))


@settings(max_examples=60)
@given(st.data(), st.sampled_from(Form))
def test_extracted_records_survive_and_occur_in_the_input(data: st.DataObject, form: Form) -> None:
    text = data.draw(st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1))
    places = st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True).map(sorted)
    spans = st.builds(Span, places.map(lambda cut: text[slice(*cut)]), st.sampled_from(["X", "XY"]))
    least, most = {Form.SPAN: (0, 0), Form.PAIR: (1, 1), Form.HYPER: (1, 3)}[form]
    others = st.lists(st.tuples(st.sampled_from(["r", "rs"]), spans), min_size=least, max_size=most).map(tuple)
    records = data.draw(st.lists(st.builds(Record, spans, others), max_size=3))
    written_out = lasuie.serialise(records)
    assert lasuie.parse(written_out) == records
    grammar = compiled(lasuie.lasuie(form, text, ["X", "XY"], ["r", "rs"]), BYTES)
    assert accepts(grammar, written_out)
    elsewhere = Record(Span(text + "?", "X"), (("r", Span(text, "X")),) * least)
    assert not accepts(grammar, lasuie.serialise([elsewhere]))


def test_nothing_found_is_written_as_such() -> None:
    nothing = "<extra_id_0><extra_id_4><extra_id_1>"
    assert lasuie.serialise([]) == nothing
    assert lasuie.parse(nothing) == []
    for form in Form:
        assert accepts(compiled(lasuie.lasuie(form, "abc", ["X"], ["r"]), BYTES), nothing)
    assert not accepts(compiled(closed_ie.closed_ie(["a"], ["r"]), BYTES), "")
    assert closed_ie.parse("") == []


@settings(max_examples=40)
@given(st.data())
def test_plans_and_texts_agree(data: st.DataObject) -> None:
    names = data.draw(st.lists(STRIPPED.filter(lambda name: refvlm.ENTRY_UNIT not in name), min_size=1, max_size=3))
    target = st.builds(Target, st.sampled_from(names), st.sampled_from(refvlm.UNITS), st.integers(1, 20))
    targets = tuple(data.draw(st.lists(target, max_size=3)))
    texts = tuple(data.draw(st.tuples(*[NAMES] * (len(targets) + 1))))
    text = refvlm.serialise(Answer(targets, texts))
    assert refvlm.parse(text) == Answer(targets, texts)
    grammar = compiled(refvlm.referring(names), BYTES)
    assert accepts(grammar, text)
    if targets:
        body = text.index("</Task>")
        fewer = refvlm.serialise(Answer(targets[1:], texts[1:]))
        assert not accepts(grammar, text[:body] + fewer[fewer.index("</Task>") :])
        with pytest.raises(LatticeworkError, match="planned"):
            refvlm.parse(text[:body] + fewer[fewer.index("</Task>") :])


def test_indices_may_be_read_in_both_orders() -> None:
    text = refvlm.serialise(CATS)
    assert refvlm.parse(text.replace("[0]<REF>[1]<REF>", "<REF>[0]<REF>[1]")) == CATS
    with pytest.raises(LatticeworkError, match="count up"):
        refvlm.parse(text.replace("[0]", "[5]"))


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (closed_ie.parse, "[s] a [r] b [e]"),
        (closed_ie.parse, "no triple"),
        (constituency.parse, "(S a)"),
        (constituency.parse, "[(S (N a)]"),
        (constituency.parse, "[(S a) ]"),
        (lasuie.parse, "<extra_id_0>"),
        (lasuie.parse, "<extra_id_0><extra_id_4><extra_id_1>more"),
        (refvlm.parse, "<Task>\nUnit decode (True). Class name, target unit and number:\n</Task>\n"),
        (lambda text: disambiguation.parse(text, "EU"), "EU [x"),
        (lambda text: disambiguation.parse(text, "EU"), "UE [x]"),
    ],
)
def test_other_texts_are_refused(parse, text):
    with pytest.raises(LatticeworkError) as caught:
        parse(text)
    assert caught.value.field == "output"


@pytest.mark.parametrize(
    "spec",
    [
        closed_ie.closed_ie(["Bari"], ["in"], tight=True),
        disambiguation.disambiguation("EU", ["Europe"]),
        constituency.constituency(["a"], labels=["S"], tags=["N"], max_opens=1),
    ],
)
def test_one_possible_text_is_written_whatever_the_logits(spec: GrammarSpec) -> None:
    vocabulary = vocabulary_of(["[s]Bari[r]in[o]Bari[e]", "EU [Europe]", "[(N a)]"])
    written_texts = set()
    for seed in range(5):
        logits = np.random.default_rng(seed).normal(size=(40, vocabulary.size))
        matcher, text = compiled(spec, vocabulary).matcher(), b""
        for row in logits:
            allowed = sorted(allowed_by(compiled(spec, vocabulary), matcher))
            token = allowed[int(np.argmax(row[allowed]))]
            assert matcher.accept(token)
            text += vocabulary.tokens[token]
            if matcher.finished or "[e]" in text.decode():
                break
        written_texts.add(text.decode())
    assert len(written_texts) == 1


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: closed_ie.closed_ie([], ["r"]), "entities"),
        (lambda: closed_ie.closed_ie(["a"], ["b [o] c"]), "relations"),
        (lambda: disambiguation.disambiguation("", ["a"]), "mention"),
        (lambda: disambiguation.disambiguation("a", []), "candidates"),
        (lambda: lasuie.lasuie(Form.SPAN, "a<extra_id_0>b", ["X"]), "text"),
        (lambda: lasuie.lasuie(Form.PAIR, "ab", ["X"]), "relations"),
        (lambda: compiled(constituency.constituency(["a b"]), BYTES), "words"),
        (lambda: compiled(constituency.constituency(["a", "b"], max_opens=1), BYTES), "max_opens"),
        (lambda: compiled(refvlm.referring(["a <REF>"]), BYTES), "names"),
        (lambda: compiled(refvlm.referring(["a"], max_count=0), BYTES), "max_count"),
        (lambda: compiled(lasuie.lasuie(Form.SPAN, "", ["X"]), BYTES), "text"),
    ],
)
def test_wrong_presets_name_what_is_wrong(build, field):
    with pytest.raises(GrammarError) as caught:
        build()
    assert caught.value.field.rpartition("/")[2] == field


def test_long_texts_are_over_budget() -> None:
    with pytest.raises(BudgetExceededError):
        substrings_table("a" * (MAX_CHARACTERS + 1))
