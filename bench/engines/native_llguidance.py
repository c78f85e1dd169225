"""llguidance called directly, with its own reading of JSON Schema and its default layout (blanks are free)."""

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


class NativeLLGuidance:
    """``LLMatcher``; the mask is written through a pointer, as its own numpy helper does it."""

    def __init__(self, vocabulary: Vocabulary, assert_formats: bool) -> None:
        from latticework.structured.engines.llguidance import build_tokenizer

        self._library = importlib.import_module("llguidance")
        self.version = f"llguidance {metadata.version('llguidance')}"
        self._vocabulary = vocabulary
        self._tokenizer = build_tokenizer(vocabulary)
        self._end = min(vocabulary.eos_ids)

    def compile(self, schema: Any) -> Start:
        """See :meth:`latticework.bench.engines.base.Engine.compile`."""
        matcher_class = self._library.LLMatcher
        grammar = matcher_class.grammar_from_json_schema(json.dumps(schema))
        prototype = matcher_class(self._tokenizer, grammar, log_level=0)
        if prototype.is_error():
            reason = str(prototype.get_error()).partition("\n")[0]
            raise RefusedError("invalid" if "Unsatisfiable" in reason else "unsupported", reason)

        def start() -> Walk:
            matcher = prototype.deep_copy()
            row = np.zeros(bitmask.words(self._vocabulary.size), np.int32)
            fill = partial(matcher.unsafe_compute_mask_ptr, row.ctypes.data, row.nbytes)
            return Walk(row, fill, matcher.consume_token, lambda: bitmask.test(row, self._end))

        return start
