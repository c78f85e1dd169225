"""Which bytes each token of a Hugging Face ``tokenizer.json`` writes.

Two families cover the models that the engines serve. *Byte-level BPE* (GPT-2, Llama 3, Qwen, SmolLM) spells every byte
as one printable character. *SentencePiece with byte fallback* (Llama 2, Mistral, Gemma) writes ``▁`` for a space and
``<0x0A>`` for a byte that has no token. The tokenizer's own decoder says which of the two it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from latticework.structured import disk_cache
from latticework.structured.errors import LatticeworkError

_FORMAT = "tokenizer-1"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class TokenizerTable:
    """``tokens[id]`` is what the id writes (``None``: nothing, the id is special or unused).

    ``special_names`` are the special tokens by the text that stands for them in prompts.
    """

    tokens: list[bytes | None]
    special_names: dict[str, int]


def load_or_read(text: str) -> TokenizerTable:
    """:func:`read_tokenizer_json`, from the user's cache if it was read before: that takes a hundredth of the time."""
    path = disk_cache.path_of(_FORMAT, hashlib.sha256(text.encode()).hexdigest())
    stored = disk_cache.load(path)
    if stored is not None:
        ends = np.cumsum(np.maximum(stored["length"], 0)).tolist()
        data = stored["text"].tobytes()
        tokens = [
            None if length < 0 else data[end - length : end]
            for length, end in zip(stored["length"].tolist(), ends, strict=True)
        ]
        return TokenizerTable(tokens, json.loads(stored["special_names"].tobytes()))
    table = read_tokenizer_json(text)
    if len(table.tokens) < disk_cache.WORTH_A_FILE:
        return table
    names = np.frombuffer(json.dumps(table.special_names).encode(), np.uint8)
    length = np.array([-1 if token is None else len(token) for token in table.tokens], np.int32)
    content = np.frombuffer(b"".join(token or b"" for token in table.tokens), np.uint8)
    disk_cache.store(path, {"length": length, "text": content, "special_names": names})
    return table


def read_tokenizer_json(text: str) -> TokenizerTable:
    """Read the serialized tokenizer. Raises ``LatticeworkError`` for a family other than the two above."""
    data = json.loads(text)
    pieces = _pieces(data["model"])
    kinds = _decoder_kinds(data.get("decoder"))
    if "ByteLevel" in kinds:
        to_bytes = _byte_level
    elif "ByteFallback" in kinds or "Metaspace" in kinds:
        to_bytes = _byte_fallback
    else:
        raise LatticeworkError(
            "tokenizer",
            f"decoder {sorted(kinds) or 'none'} is neither byte-level BPE nor SentencePiece byte fallback",
        )
    added: list[dict[str, Any]] = data.get("added_tokens", [])
    size = 1 + max([*pieces.values(), *(token["id"] for token in added)], default=-1)
    tokens: list[bytes | None] = [None] * size
    for piece, token_id in pieces.items():
        tokens[token_id] = to_bytes(piece)
    special = {}
    for token in added:
        # An added token that is not special is ordinary text, written verbatim whatever the family.
        tokens[token["id"]] = None if token["special"] else token["content"].encode()
        if token["special"]:
            special[token["content"]] = token["id"]
    return TokenizerTable(tokens, special)


def _pieces(model: dict[str, Any]) -> dict[str, int]:
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        return dict(vocab)
    return {piece: token_id for token_id, (piece, _score) in enumerate(vocab)}  # Unigram: a list of pairs


def _decoder_kinds(decoder: dict[str, Any] | None) -> set[str]:
    if decoder is None:
        return set()
    nested = decoder.get("decoders", [])
    return {decoder["type"]}.union(*(_decoder_kinds(inner) for inner in nested))


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: printable Latin-1 as itself, the other bytes moved up from U+0100 in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    alphabet.update({chr(0x100 + i): byte for i, byte in enumerate(others)})
    return alphabet


_ALPHABET = _byte_alphabet()


def _byte_level(piece: str) -> bytes:
    try:
        return bytes(_ALPHABET[character] for character in piece)
    except KeyError:
        return piece.encode()  # a piece outside the alphabet can only have been put there verbatim


def _byte_fallback(piece: str) -> bytes:
    if match := _BYTE_TOKEN.fullmatch(piece):
        return bytes([int(match[1], 16)])
    return piece.replace("▁", " ").encode("utf-8", "surrogatepass")
