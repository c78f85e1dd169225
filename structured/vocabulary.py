"""A model's vocabulary as bytes: what each token writes, which tokens write nothing, and how text is segmented.

Built once per tokenizer and shared by every grammar. The trie over the token bytes is cached on disk, keyed by content,
because sorting and building it for 128k tokens is the slowest part of starting up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latticework.structured.errors import LatticeworkError
from latticework.structured.tokenizer_bytes import TokenizerTable, load_or_read
from latticework.structured.trie import Trie, load_or_build

Encoder = Callable[[str], list[int]]


class Vocabulary:
    """Token ids and the bytes they write. Immutable; safe to share between threads.

    Attributes:
        size: ``V``, the width of the model's logits. Ids without a token (padding) are never allowed.
        tokens: ``tuple[bytes, ...]`` of length ``V``; ``b""`` for special and unused ids.
        special_ids: Tokens that write no text (end of turn, tool markers). Allowed only where a grammar names them.
        eos_ids: Tokens that end the answer. Allowed exactly where the text may end.
        special_names: Special tokens by the text that stands for them in prompts, as far as they are known.
    """

    def __init__(
        self,
        tokens: Sequence[bytes | None],
        eos_ids: Iterable[int],
        *,
        special_ids: Iterable[int] = (),
        special_names: Mapping[str, int] | None = None,
        encoder: Encoder | None = None,
        tokenizer_json: str | Path | None = None,
    ) -> None:
        self.eos_ids = frozenset(eos_ids)
        self.special_ids = frozenset(special_ids) | self.eos_ids
        self.size = len(tokens)
        if not self.eos_ids or not all(0 <= token_id < self.size for token_id in self.special_ids):
            raise LatticeworkError("vocabulary", "needs at least one end token, and special ids within the vocabulary")
        self.tokens = tuple(b"" if i in self.special_ids else (token or b"") for i, token in enumerate(tokens))
        self.special_names = dict(special_names or {})
        self._tokenizer_json = tokenizer_json
        self._encoder = encoder

    @property
    def tokenizer_json(self) -> str | None:
        """The serialized tokenizer, if there is one; the llguidance engine builds its own tables from it."""
        source = self._tokenizer_json
        return source.read_text(encoding="utf-8") if isinstance(source, Path) else source

    @classmethod
    def from_tokenizer_json(
        cls, path: str | Path, eos_token: str | Sequence[str], *, size: int | None = None
    ) -> Vocabulary:
        """Read a Hugging Face ``tokenizer.json``.

        Args:
            path: The file.
            eos_token: The token, or tokens, that end an answer.
            size: Width of the model's logits, when it is larger than the tokenizer.
        """
        file = Path(path)
        text = file.read_text(encoding="utf-8")
        table = load_or_read(text)

        @cache  # the library takes a second and a hundred megabytes, and not everybody encodes
        def tokenizer() -> Any:
            from tokenizers import Tokenizer

            return Tokenizer.from_file(str(file))

        eos_ids = []
        for name in [eos_token] if isinstance(eos_token, str) else eos_token:
            token_id = table.special_names.get(name)
            token_id = tokenizer().token_to_id(name) if token_id is None else token_id
            if token_id is None:
                raise LatticeworkError("eos_token", f"the tokenizer has no token {name!r}")
            eos_ids.append(token_id)
        return cls._from_table(table, file, tokenizer, eos_ids, size)

    @classmethod
    def from_hf(cls, tokenizer: Any, *, size: int | None = None, eos_ids: Iterable[int] | None = None) -> Vocabulary:
        """From a ``transformers`` fast tokenizer; ``size`` is the width of the model's logits if larger."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise LatticeworkError(
                "tokenizer", f"{type(tokenizer).__name__} is not a fast (tokenizers-backed) tokenizer"
            )
        if eos_ids is None:
            if tokenizer.eos_token_id is None:
                raise LatticeworkError("tokenizer", "has no end token; pass eos_ids")
            eos_ids = [tokenizer.eos_token_id]
        text = backend.to_str()
        return cls._from_table(load_or_read(text), text, lambda: backend, list(eos_ids), size)

    @classmethod
    def _from_table(
        cls,
        table: TokenizerTable,
        source: str | Path,
        tokenizer: Callable[[], Any],
        eos_ids: list[int],
        size: int | None,
    ) -> Vocabulary:
        width = max(len(table.tokens), size or 0)
        tokens: list[bytes | None] = [*table.tokens, *([None] * (width - len(table.tokens)))]

        def encode(piece: str) -> list[int]:
            ids: list[int] = tokenizer().encode(piece, add_special_tokens=False).ids
            return ids

        return cls(
            tokens,
            eos_ids,
            special_ids=table.special_names.values(),
            special_names=table.special_names,
            encoder=encode,
            tokenizer_json=source,
        )

    def with_eos(self, eos_ids: Iterable[int]) -> Vocabulary:
        """The same vocabulary ending on other tokens. The tables are shared, so this is cheap."""
        wanted = frozenset(eos_ids)
        if wanted == self.eos_ids:
            return self
        if not wanted or not all(0 <= token_id < self.size for token_id in wanted):
            raise LatticeworkError("eos_ids", "needs at least one id, all of them within the vocabulary")
        copy = object.__new__(Vocabulary)
        copy.__dict__.update({k: v for k, v in self.__dict__.items() if k != "fingerprint"})
        # A stop token with text of its own keeps its bytes in the shared trie; masks clear it (see runtime.walks).
        copy.eos_ids, copy.special_ids = wanted, self.special_ids | wanted
        copy.__dict__["trie"] = self.trie
        return copy

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of everything that decides a mask: bytes of every token, special ids, end tokens."""
        digest = hashlib.sha256(self._content_key.encode())
        digest.update(np.array(sorted(self.eos_ids), np.int64).tobytes())
        digest.update(np.array(sorted(self.special_ids), np.int64).tobytes())
        return digest.hexdigest()

    @cached_property
    def _content_key(self) -> str:
        digest = hashlib.sha256(np.array([len(token) for token in self.tokens], np.int64).tobytes())
        digest.update(b"".join(self.tokens))
        return digest.hexdigest()

    @cached_property
    def trie(self) -> Trie:
        """The depth-first trie over the token bytes (layout: :mod:`latticework.structured.trie`)."""
        return load_or_build(self.tokens, self._content_key)

    @cached_property
    def single_bytes(self) -> npt.NDArray[np.bool_]:
        """``bool[256]``: which bytes are a token of their own. Where all are, every text can be spelled."""
        present = np.zeros(256, np.bool_)
        for token in self.tokens:
            if len(token) == 1:
                present[token[0]] = True
        return present

    def encode(self, text: bytes) -> list[int] | None:
        """Segment ``text`` as the tokenizer itself would, without special tokens.

        Greedy longest match stands in where there is no tokenizer, or where its answer does not spell ``text`` exactly
        (normalizers and invalid UTF-8 do that). ``None``: no sequence of tokens was found.
        """
        if self._encoder is not None:
            try:
                ids = self._encoder(text.decode("utf-8"))
            except UnicodeDecodeError:
                ids = []
            if ids and b"".join(self.tokens[token_id] for token_id in ids) == text:
                return ids
        return self.trie.longest_match(text)
