"""What a structured language looks like to the mask runtime: lexemes, and what to do with their results.

A configuration is a lexeme table's state plus a stack of *symbols*. When the lexeme ends with a result, the symbol on
top of the stack is taken off and asked how to go on (:meth:`PushdownSource.resume`). Its answer pushes symbols and then
either enters another lexeme or returns a result to the symbol below. A return with nothing below completes the text.

The answers depend on ``(symbol, result)`` only, so they are asked for once, when first needed, and kept in arrays that
compiled loops read. A source is a JSON schema, an LR(1) grammar, a tag layout; it never sees a token or a mask.

Exactness is a division of labour. The source promises that whatever it enters can be completed, and that
:meth:`PushdownSource.goal` is exact. The runtime promises that a byte is allowed if and only if the lexeme can still
end in a result of the goal, or, where it ends a lexeme, if the whole chain of answers up to the lexeme that reads the
byte exists.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from latticework.structured.pushdown.table import Table

if TYPE_CHECKING:
    from latticework.structured.pushdown.family import Family

#: A continuation waiting on the stack. Any immutable hashable value; equal symbols must go on equally.
Symbol = Hashable


@dataclass(frozen=True, slots=True)
class Enter:
    """Push ``push`` (the last one ends up on top), then read ``table`` from ``state``.

    The lexeme's result goes to the top symbol. Entering a closed state ends the lexeme at once.
    """

    push: tuple[Symbol, ...]
    table: Table
    state: int


@dataclass(frozen=True, slots=True)
class Return:
    """Push ``push``, then give ``result`` to the top symbol; with an empty stack the text is complete."""

    result: int
    push: tuple[Symbol, ...] = ()


Action = Enter | Return


@runtime_checkable
class PushdownSource(Protocol):
    """A language as lexemes and continuations. Implementations are thread-safe (the runtime calls under a lock)."""

    def start(self) -> Action:
        """How the text begins. An empty language is a ``GrammarError`` at construction, not here."""
        ...

    def resume(self, symbol: Symbol, result: int) -> Action | None:
        """How ``symbol`` goes on after ``result``; ``None`` if it does not.

        For a symbol that :meth:`captures`, this is the answer with the text left unrecorded: the same lexemes, results
        and goals as :meth:`resume_text` gives, except for what later captures refuse, unless :meth:`depends`.
        """
        ...

    def goal(self, symbol: Symbol) -> int | None:
        """The results with which ``symbol`` can be completed, as a bit set (bit ``r``: result ``r``).

        It must not depend on what lies below the symbol. ``None``: not known, and the runtime finds out by following
        the chain of answers of each result on the stack at hand.
        """
        ...

    def captures(self, symbol: Symbol) -> bool:
        """Whether ``symbol`` wants the bytes read between its being pushed and its being resumed."""
        ...

    def refused(self, symbol: Symbol) -> Collection[bytes]:
        """The texts that a capturing symbol must not be resumed with: names already used, items already listed.

        Promise: from every state of the lexeme that the goal allows, some text outside this set can still be reached.
        """
        ...

    def resume_text(self, symbol: Symbol, result: int, text: bytes) -> Action | None:
        """:meth:`resume` for a capturing symbol, with the captured bytes. Never called with a refused text."""
        ...

    def depends(self, symbol: Symbol) -> int:
        """The results, as a bit set, for which the answer of a capturing symbol with the text differs from that without
        it in more than what is refused later. It may then allow less, never more, unless the set is that of all
        results, ``-1``. Tokens that read on behind such a text are looked at one by one, so it should be said of few.
        """
        ...

    def concerns(self, symbol: Symbol, text: bytes) -> bool:
        """Whether it may come to what :meth:`depends` speaks of, if the captured text begins like this.

        To say so without need costs time only.
        """
        ...

    def refuses(self, symbol: Symbol, result: int, text: bytes) -> bool | None:
        """Whether :meth:`resume_text` is ``None``, where :meth:`depends` speaks of nothing else; else ``None``."""
        ...

    def family(self, symbol: Symbol) -> tuple[Family, int] | None:
        """The family that ``symbol`` belongs to, and its set; ``None``: it goes on like no other symbol.

        Whether a source says so or not changes no answer, only how often it is asked.
        """
        ...

    def expected(self, symbol: Symbol) -> bool:
        """Whether texts are likely to come to what follows ``symbol``, so that it pays to ask before they do.

        Then the source must be able to answer for every result of the symbol's goal.
        """
        ...


class PlainSource:
    """Defaults for sources that capture nothing, know no families and leave goals to the runtime."""

    def goal(self, symbol: Symbol) -> int | None:
        """See :meth:`PushdownSource.goal`."""
        return None

    def captures(self, symbol: Symbol) -> bool:
        """See :meth:`PushdownSource.captures`."""
        return False

    def refused(self, symbol: Symbol) -> Collection[bytes]:
        """See :meth:`PushdownSource.refused`."""
        return ()

    def resume_text(self, symbol: Symbol, result: int, text: bytes) -> Action | None:
        """See :meth:`PushdownSource.resume_text`."""
        raise NotImplementedError

    def depends(self, symbol: Symbol) -> int:
        """See :meth:`PushdownSource.depends`."""
        return 0

    def concerns(self, symbol: Symbol, text: bytes) -> bool:
        """See :meth:`PushdownSource.concerns`."""
        return True

    def refuses(self, symbol: Symbol, result: int, text: bytes) -> bool | None:
        """See :meth:`PushdownSource.refuses`."""
        return None

    def family(self, symbol: Symbol) -> tuple[Family, int] | None:
        """See :meth:`PushdownSource.family`."""
        return None

    def expected(self, symbol: Symbol) -> bool:
        """See :meth:`PushdownSource.expected`."""
        return False
