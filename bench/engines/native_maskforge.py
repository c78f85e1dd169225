"""maskforge called directly, with its defaults (``format`` is an annotation) and no cache."""

from __future__ import annotations

import importlib
import json
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np

from latticework.bench.engines.base import RefusedError, Start, Walk
from latticework.structured import bitmask
from latticework.structured.vocabulary import Vocabulary


class NativeMaskForge:
    """``Compiler``, ``bind`` and ``Session``; a token that is not allowed raises."""

    def __init__(self, vocabulary: Vocabulary, assert_formats: bool) -> None:
        self._library = importlib.import_module("maskforge")
        self._errors = (importlib.import_module("maskforge._native").MaskforgeError, ValueError)
        self.version = f"maskforge {metadata.version('maskforge')}"
        self._end = min(vocabulary.eos_ids)
        tokens = [token or None for token in vocabulary.tokens]
        self._vocabulary = self._library.Vocabulary.from_id_ordered_tokens(
            tokens, eos_token_id=self._end, logits_vocab_size=vocabulary.size
        )
        self._compiler = self._library.Compiler.without_cache()

    def compile(self, schema: Any) -> Start:
        """See :meth:`latticework.bench.engines.base.Engine.compile`."""
        try:
            bound = self._compiler.compile(json.dumps(schema, ensure_ascii=False)).bind(self._vocabulary)
        except self._errors as error:
            raise RefusedError("unsupported", str(error)) from error

        def start() -> Walk:
            session = bound.start_session()
            buffer = bytearray(4 * bound.mask_word_count)
            row = np.frombuffer(buffer, np.int32)
            write, advance, refused = partial(session.write_mask, buffer), session.advance, self._errors

            def accept(token_id: int) -> bool:
                try:
                    advance(token_id)
                except refused:
                    return False
                return True

            return Walk(row, write, accept, lambda: bitmask.test(row, self._end))

        return start
