"""A request's matcher as the engine's scheduler needs it: it never raises, and a failure ends that one request only.

An exception in a mask would end the engine process, and with it every request. So a position whose mask cannot be
computed gets one that allows what no text consists of, special tokens other than end tokens, and is remembered;
whatever is then written there is not accepted, the engine ends that one request with an error, and
:attr:`Enforcement.failure` says why. End tokens would not do: an engine that looks for them before it asks the grammar
takes the text for complete.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from latticework.plugins.base import Role
from latticework.plugins.guard import isolatable, report
from latticework.plugins.mask_counts import is_timed, timed
from latticework.structured.bitmask import Bitmask, clear_bit, set_bit, words
from latticework.structured.engines.base import CompiledGrammar, Matcher

_CONSEQUENCE = "one request ends here with an error"


class Enforcement:
    """One request's position in its grammar.

    Attributes:
        compiled: The grammar.
        failure: Why the request must end; ``None`` while all is well.
    """

    __slots__ = ("_dead_end", "_matcher", "_tokens", "compiled", "failure")

    def __init__(self, compiled: CompiledGrammar) -> None:
        self.compiled = compiled
        self.failure: str | None = None
        self._matcher: Matcher = compiled.matcher()
        self._tokens: list[int] = []
        # Where no mask could be computed, and why; ``None`` for the place: the matcher's position is lost.
        self._dead_end: tuple[list[int] | None, str] | None = None

    @property
    def finished(self) -> bool:
        """Whether an end token was accepted."""
        return self._matcher.finished

    def accept(self, token: int) -> bool:
        """Advance. ``False``: the request must end, :attr:`failure` says why."""
        if self._dead_end is not None and self._is_dead():
            self.failure = f"the constraint could not be enforced any further ({self._dead_end[1]})"
            return False
        try:
            accepted = self._matcher.accept(token)
        except BaseException as error:
            self.failure = f"the constraint could not be followed ({self._isolated(error)})"
            return False
        if not accepted:
            self.failure = f"token {token} was written although the constraint forbids it"
            return False
        self._tokens.append(token)
        return True

    def count_valid(self, tokens: Sequence[int]) -> int:
        """How many leading tokens would be accepted."""
        try:
            return self._matcher.count_valid(tokens)
        except BaseException as error:
            self._isolated(error, "the draft is dropped")
            return 0

    def rollback(self, count: int) -> None:
        """Undo the last ``count`` accepted tokens."""
        if not count:
            return
        del self._tokens[-count:]
        try:
            self._matcher.rollback(count)
        except BaseException as error:
            self._dead_end = (None, self._isolated(error))

    def fill(self, row: Bitmask) -> None:
        """Write the mask of this position into ``row`` (``int32[>= 1]``, all words are written)."""
        if not is_timed():
            self._fill_or_end(row)
            return
        began = time.perf_counter()
        self._fill_or_end(row)
        timed(self.compiled.engine, time.perf_counter() - began)

    def _fill_or_end(self, row: Bitmask) -> None:
        try:
            if self._is_dead():
                self._allow_no_text(row)
            else:
                self._fill(row)
        except BaseException as error:
            self._dead_end = (self._tokens.copy(), self._isolated(error))
            self._allow_no_text(row)

    def forced_tokens(self) -> list[int]:
        """See :meth:`Matcher.forced_tokens`; none if that fails."""
        try:
            return self._matcher.forced_tokens()
        except BaseException as error:
            self._isolated(error, "nothing is jumped over")
            return []

    def fork(self) -> Enforcement:
        """An independent one at the same position."""
        copy = Enforcement.__new__(Enforcement)
        copy.compiled, copy.failure = self.compiled, self.failure
        copy._matcher, copy._tokens, copy._dead_end = self._matcher.fork(), self._tokens.copy(), self._dead_end
        return copy

    def _is_dead(self) -> bool:
        return self._dead_end is not None and self._dead_end[0] in (None, self._tokens)

    def _fill(self, row: Bitmask) -> None:
        width = words(self.compiled.vocabulary.size)
        if len(row) >= width:
            self._matcher.fill_bitmask(row)
            return
        # A tokenizer may know more tokens than the model has logits for.
        whole = np.zeros(width, np.int32)
        self._matcher.fill_bitmask(whole)
        row[:] = whole[: len(row)]

    def _allow_no_text(self, row: Bitmask) -> None:
        vocabulary, width = self.compiled.vocabulary, 32 * len(row)
        row.fill(0)
        for token_id in vocabulary.special_ids - vocabulary.eos_ids:
            if token_id < width:
                set_bit(row, token_id)
        if row.any():
            return
        row.fill(-1)  # something has to be sampled; it is not accepted
        for token_id in vocabulary.eos_ids:
            if token_id < width:
                clear_bit(row, token_id)

    def _isolated(self, error: BaseException, consequence: str = _CONSEQUENCE) -> str:
        """Report a failure of the grammar engine and describe it; anything else is raised again."""
        if not isolatable(error):
            raise error
        report(Role.ENGINE, self.compiled.engine, error, consequence)
        return f"{type(error).__name__}: {error}"
