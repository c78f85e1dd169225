"""Symbols of the JSON machine: tuples that begin with the operation that knows how they go on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from latticework.structured.pushdown.family import Family
from latticework.structured.pushdown.protocol import Action, Return

#: ``(operation, state ...)``: equal states of the same operation are equal symbols.
Place = tuple[Any, ...]


class Operation:
    """The part of :class:`~latticework.structured.pushdown.protocol.PushdownSource` about one kind of symbol."""

    def goal(self, symbol: Place) -> int | None:
        """See :meth:`PushdownSource.goal`."""
        return None

    def resume(self, symbol: Place, result: int) -> Action | None:
        """See :meth:`PushdownSource.resume`."""
        raise NotImplementedError

    def captures(self, symbol: Place) -> bool:
        """See :meth:`PushdownSource.captures`."""
        return False

    def refused(self, symbol: Place) -> Collection[bytes]:
        """See :meth:`PushdownSource.refused`."""
        return ()

    def resume_text(self, symbol: Place, result: int, text: bytes) -> Action | None:
        """See :meth:`PushdownSource.resume_text`."""
        raise NotImplementedError

    def depends(self, symbol: Place) -> int:
        """See :meth:`PushdownSource.depends`."""
        return 0

    def concerns(self, symbol: Place, text: bytes) -> bool:
        """See :meth:`PushdownSource.concerns`."""
        return True

    def refuses(self, symbol: Place, result: int, text: bytes) -> bool | None:
        """See :meth:`PushdownSource.refuses`."""
        return None

    def family(self, symbol: Place) -> tuple[Family, int] | None:
        """See :meth:`PushdownSource.family`."""
        return None

    def expected(self, symbol: Place) -> bool:
        """See :meth:`PushdownSource.expected`."""
        return True


class _Relabel(Operation):
    """Under a value of which only one thing matters, that it ends: its result is what stands in the symbol."""

    def goal(self, symbol: Place) -> int:
        """See :class:`Operation`."""
        return 1

    def resume(self, symbol: Place, result: int) -> Action | None:
        """See :class:`Operation`."""
        return None if result else Return(symbol[1])


RELABEL = _Relabel()
