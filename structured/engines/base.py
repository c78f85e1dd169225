"""The contract between a grammar engine and everything that uses one.

``GrammarEngine.compile(spec, vocabulary)`` gives a :class:`CompiledGrammar`, shared by every request that asks for the
same constraint; ``CompiledGrammar.matcher()`` gives a :class:`Matcher`, one request's position in it. The laws that
every matcher must satisfy are the test class :class:`latticework.structured.laws.MatcherLaws`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from latticework.structured.bitmask import Bitmask
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

__all__ = ["Bitmask", "CompiledGrammar", "GrammarEngine", "GrammarLimits", "Matcher"]


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
