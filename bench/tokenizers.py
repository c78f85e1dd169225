"""Tokenizers by name or path, and the instances of a case as their tokens."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latticework.bench.data import VARIABLE, data_directory
from latticework.structured.disk_cache import user_directory
from latticework.structured.errors import LatticeworkError
from latticework.structured.vocabulary import Vocabulary

#: Every byte is a token of its own: masks say exactly which texts are allowed, however they are cut into tokens.
BYTES = "bytes"

_NAMES = {
    "llama3": ("tokenizers/llama3.json.gz", "<|eot_id|>"),
    "qwen3": ("tokenizers/qwen3.json.gz", "<|im_end|>"),
}
_SMOLLM2 = "models/SmolLM2-135M-Instruct/tokenizer.json"
#: Tokens that end an answer, by falling precision: a chat model's end of turn before the end of a text.
_END_TOKENS = (
    *("<|eot_id|>", "<|im_end|>", "<end_of_turn>", "<|end|>"),
    *("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"),
)


@dataclass(frozen=True, slots=True)
class TokenizerSource:
    """What a worker needs to build the vocabulary: a plain ``tokenizer.json`` and its end token; no path for bytes."""

    name: str
    path: str | None
    end_token: str

    def message(self) -> dict[str, Any]:
        """As the worker protocol sends it."""
        return asdict(self)

    def vocabulary(self) -> Vocabulary:
        """The vocabulary."""
        if self.path is None:
            return Vocabulary([*(bytes([byte]) for byte in range(256)), None], [256])
        return Vocabulary.from_tokenizer_json(self.path, self.end_token)


def find_tokenizer(name: str, scratch: Path) -> TokenizerSource:
    """A tokenizer by name (``llama3``, ``qwen3``, ``smollm2``, ``bytes``) or path (``tokenizer.json``, plain or gzip).

    Args:
        name: The name or path.
        scratch: A folder for an unzipped copy, which must outlive the workers.

    Raises:
        LatticeworkError: It is not there, or its end token cannot be told.
    """
    if name == BYTES:
        return TokenizerSource(BYTES, None, "")
    if name == "smollm2":
        return _source(name, user_directory() / _SMOLLM2, "<|im_end|>", scratch, "run `python -m integration.model`")
    if name in _NAMES:
        file, end_token = _NAMES[name]
        base = data_directory()
        missing = f"needs the benchmark data: point {VARIABLE} at its folder, or give the path of a tokenizer.json"
        return _source(name, base / file if base else Path(file), end_token, scratch, missing)
    known = ", ".join([*_NAMES, "smollm2", BYTES])
    return _source(Path(name).name, Path(name), None, scratch, f"neither a file nor one of {known}")


def _source(name: str, path: Path, end_token: str | None, scratch: Path, missing: str) -> TokenizerSource:
    if not path.is_file():
        raise LatticeworkError("tokenizer", f"{path}: not found; {missing}")
    if path.suffix == ".gz":
        plain = scratch / f"{name.removesuffix('.gz')}.json"
        with gzip.open(path, "rb") as packed, plain.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
        path = plain
    return TokenizerSource(name, str(path), end_token or _guess_end_token(path))


def _guess_end_token(path: Path) -> str:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    for token in _END_TOKENS:
        if tokenizer.token_to_id(token) is not None:
            return token
    raise LatticeworkError("tokenizer", f"{path}: none of the usual end tokens is in it ({', '.join(_END_TOKENS)})")
