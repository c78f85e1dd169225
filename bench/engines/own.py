"""The engines that latticework serves with: ``lattice``, and ``llguidance`` and ``xgrammar`` as it wraps them."""

from __future__ import annotations

from functools import partial
from importlib import metadata
from typing import Any

import numpy as np

from latticework.bench.engines.base import RefusedError, Start, Walk
from latticework.structured import bitmask
from latticework.structured.engines.select import clear_cache, compile_grammar
from latticework.structured.engines.warming import warm_up
from latticework.structured.errors import BudgetExceededError, LatticeworkError, UnsupportedGrammarError
from latticework.structured.json_options import JsonOptions, Order
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

LATTICE = "lattice"
_DISTRIBUTIONS = {LATTICE: "latticework"}


class OwnEngine:
    """``lattice`` takes keys in any order, the library's default; the wrapped engines know declared order only."""

    def __init__(self, name: str, vocabulary: Vocabulary, assert_formats: bool) -> None:
        distribution = _DISTRIBUTIONS.get(name, name)
        self.version = f"{distribution} {metadata.version(distribution)}"
        self._name = name
        self._vocabulary = vocabulary
        self._options = JsonOptions()
        if name == LATTICE:
            self._options = JsonOptions(order=Order.ANY, assert_formats=assert_formats)
            warm_up()

    def compile(self, schema: Any) -> Start:
        """See :meth:`latticework.bench.engines.base.Engine.compile`."""
        clear_cache()  # so that a schema that was seen before is compiled again, and peak memory is that of one grammar
        try:
            spec = GrammarSpec.json_schema(schema, self._options)
            grammar = compile_grammar(spec, self._vocabulary, self._name)
        except UnsupportedGrammarError as error:
            raise RefusedError("unsupported", error.reason) from error
        except BudgetExceededError as error:
            raise RefusedError("budget", error.reason) from error
        except LatticeworkError as error:
            raise RefusedError("invalid", error.reason) from error

        def start() -> Walk:
            matcher = grammar.matcher()
            row = np.zeros(bitmask.words(self._vocabulary.size), np.int32)
            return Walk(row, partial(matcher.fill_bitmask, row), matcher.accept, lambda: matcher.can_end)

        return start
