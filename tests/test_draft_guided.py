"""Guesses where nothing is forced: places in JSON, hints of schemas, memory of answers, and their drafter."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latticework.plugins.drafters import GuidedPlugin
from latticework.speculative.answer_memory import EXACT, FIRST_OTHER, LOOSE, AnswerMemory
from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView
from latticework.speculative.guided_drafter import GuidedDrafter
from latticework.speculative.json_place import JsonPlace, Phase
from latticework.speculative.json_spots import Spots
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.merge import merged
from latticework.speculative.prompt_lookup import PromptLookupDrafter
from latticework.speculative.schema_hints import SchemaHints
from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.engines.lattice import LatticeEngine

VOCABULARY = Vocabulary([None, *(bytes([b]) for b in range(256)), b'": ', b', "', b'"}', b"name", b"red"], [0])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('ab"\\{}[]:, é', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('xy"\\ ', max_size=2), inner, max_size=3),
    max_leaves=8,
)


def compiled(schema: Any) -> CompiledGrammar:
    return LatticeEngine().compile(GrammarSpec.json_schema(schema), VOCABULARY, GrammarLimits())


def ids(text: str) -> list[int]:
    return [byte + 1 for byte in text.encode()]


def text_of(tokens: list[int] | np.ndarray) -> str:
    return b"".join(VOCABULARY.tokens[int(token)] for token in tokens).decode()


SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["red", "green"]},
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        "size": {"type": "integer", "default": 42},
    },
    "required": ["kind", "name"],
    "additionalProperties": False,
    "$defs": {"tag": {"anyOf": [{"const": "new"}, {"type": "null"}]}},
}
REGEX = GrammarSpec.regex("(?:[ab]c{3}|d(?:e|ab)*e)*")


class TestFreeText(DrafterLaws):
    @pytest.fixture
    def make_drafter(self) -> MakeDrafter:
        return lambda: GuidedDrafter(PromptLookupDrafter(1), 64)


class TestUnderASchema(DrafterLaws):
    @pytest.fixture
    def make_drafter(self) -> MakeDrafter:
        return lambda: GuidedDrafter(None, 64)

    @pytest.fixture
    def grammar(self) -> CompiledGrammar:
        return compiled(SCHEMA)


class TestThePluginUnderARegex(DrafterLaws):
    @pytest.fixture
    def make_drafter(self) -> MakeDrafter:
        return lambda: GuidedPlugin().create(GuidedPlugin.options())

    @pytest.fixture
    def grammar(self) -> CompiledGrammar:
        vocabulary = Vocabulary([None, b"a", b"b", b"c", b"d", b"e", b"ab"], [0])
        return LatticeEngine().compile(REGEX, vocabulary, GrammarLimits())


@given(document=DOCUMENTS, indent=st.sampled_from([None, 1]), cut=st.integers(0, 200))
@settings(max_examples=300)
def test_places_are_where_the_text_is(document: Any, indent: int | None, cut: int) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=False).encode()
    whole, byte_by_byte = JsonPlace().advance(text), JsonPlace()
    for byte in text:
        byte_by_byte = byte_by_byte.advance(bytes([byte]))
    assert whole == byte_by_byte
    scalar = not isinstance(document, dict | list | str)
    assert whole.phase is (Phase.SCALAR if scalar else Phase.DONE)
    cut = min(cut, len(text))
    assert JsonPlace().advance(text[:cut]).advance(text[cut:]) == whole


@pytest.mark.parametrize(
    ("text", "phase", "path", "written", "empty", "seen"),
    [
        ("", Phase.VALUE, (), b"", True, ()),
        ("{", Phase.KEY, (), b"", True, ()),
        ('{"a', Phase.NAME, (), b"a", True, ()),
        ('{"a"', Phase.COLON, ("a",), b"", False, ("a",)),
        ('{"a": ', Phase.VALUE, ("a",), b"", False, ("a",)),
        ('{"a": "b\\"c', Phase.STRING, ("a",), b'b\\"c', False, ("a",)),
        ('{"a": [', Phase.VALUE, ("a", None), b"", True, ()),
        ('{"a": [1', Phase.SCALAR, ("a", None), b"1", False, ()),
        ('{"a": [1, {"b": 2}', Phase.AFTER, ("a", None), b"", False, ()),
        ('{"a": [1, {"b": 2}], ', Phase.KEY, (), b"", False, ("a",)),
        ('{"a": 1}', Phase.DONE, (), b"", True, ()),
        ("{a", Phase.LOST, (), b"", True, ()),
    ],
)
def test_a_place_knows(
    text: str, phase: Phase, path: tuple[object, ...], written: bytes, empty: bool, seen: tuple[str, ...]
) -> None:
    place = JsonPlace().advance(text.encode())
    assert (place.phase, place.path, place.text, place.seen) == (phase, path, written, seen)
    assert place.empty == empty


def hints(text: str, schema: Any = SCHEMA) -> list[str]:
    return [hint.text.decode() for hint in SchemaHints(schema).at(JsonPlace().advance(text.encode()))]


def test_strings_that_nothing_binds_are_free() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"format": "date"}, "c": {"$ref": "#/$defs/d"}}}
    schema["$defs"] = {"d": {"allOf": [{"pattern": "x"}]}}
    free = SchemaHints(schema).free
    known = {key: free(JsonPlace().advance(f'{{"{key}": "'.encode())) for key in "abcd"}
    assert known == {"a": True, "b": False, "c": False, "d": True}
    assert not free(JsonPlace().advance(b'{"a": 1'))


def test_schemas_suggest() -> None:
    assert hints("") == ["{"]
    assert hints("{") == ['"kind"', '"name"', '"tags"', '"size"', "}"]
    assert hints('{"kind": ') == ['"red"', '"green"']
    assert hints('{"kind": "g') == ['reen"']
    assert hints('{"kind": "red", ') == ['"name"', '"tags"', '"size"']
    assert hints('{"kind": "red", "na') == ['me"']
    assert hints('{"kind": "red", "name": "x"') == [",", "}"]
    assert hints('{"name": "x", "tags": [') == ['"new"', "null"]
    assert hints('{"name": "x", "size": ') == ["42"]
    assert hints('{"name": "x", "size": 4') == ["2"]
    assert hints('{"name": "x", "size": 1') == []
    assert hints('{"name": "x", "other": {"y": ') == []
    assert hints("{", {"$ref": "#/nowhere"}) == ["}"]
    assert hints("{", {"$ref": "#"}) == ["}"], "a schema that refers to itself ends"
    assert hints("[", {"items": True}) == []


def test_memory_counts_and_forgets() -> None:
    memory = AnswerMemory(2)
    for place, token in (("a", 1), ("a", 2), ("a", 2), ("a", 3), ("b", 9), ("a", 1)):
        memory.count(place, token)
    assert memory.at("a") == [(1, 2), (2, 2), (3, 1)]
    memory.count("c", 5)
    assert (memory.at("b"), memory.at("c")) == ([], [(5, 1)])
    for token in range(100, 120):
        memory.count("c", token)
    assert len(memory.at("c")) == 8
    assert memory.odds(7, 0.9) == 0.9
    for _ in range(40):
        memory.note(7, right=False)
    assert memory.odds(7, 0.9) < 0.1
    with pytest.raises(ValueError, match="at least one"):
        AnswerMemory(0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=60))
def test_what_a_memory_offers_follows_its_counts(events: list[tuple[int, int]]) -> None:
    """Offers are those of the counts, whenever they were asked for: nothing stale is offered."""
    memory, fresh = AnswerMemory(4), AnswerMemory(4)
    for place, token in events:
        memory.count(place, token)
        memory.offers(place, EXACT)
    for place, token in events:
        fresh.count(place, token)
    for place in range(3):
        offers = memory.offers(place, EXACT)
        assert offers == fresh.offers(place, EXACT)
        assert [token for token, _, _ in offers] == [token for token, _ in memory.at(place)]
        assert all(0.0 < odds < 1.0 for _, odds, _ in offers)
        exact, loose = ({kind for _, _, kind in memory.offers(place, how)} for how in (EXACT, LOOSE))
        assert not exact & loose
        assert all(0 <= kind < FIRST_OTHER for kind in exact | loose)


@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=4), cut=st.integers(1, 3))
def test_spots_are_the_places_of_the_text(documents: list[Any], cut: int) -> None:
    """A graph that remembers, and one that is started afresh all the time, lead to the places of the text."""
    tokens = [bytes([byte]) for byte in range(256)] + [b'": ', b'"}', b"ab", b"[["]
    spots = Spots(JsonPlace(), tokens, lambda place: place.phase is Phase.STRING, 7)
    for document in documents * 2:
        text = json.dumps(document, ensure_ascii=False).encode()
        spot, place, at = spots.start, JsonPlace(), 0
        while at < len(text):
            token = next(
                (len(tokens) - 1 - i for i, data in enumerate(tokens[:255:-1]) if text[at:].startswith(data)), text[at]
            )
            spot, place = spots.after(spot, token), place.advance(tokens[token])
            at += len(tokens[token])
            assert spot.place == place
            assert spot.free == (place.phase is Phase.STRING)
            if (at + cut) % 7 == 0:
                spots._known.clear()
    assert spots.after(spots.start, 9999).place == JsonPlace(), "a token without bytes leads nowhere"


def test_the_graph_of_places_is_bounded() -> None:
    spots = Spots(JsonPlace(), [bytes([byte]) for byte in range(256)], lambda place: False, 1)
    spot = spots.after(spots.start, ord('"'))
    for step in range(9000):
        spot = spots.after(spot, 97 + step % 26)
        assert len(spots._known) <= 4096
    assert len(spots.start.following) <= 1


def test_merged_drafts_keep_the_best_nodes() -> None:
    first = Draft(
        *(np.array(v, np.int32) for v in ([1, 2, 3], [ROOT, 0, 0], [1, 2, 2])), score=np.float32([0.9, 0.5, 0.2])
    )
    second = Draft(
        *(np.array(v, np.int32) for v in ([1, 3, 7], [ROOT, 0, ROOT], [1, 2, 1])), score=np.float32([0.4, 0.6, 0.1])
    )
    plain = Draft.chain([8, 9])
    tree = merged((first, second, plain), DraftBudget(5, 9))
    tree.check()
    assert tree.token.tolist() == [1, 3, 8, 2, 9]
    assert tree.score is not None
    assert tree.score.tolist() == pytest.approx([0.9, 0.6, 0.5, 0.5, 0.25])
    assert merged((first, second), DraftBudget(9, 1)).token.tolist() == [1, 7]
    assert merged((first, second), DraftBudget(9, 9, branching=False)).token.tolist() == [1, 3]
    assert not len(merged((Draft(),), DraftBudget(9, 9)))


def answer(
    drafter: Drafter, grammar: CompiledGrammar, text: str, name: str = "r", scope: str | None = "s"
) -> RequestView:
    """A request that has written ``text``, a byte a token, and goes on."""
    matcher = grammar.matcher()
    view = RequestView(name, np.array([1], np.int32), 1, matcher, scope, grammar)
    drafter.begin(view)
    for token in ids(text):
        assert matcher.accept(token)
        view.tokens = np.append(view.tokens, np.int32(token))
        drafter.observe(view, [token], None)
    return view


def best(drafter: Drafter, view: RequestView, nodes: int = 24) -> str:
    return text_of(drafter.draft(view, DraftBudget(nodes, nodes, branching=False)).token)


def test_what_the_schema_names_is_drafted_with_what_follows_from_it() -> None:
    grammar = compiled(SCHEMA)
    drafter = GuidedDrafter()
    view = answer(drafter, grammar, "")
    assert best(drafter, view, 12).startswith('{"kind": "')
    tree = drafter.draft(view, DraftBudget(40, 40))
    tree.check()
    lines: list[list[int]] = []
    for token, parent in zip(tree.token.tolist(), tree.parent.tolist(), strict=True):
        lines.append([*(lines[parent] if parent >= 0 else []), token])
    written = [text_of(line) for line in lines]
    assert any(text.startswith('{"kind": "red"') for text in written), "an alternative"
    assert any(text.startswith('{"kind": "green"') for text in written), "the other one"
    assert all(answer_is_legal(grammar, line) for line in lines)


def answer_is_legal(grammar: CompiledGrammar, tokens: list[int]) -> bool:
    matcher = grammar.matcher()
    return all(matcher.accept(token) for token in tokens)


def test_what_earlier_answers_wrote_there_is_drafted_in_its_scope_only() -> None:
    grammar = compiled(SCHEMA)
    drafter = GuidedDrafter()
    done = '{"kind": "green", "name": "Ann", "size": 7}'
    for i in range(3):
        drafter.end(answer(drafter, grammar, done, f"r{i}"))
    started = '{"kind": "green", "name": "'
    view = answer(drafter, grammar, started, "new")
    assert best(drafter, view).startswith('Ann", "size": 7')
    stranger = answer(drafter, grammar, started, "stranger", scope="t")
    assert "A" not in best(drafter, stranger)
    other = compiled({**SCHEMA, "title": "another schema"})
    assert "A" not in best(drafter, answer(drafter, other, started, "other"))


def test_records_teach_which_guesses_are_worth_it() -> None:
    """A default that nobody takes is soon no longer drafted."""
    grammar = compiled({"properties": {"n": {"type": "integer", "default": 42}}, "required": ["n"], "type": "object"})
    drafter = GuidedDrafter()
    assert best(drafter, answer(drafter, grammar, '{"n": ', "first")).startswith("42")
    for i in range(30):
        drafter.end(answer(drafter, grammar, '{"n": ' + str(i % 9 + 50) + "}", f"r{i}"))
    view = answer(drafter, grammar, '{"n": ', "last")
    assert not best(drafter, view).startswith("42")


def test_another_drafters_guesses_are_merged_in() -> None:
    grammar = compiled(SCHEMA)
    drafter = GuidedDrafter(PromptLookupDrafter(2))
    matcher = grammar.matcher()
    started = '{"kind": "red", "name": "Bo'
    prompt = ids("Bob and Bob")
    view = RequestView("r", np.array(prompt, np.int32), len(prompt), matcher, "s", grammar)
    drafter.begin(view)
    for token in ids(started):
        assert matcher.accept(token)
    view.tokens = np.array([*prompt, *ids(started)], np.int32)
    drafter.observe(view, ids(started), None)
    tree = drafter.draft(view, DraftBudget(12, 6))
    assert text_of(tree.token[:1]) == "b"
