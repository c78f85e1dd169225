"""The mask runtime on JSON: captured keys, cost that does not depend on the machine, vocabularies with gaps, memory."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from engine_walks import BYTES

from latticework.structured import bitmask
from latticework.structured.json_machine.entry import json_source
from latticework.structured.limits import GrammarLimits
from latticework.structured.runtime.layout import PLACE
from latticework.structured.runtime.lexeme_masks import LEXEME_MASKS, LexemeMasks, address_of, form_of
from latticework.structured.runtime.machine import Machine
from latticework.structured.runtime.matcher import LatticeMatcher
from latticework.structured.runtime.ready import Ring
from latticework.structured.vocabulary import Vocabulary

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 8},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "size": {"type": "integer", "minimum": 1, "maximum": 250},
    },
    "required": ["name"],
}
TEXT = b'{"name": "caf\xc3\xa9", "tags": ["a", "ab"], "size": 25, "other": {"x": [1.5, null]}, "more": true}'


def machine_of(schema: object, vocabulary: Vocabulary, limits: GrammarLimits = GrammarLimits()) -> Machine:  # noqa: B008
    return Machine(json_source(schema), vocabulary, limits, "json_schema")


def mask_of(matcher: LatticeMatcher, vocabulary: Vocabulary) -> set[int]:
    row = np.zeros(bitmask.words(vocabulary.size), np.int32)
    matcher.fill_bitmask(row)
    return set(bitmask.indices(row).tolist())


def written(matcher: LatticeMatcher, text: bytes) -> bool:
    return all(matcher.accept(byte) for byte in text)


def test_many_captured_keys() -> None:
    """A long object with keys of its own: every new key is taken, no key twice, and the mask says so."""
    matcher = LatticeMatcher(machine_of({"type": "object"}, BYTES))
    assert written(matcher, b'{"key 0": 0')
    for number in range(1, 400):
        assert written(matcher, b', "key %d": %d' % (number, number)), number
    assert written(matcher, b', "key 7')
    assert ord('"') not in mask_of(matcher, BYTES)
    assert ord("0") in mask_of(matcher, BYTES)
    assert not matcher.fork().accept(ord('"'))
    assert written(matcher, b'x": 1}')
    assert matcher.can_end


def test_many_texts_tried_at_one_place() -> None:
    """What a mask or a draft only tries must not wear the machine out."""
    machine = machine_of({"type": "object"}, BYTES, GrammarLimits(max_states=300))
    matcher = LatticeMatcher(machine)
    assert written(matcher, b'{"')
    for number in range(600):
        fork = matcher.fork()
        assert written(fork, b'%d": "a"}' % number)
        assert fork.can_end
    assert written(matcher, b'a": 1}')
    assert machine.latest is not machine


@pytest.mark.parametrize("seed", range(1))
def test_real_masks_equal_what_accept_takes(seed: int, smollm2_vocabulary: Vocabulary) -> None:
    """Over the whole vocabulary, at random places of a document."""
    chance = random.Random(seed)
    tokens = smollm2_vocabulary.encode(TEXT) or []
    for _ in range(2):
        matcher = LatticeMatcher(machine_of(SCHEMA, smollm2_vocabulary))
        assert all(matcher.accept(token_id) for token_id in tokens[: chance.randrange(len(tokens))])
        allowed = mask_of(matcher, smollm2_vocabulary)
        assert allowed == {t for t in range(smollm2_vocabulary.size) if matcher.fork().accept(t)}


def test_rare_text_is_allowed_in_a_vocabulary_with_gaps(smollm2_vocabulary: Vocabulary) -> None:
    """SmolLM2 lacks some single bytes, which no JSON document needs."""
    assert not smollm2_vocabulary.single_bytes.all()
    matcher = LatticeMatcher(machine_of(SCHEMA, smollm2_vocabulary))
    text = '{"name": "𝒜я"}'.encode()
    assert all(matcher.accept(token_id) for token_id in smollm2_vocabulary.encode(text) or [])
    assert matcher.can_end


def test_cost_of_masks_is_small(smollm2_vocabulary: Vocabulary) -> None:
    """Trie nodes looked at for a document, and configurations found: independent of the machine it runs on."""
    matcher = LatticeMatcher(machine_of(SCHEMA, smollm2_vocabulary))  # finds what is shared by all grammars
    for token_id in smollm2_vocabulary.encode(TEXT) or []:
        mask_of(matcher, smollm2_vocabulary)
        matcher.accept(token_id)
    machine = machine_of(SCHEMA, smollm2_vocabulary)
    matcher = LatticeMatcher(machine)
    tokens = smollm2_vocabulary.encode(TEXT) or []
    made = LEXEME_MASKS.made
    for token_id in tokens:
        mask_of(matcher, smollm2_vocabulary)
        assert matcher.accept(token_id)
    record = machine._arrays.record
    assert LEXEME_MASKS.made - made <= 3  # states that are seen for the third time
    assert record[PLACE["live"]] < 250 * len(tokens)
    assert record[PLACE["skipped"]] < 1500 * len(tokens)
    assert record[PLACE["configuration_count"]] <= 2 * len(tokens)


def test_lexeme_masks_are_evicted_within_the_budget(smollm2_vocabulary: Vocabulary) -> None:
    words = bitmask.words(smollm2_vocabulary.size)
    masks = LexemeMasks(max_bytes=40 * words)
    table = json_source({"type": "string", "pattern": "^[a-z]+-[0-9]+$"}).start().table
    form = form_of(table)
    for state in range(table.states):
        shape = form.shape(state)
        masks.get(form, shape, frozenset(range(len(shape.results))), smollm2_vocabulary.trie, words)
        kept = sum(mask.cost for mask in masks._masks[smollm2_vocabulary.trie].values())
        assert kept <= 40 * words or len(masks._masks[smollm2_vocabulary.trie]) == 1
    assert masks.generation > 0


def test_ready_masks_are_written_over_the_oldest(smollm2_vocabulary: Vocabulary) -> None:
    """In a ring with room for few masks, every mask is what it was when it was made."""
    ring = Ring(50_000)
    names = {f"name{i}": {"type": "string"} for i in range(40)}
    machine = machine_of({"type": "object", "properties": names}, smollm2_vocabulary)
    machine._arrays.record[PLACE["ring"]] = address_of(ring.control)
    texts = [json.dumps({f"name{i}": f"value {i}" for i in range(first, first + 5)}) for first in range(35)]
    row = bitmask.allocate(1, smollm2_vocabulary.size)[0]
    made: dict[int, bytes] = {}
    for text in texts + texts:
        matcher = LatticeMatcher(machine)
        for token_id in smollm2_vocabulary.encode(text.encode()) or []:
            row[:] = -1
            matcher.fill_bitmask(row)
            assert made.setdefault(matcher.configuration, row.tobytes()) == row.tobytes()
            assert matcher.accept(token_id)
    assert ring.control[2] > 10 * len(ring._data)


@pytest.mark.parametrize(
    ("pattern", "letters", "beginning", "longest"),
    [
        ("^[0-9a-zA-Z_-]{1,255}$", b"aZ0_", b"", 255),
        ("^[a-z]{150}$", b"abz", b"", 150),
        ("^[A-Z].{8,300}$", b'a.\\"\xc3\xa9', b"A", 301),
        ("^(?:[a-z]{1,63}\\.){2}[a-z]{100,200}$", b"ab.", b"xy.zz.", 206),
    ],
)
def test_masks_of_long_patterns_equal_what_accept_takes(
    pattern: str, letters: bytes, beginning: bytes, longest: int
) -> None:
    """States far from the end of a long pattern share one mask; tokens reach further than what they are compared by."""
    chance = random.Random(pattern)
    tokens = {bytes([byte]) for byte in range(256)}
    while len(tokens) < 1500:
        length = chance.choice((2, 3, 5, 8, 20, 23, 24, 25, 26, 30, 60, 90))
        tokens.add(bytes(chance.choices(letters, k=length)) + chance.choice((b"", b"", b'"', b'"}', b"\n")))
        tokens.add(letters[:1] * chance.randrange(1, 100) + chance.choice((b"", b'"', b"-", b'","')))
    vocabulary = Vocabulary([*sorted(tokens), None], [len(tokens)])
    made = LEXEME_MASKS.made
    machine = machine_of({"type": "array", "items": {"type": "string", "pattern": pattern}}, vocabulary)
    machine._arrays.record[PLACE["budget"]] = 20  # whatever is not at once done has a lexeme mask
    room = longest - len(beginning)
    for count in (0, 1, 2, 7, 40, 41, 42, 60, 90, *(room - left for left in (60, 48, 27, 25, 24, 23, 12, 1, 0))):
        matcher = LatticeMatcher(machine)
        if written_tokens(matcher, vocabulary, b'["' + beginning + letters[:1] * count):
            assert mask_of(matcher, vocabulary) == {t for t in range(vocabulary.size) if matcher.fork().accept(t)}
    assert 1 <= LEXEME_MASKS.made - made <= 14


def written_tokens(matcher: LatticeMatcher, vocabulary: Vocabulary, text: bytes) -> bool:
    return all(matcher.accept(vocabulary.tokens.index(bytes([byte]))) for byte in text)
