"""The contract between a grammar engine and everything that uses one.

``GrammarEngine.compile(spec, vocabulary)`` gives a :class:`CompiledGrammar`, shared by every request that asks for the
same constraint; ``CompiledGrammar.matcher()`` gives a :class:`Matcher`, one request's position in it. The laws that
every matcher must satisfy are the test class :class:`latticework.structured.laws.MatcherLaws`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

Bitmask = npt.NDArray[np.int32]


@dataclass(frozen=True)
class GrammarLimits:
    """What one grammar may cost. Exceeding a limit is a :class:`~latticework.structured.errors.BudgetExceededError`.

    Attributes:
        max_source_bytes: Size of the payload as UTF-8.
        max_nesting: Depth of brackets in a JSON payload, of groups in a regex.
        max_states: Configurations that one compiled grammar may discover over its life.
        compile_seconds: Wall time for compiling, checked between steps of the work.
        mask_bytes: Memory for the ready masks of one compiled grammar; the least recently used go first.
    """

    max_source_bytes: int = 512 * 1024
    max_nesting: int = 64
    max_states: int = 200_000
    compile_seconds: float = 10.0
    mask_bytes: int = 64 * 1024 * 1024


class Matcher(Protocol):
    """One request's position in a grammar. Not thread-safe; forks are independent of each other."""

    def fill_bitmask(self, row: Bitmask) -> None:
        """Write the mask of the current position into ``row`` (``int32[words]``, ``words >= ceil(V/32)``) in place.

        Bit ``t % 32`` of word ``t // 32`` is set when token ``t`` is allowed. Words beyond the vocabulary are cleared.
        After the end token nothing is allowed and the row is all zero.
        """
        ...

    def accept(self, token_id: int) -> bool:
        """Advance by one token. ``False``: the token is not allowed and nothing has changed."""
        ...

    def count_valid(self, token_ids: Sequence[int]) -> int:
        """How many leading tokens of ``token_ids`` would be accepted one after another. Changes nothing."""
        ...

    def rollback(self, count: int) -> None:
        """Undo the last ``count`` accepted tokens, the end token included. ``ValueError`` if there are fewer."""
        ...

    def fork(self) -> Matcher:
        """An independent matcher at the same position, with the same history for :meth:`rollback`."""
        ...

    def forced_tokens(self, limit: int = 32) -> list[int]:
        """The tokens that the grammar leaves no (byte-level) choice about, at most ``limit``.

        The bytes are certain. Where several tokenizations spell them the tokenizer's own is given: a guess to be
        verified by the model, not a commitment. Every prefix of the list is accepted by :meth:`accept`.
        """
        ...

    @property
    def can_end(self) -> bool:
        """Whether the text so far is complete, so that an end token is allowed here."""
        ...

    @property
    def finished(self) -> bool:
        """Whether an end token has been accepted."""
        ...


class CompiledGrammar(Protocol):
    """A constraint compiled for one vocabulary. Safe to share between threads and requests."""

    @property
    def engine(self) -> str:
        """Name of the engine that compiled it (never ``auto``)."""
        ...

    @property
    def spec(self) -> GrammarSpec:
        """What was compiled."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary it was compiled for."""
        ...

    def matcher(self) -> Matcher:
        """A new matcher at the start."""
        ...


@runtime_checkable
class GrammarEngine(Protocol):
    """A way to compile constraints. Engines are stateless values apart from caches that hold no request's data."""

    @property
    def name(self) -> str:
        """The name used in ``engine=`` and ``lw_engine``."""
        ...

    def compile(self, spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> CompiledGrammar:
        """Compile ``spec`` or refuse.

        Raises:
            UnsupportedGrammarError: This engine cannot enforce the whole constraint; another one may.
            GrammarError: The constraint is wrong for every engine.
            BudgetExceededError: A limit was hit.
        """
        ...
