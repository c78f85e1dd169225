"""A request's position in a configuration graph: a pointer with a history that forks share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latticework.structured import bitmask
from latticework.structured.bitmask import Bitmask
from latticework.structured.runtime.graph import ConfigurationGraph
from latticework.structured.runtime.kernels import DEAD

#: ``(what came before, configuration before the token, token)``: immutable, so that forking copies nothing.
_History = tuple["_History", int, int] | None

#: Tokens looked back over when forced text is segmented, so that merges across the boundary come out right.
_CONTEXT_TOKENS = 4


class LatticeMatcher:
    """See :class:`latticework.structured.engines.base.Matcher`."""

    __slots__ = ("_configuration", "_finished", "_graph", "_history")

    def __init__(self, graph: ConfigurationGraph) -> None:
        self._graph = graph
        self._configuration = graph.start
        self._history: _History = None
        self._finished = False

    def fill_bitmask(self, row: Bitmask) -> None:
        """See :meth:`Matcher.fill_bitmask`."""
        if self._finished:
            row[:] = 0
            return
        mask = self._graph.mask(self._configuration)
        row[: len(mask)] = mask
        row[len(mask) :] = 0

    def accept(self, token_id: int) -> bool:
        """See :meth:`Matcher.accept`."""
        target = self._next(self._configuration, token_id) if not self._finished else DEAD
        if target == DEAD:
            return False
        self._history = (self._history, self._configuration, token_id)
        self._finished = token_id in self._graph.vocabulary.eos_ids
        self._configuration = target
        return True

    def count_valid(self, token_ids: Sequence[int]) -> int:
        """See :meth:`Matcher.count_valid`."""
        configuration, finished = self._configuration, self._finished
        for count, token_id in enumerate(token_ids):
            configuration = DEAD if finished else self._next(configuration, token_id)
            if configuration == DEAD:
                return count
            finished = token_id in self._graph.vocabulary.eos_ids
        return len(token_ids)

    def rollback(self, count: int) -> None:
        """See :meth:`Matcher.rollback`."""
        configuration, history = self._configuration, self._history
        for _ in range(count):
            if history is None:
                raise ValueError(f"cannot roll back {count} tokens: fewer were accepted")
            history, configuration, _token = history
        if count:
            self._configuration, self._history, self._finished = configuration, history, False

    def fork(self) -> LatticeMatcher:
        """See :meth:`Matcher.fork`."""
        copy = LatticeMatcher(self._graph)
        copy._configuration, copy._history, copy._finished = (
            self._configuration,
            self._history,
            self._finished,
        )
        return copy

    def forced_tokens(self, limit: int = 32) -> list[int]:
        """See :meth:`Matcher.forced_tokens` (speculative spec, section 20, steps 3 and 4)."""
        tokens: list[int] = []
        if self._finished:
            return tokens
        configuration = self._configuration
        if text := self._graph.forced_bytes(configuration):
            tokens = self._segment(text)
            valid = self.count_valid(tokens)
            tokens = tokens[:valid]
            if sum(len(self._graph.vocabulary.tokens[t]) for t in tokens) < len(text):
                return tokens[:limit]  # the rest of the forced text is not certain to be split like this
            for token_id in tokens:
                configuration = self._next(configuration, token_id)
        # With no byte left to choose, a single legal token can only be an end or special token.
        mask = self._graph.mask(configuration)
        if bitmask.count(mask) == 1:
            tokens.append(int(bitmask.indices(mask)[0]))
        return tokens[:limit]

    @property
    def can_end(self) -> bool:
        """See :attr:`Matcher.can_end`."""
        return not self._finished and self._graph.accepts(self._configuration)

    @property
    def finished(self) -> bool:
        """See :attr:`Matcher.finished`."""
        return self._finished

    @property
    def configuration(self) -> int:
        """The number of the current configuration: equal numbers mean equal futures."""
        return self._configuration

    def _next(self, configuration: int, token_id: int) -> int:
        if token_id in self._graph.vocabulary.eos_ids:
            return configuration if self._graph.accepts(configuration) else DEAD
        if not 0 <= token_id < self._graph.vocabulary.size:
            return DEAD
        return self._graph.step(configuration, token_id)

    def _segment(self, text: bytes) -> list[int]:
        """``text`` as the tokenizer writes it after the tokens already there, without what might still merge."""
        vocabulary = self._graph.vocabulary
        context: list[int] = []
        history = self._history
        while history is not None and len(context) < _CONTEXT_TOKENS:
            context.append(history[2])
            history = history[0]
        context.reverse()
        before = b"".join(vocabulary.tokens[t] for t in context)
        ids = vocabulary.encode(before + text) or []
        ids = ids[len(context) :] if ids[: len(context)] == context else vocabulary.encode(text) or []
        if ids and vocabulary.trie.extends(vocabulary.tokens[ids[-1]]) and self._goes_on(text):
            ids.pop()
        return ids

    def _goes_on(self, text: bytes) -> bool:
        """Whether anything can be written after the forced ``text``."""
        return self._graph.continues_after(self._configuration, text)


def fill_bitmasks(matchers: Sequence[LatticeMatcher], rows: Bitmask) -> None:
    """Fill ``rows`` (``int32[len(matchers), >= words]``) for a whole batch."""
    for row, matcher in zip(np.atleast_2d(rows), matchers, strict=True):
        matcher.fill_bitmask(row)
