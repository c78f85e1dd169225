"""A structural tag as a pushdown source: the lexeme table of its markers, and the sources of its documents below it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from latticework.structured.pushdown.family import Family
from latticework.structured.pushdown.protocol import Action, Enter, PushdownSource, Return, Symbol
from latticework.structured.tags.lexing import FINAL, Lexing


@dataclass(frozen=True, slots=True)
class Inner:
    """A symbol of a called source, told apart from the symbols of others."""

    source: Hashable
    symbol: Symbol


@dataclass(frozen=True, slots=True)
class _After:
    """Below a called source: the state in which the markers go on."""

    state: int


_MARKERS = "markers"


class TagSource:
    """See :class:`latticework.structured.pushdown.protocol.PushdownSource`.

    Args:
        lexing: Markers, free text and calls.
        sources: The called sources, by number.
    """

    def __init__(self, lexing: Lexing, sources: Sequence[PushdownSource]) -> None:
        self._lexing = lexing
        self._sources: Mapping[Hashable, PushdownSource] = dict(enumerate(sources))

    def start(self) -> Action:
        """See :meth:`PushdownSource.start`."""
        return Enter((_MARKERS,), self._lexing.table, self._lexing.table.start)

    def resume(self, symbol: Symbol, result: int) -> Action | None:
        """See :meth:`PushdownSource.resume`."""
        if isinstance(symbol, Inner):
            return inside(symbol.source, self._sources[symbol.source].resume(symbol.symbol, result))
        if isinstance(symbol, _After):
            return Enter((_MARKERS,), self._lexing.table, symbol.state)
        if result == FINAL:
            return Return(FINAL)
        if (target := self._lexing.moves.get(result)) is not None:
            return Enter((_MARKERS,), self._lexing.table, target)
        source, after = self._lexing.calls[result]
        return inside(source, self._sources[source].start(), _After(after))

    def goal(self, symbol: Symbol) -> int | None:
        """See :meth:`PushdownSource.goal`: whatever the markers can end in goes on."""
        if isinstance(symbol, Inner):
            return self._sources[symbol.source].goal(symbol.symbol)
        if isinstance(symbol, _After):
            return None
        return (1 << (1 + len(self._lexing.calls) + len(self._lexing.moves))) - 1

    def captures(self, symbol: Symbol) -> bool:
        """See :meth:`PushdownSource.captures`."""
        return isinstance(symbol, Inner) and self._sources[symbol.source].captures(symbol.symbol)

    def refused(self, symbol: Symbol) -> Collection[bytes]:
        """See :meth:`PushdownSource.refused`."""
        return self._sources[symbol.source].refused(symbol.symbol) if isinstance(symbol, Inner) else ()

    def resume_text(self, symbol: Symbol, result: int, text: bytes) -> Action | None:
        """See :meth:`PushdownSource.resume_text`."""
        assert isinstance(symbol, Inner)
        return inside(symbol.source, self._sources[symbol.source].resume_text(symbol.symbol, result, text))

    def depends(self, symbol: Symbol) -> int:
        """See :meth:`PushdownSource.depends`."""
        return self._sources[symbol.source].depends(symbol.symbol) if isinstance(symbol, Inner) else 0

    def concerns(self, symbol: Symbol, text: bytes) -> bool:
        """See :meth:`PushdownSource.concerns`."""
        return isinstance(symbol, Inner) and self._sources[symbol.source].concerns(symbol.symbol, text)

    def refuses(self, symbol: Symbol, result: int, text: bytes) -> bool | None:
        """See :meth:`PushdownSource.refuses`."""
        assert isinstance(symbol, Inner)
        return self._sources[symbol.source].refuses(symbol.symbol, result, text)

    def family(self, symbol: Symbol) -> tuple[Family, int] | None:
        """See :meth:`PushdownSource.family`."""
        return None

    def expected(self, symbol: Symbol) -> bool:
        """See :meth:`PushdownSource.expected`."""
        return not isinstance(symbol, Inner) or self._sources[symbol.source].expected(symbol.symbol)


def inside(source: Hashable, action: Action | None, *below: Symbol) -> Action | None:
    """The answer of a called source, which its caller knows as ``source``, with the caller's symbols ``below``."""
    if action is None:
        return None
    push = (*below, *(Inner(source, symbol) for symbol in action.push))
    if isinstance(action, Enter):
        return Enter(push, action.table, action.state)
    return Return(action.result, push)
