"""Following a request: the output it has so far, and where that stands in its grammar."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from latticework.plugins import metrics
from latticework.plugins.base import Role
from latticework.plugins.guard import Guard
from latticework.speculative.drafter import TokenArray
from latticework.structured.engines.base import CompiledGrammar, Matcher

logger = logging.getLogger("latticework.plugins")

GrammarSource = Future[CompiledGrammar] | CompiledGrammar


class OutputLog:
    """The output tokens known so far: our own copy, because the engine's buffer is rewritten under us."""

    __slots__ = ("_buffer", "_length")

    def __init__(self) -> None:
        self._buffer = np.empty(64, np.int32)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def tokens(self) -> TokenArray:
        """``int32[n]``, a view."""
        return self._buffer[: self._length]

    def common_prefix(self, output: TokenArray) -> int:
        """How many leading tokens ``output`` (``int32[m]``) shares with this log."""
        length = min(len(output), self._length)
        differs = self._buffer[:length] != output[:length]
        return int(differs.argmax()) if differs.any() else length

    def extend(self, tokens: list[int]) -> None:
        """Append ``tokens``."""
        length = self._length + len(tokens)
        if length > len(self._buffer):
            grown = np.empty(2 * length, np.int32)
            grown[: self._length] = self.tokens
            self._buffer = grown
        self._buffer[self._length : length] = tokens
        self._length = length

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` tokens."""
        self._length = min(length, self._length)


class TokenBuffer:
    """Prompt and output of one request as one array: for engines that keep two Python sequences."""

    __slots__ = ("_buffer", "_length", "_prompt_length")

    def __init__(self, prompt: Sequence[int]) -> None:
        self._prompt_length = self._length = len(prompt)
        self._buffer = np.empty(2 * len(prompt) + 64, np.int32)
        self._buffer[: len(prompt)] = prompt

    def refresh(self, output: Sequence[int]) -> TokenArray:
        """``int32[n]``: prompt and ``output``, a view that is valid until the next call."""
        known = self._length - self._prompt_length
        if len(output) < known:
            known = 0
        self._length = self._prompt_length + len(output)
        if self._length > len(self._buffer):
            grown = np.empty(2 * self._length, np.int32)
            grown[: len(self._buffer)] = self._buffer
            self._buffer = grown
        self._buffer[self._prompt_length + known : self._length] = output[known:]
        return self._buffer[: self._length]


class GrammarTracker:
    """A request's matcher, kept at the end of its output; the grammar may still be compiling in another thread.

    A grammar that fails, or that refuses a token the engine has committed, is given up for this request: drafts go on
    without it, and the engine's own mask is not affected.
    """

    __slots__ = ("_fed", "_matcher", "_name", "_source")

    def __init__(self, source: GrammarSource) -> None:
        self._source: GrammarSource | None = source
        self._matcher: Matcher | None = None
        self._fed = 0  # how many output tokens the matcher has accepted
        self._name = "unknown" if isinstance(source, Future) else source.engine

    def matcher(self, output: OutputLog) -> Matcher | None:
        """The matcher at the end of ``output``; ``None`` while compiling, after the end token, or once given up."""
        with self._guard():
            if self._matcher is None and (grammar := self.grammar) is not None:
                self._name = grammar.engine
                self._matcher, self._fed = grammar.matcher(), 0
            if self._matcher is not None and self._fed < len(output):
                self._feed(self._matcher, output)
        return self._matcher

    def rewind(self, length: int) -> None:
        """The output was cut to ``length`` tokens."""
        if self._matcher is not None and self._fed > length:
            with self._guard():
                self._matcher.rollback(self._fed - length)
                self._fed = length

    @property
    def grammar(self) -> CompiledGrammar | None:
        """The grammar; ``None`` while compiling or once given up. Raises what compiling it raised."""
        if isinstance(self._source, Future):
            return self._source.result() if self._source.done() else None
        return self._source

    def _feed(self, matcher: Matcher, output: OutputLog) -> None:
        for token in output.tokens[self._fed :].tolist():
            if matcher.finished:  # told to ignore the end token, the engine writes on: there is no grammar any more
                self._give_up()
                return
            if not matcher.accept(token):
                metrics.MATCHER_DESYNCS.inc()
                logger.warning("a grammar of engine %s refused a committed token; drafting without it", self._name)
                self._give_up()
                return
            self._fed += 1

    def _guard(self) -> Guard:
        return Guard(Role.ENGINE, self._name, "this request is drafted without its grammar", on_failure=self._give_up)

    def _give_up(self) -> None:
        self._source = self._matcher = None
