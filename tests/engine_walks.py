"""Random texts that an engine's masks allow, and whether a given text is allowed: shared by the engine tests."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from latticework.structured import Vocabulary, bitmask
from latticework.structured.engines.base import CompiledGrammar, Matcher

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
_TEXT = [
    'The name of the country is {"name": "Peru", "population": 34000000, "capital": "Lima"}.',
    "def forced(tokens): return [token for token in tokens if token is not None]",
    '{"type": "object", "properties": {"country_code": {"enum": ["DE", "FR"]}}, "required": ["country_code"]}',
    "Grüße aus München, こんにちは, 12345 67890 true false null\n\t",
] * 4

#: Every byte is a token of its own and nothing else is: walks take small steps, so they reach odd places.
BYTES = Vocabulary([bytes([byte]) for byte in range(256)] + [None], [256])


def small_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer trained in-process, with two special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=460, special_tokens=[IM_START, IM_END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    return tokenizer


def small_vocabulary(tmp_path: Any) -> Vocabulary:
    """The vocabulary of :func:`small_tokenizer`, padded as models pad their logits."""
    path = tmp_path / "tokenizer.json"
    path.write_text(small_tokenizer().to_str(), encoding="utf-8")
    return Vocabulary.from_tokenizer_json(path, eos_token=IM_END, size=470)


def mask_of(matcher: Matcher, vocabulary: Vocabulary) -> list[int]:
    row = np.zeros(bitmask.words(vocabulary.size), np.int32)
    matcher.fill_bitmask(row)
    allowed: list[int] = bitmask.indices(row).tolist()
    return allowed


def accepts(grammar: CompiledGrammar, text: str | bytes) -> bool:
    """Whether the grammar takes the whole text and may end there, with the tokenizer's own segmentation."""
    data = text if isinstance(text, bytes) else text.encode()
    tokens = grammar.vocabulary.encode(data) if data else []
    assert tokens is not None
    matcher = grammar.matcher()
    return all(matcher.accept(token) for token in tokens) and matcher.can_end


# Structure is likelier than text and rare bytes are rare, so that walks close what they open.
_WEIGHTS: defaultdict[int, float] = defaultdict(lambda: 1.0)
_WEIGHTS.update(
    {ord('"'): 40, **dict.fromkeys(b"}]", 30), **dict.fromkeys(b",:", 20), **dict.fromkeys(b"0123456789.eE-+", 8)}
)
_WEIGHTS.update({**dict.fromkeys(b" \n\r\t", 0.3), **dict.fromkeys(range(128, 256), 0.05)})
_WEIGHTS.update(dict.fromkeys(b"abcdefghijklmnopqrstuvwxyz", 3))


def texts(grammar: CompiledGrammar, count: int, seed: int = 0, longest: int = 250) -> Iterator[bytes]:
    """Up to ``count`` complete random texts of a grammar over :data:`BYTES`; walks that do not end are dropped."""
    chance = random.Random(seed)
    for _ in range(count):
        matcher, text = grammar.matcher(), bytearray()
        for _ in range(longest):
            if matcher.can_end and chance.random() < 0.35:
                yield bytes(text)
                break
            allowed = [byte for byte in mask_of(matcher, BYTES) if byte < 256]
            if not allowed:
                assert matcher.can_end, f"dead end after {bytes(text)!r}"
                yield bytes(text)
                break
            byte = chance.choices(allowed, [_WEIGHTS[byte] for byte in allowed])[0]
            assert matcher.accept(byte), f"the mask offered {byte} after {bytes(text)!r}"
            text.append(byte)


def spellings(instance: Any) -> set[str]:
    """The ways in which a JSON document is usually written."""
    return {
        json.dumps(instance, ensure_ascii=False, separators=(",", ":")),
        json.dumps(instance, ensure_ascii=False),
        json.dumps(instance),
    }
