"""xgrammar called directly: ``strict_mode=False``, which is what JSON Schema means, and otherwise its defaults."""

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


class NativeXGrammar:
    """``GrammarCompiler`` with one thread and no cache, and ``GrammarMatcher``."""

    def __init__(self, vocabulary: Vocabulary, assert_formats: bool) -> None:
        self._library = importlib.import_module("xgrammar")
        self.version = f"xgrammar {metadata.version('xgrammar')}"
        self._words = bitmask.words(vocabulary.size)
        self._ends = sorted(vocabulary.eos_ids)
        info = self._library.TokenizerInfo(
            list(vocabulary.tokens),
            self._library.VocabType.RAW,
            vocab_size=vocabulary.size,
            stop_token_ids=self._ends,
        )
        self._compiler = self._library.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    def compile(self, schema: Any) -> Start:
        """See :meth:`latticework.bench.engines.base.Engine.compile`."""
        try:
            compiled = self._compiler.compile_json_schema(json.dumps(schema, ensure_ascii=False), strict_mode=False)
        except (RuntimeError, ValueError, TypeError) as error:
            raise RefusedError("unsupported", str(error).rpartition("\n")[2] or type(error).__name__) from error

        def start() -> Walk:
            matcher = self._library.GrammarMatcher(compiled)
            rows = np.full((1, self._words), -1, np.int32)
            row = rows[0]
            before = partial(row.fill, -1)  # a mask that allows everything is left as it is

            def fill() -> None:
                before()
                matcher.fill_next_token_bitmask(rows)

            return Walk(row, fill, matcher.accept_token, lambda: bitmask.test(row, self._ends[0]))

        return start
