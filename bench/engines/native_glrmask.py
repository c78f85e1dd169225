"""glrmask called directly, with its defaults."""

from __future__ import annotations

import importlib
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np

from latticework.bench.engines.base import RefusedError, Start, Walk
from latticework.structured import bitmask
from latticework.structured.vocabulary import Vocabulary


class NativeGLRMask:
    """Its vocabulary holds the tokens that write text; where a text may end it says by ``is_accepting``."""

    def __init__(self, vocabulary: Vocabulary, assert_formats: bool) -> None:
        self._library = importlib.import_module("glrmask")
        self.version = f"glrmask {metadata.version('glrmask')}"
        self._words = bitmask.words(vocabulary.size)
        tokens = {token_id: token for token_id, token in enumerate(vocabulary.tokens) if token}
        self._vocabulary = self._library.Vocab.from_id_to_bytes(tokens)

    def compile(self, schema: Any) -> Start:
        """See :meth:`latticework.bench.engines.base.Engine.compile`."""
        try:
            constraint = self._library.Grammar.from_json_schema(schema).compile(self._vocabulary)
        except (ValueError, TypeError, RuntimeError) as error:
            raise RefusedError("unsupported", str(error)) from error
        words = max(self._words, constraint.mask_len())

        def start() -> Walk:
            state = constraint.start()
            row = np.zeros(words, np.int32)
            return Walk(row, partial(state.fill_mask, row), state.commit_token, state.is_accepting)

        return start
