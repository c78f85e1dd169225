"""Sources that were made to stand alone: their lexemes end where the text ends. Inside a tag they end earlier."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from latticework.structured.pushdown.family import Family
from latticework.structured.pushdown.protocol import Action, Enter, PushdownSource, Symbol
from latticework.structured.pushdown.table import NO_RESULT, Table


class EmbeddedSource:
    """The same texts, followed by something that no text of it can go on with: that, too, is an end of the text.

    Where a lexeme has no result but may be the end of the text, that result also counts before a byte it cannot read.
    """

    def __init__(self, source: PushdownSource) -> None:
        self._source = source
        self._tables: dict[int, tuple[Table, Table]] = {}

    def start(self) -> Action:
        """See :meth:`PushdownSource.start`."""
        return self._ending(self._source.start())

    def resume(self, symbol: Symbol, result: int) -> Action | None:
        """See :meth:`PushdownSource.resume`."""
        action = self._source.resume(symbol, result)
        return None if action is None else self._ending(action)

    def goal(self, symbol: Symbol) -> int | None:
        """See :meth:`PushdownSource.goal`."""
        return self._source.goal(symbol)

    def captures(self, symbol: Symbol) -> bool:
        """See :meth:`PushdownSource.captures`."""
        return self._source.captures(symbol)

    def refused(self, symbol: Symbol) -> Collection[bytes]:
        """See :meth:`PushdownSource.refused`."""
        return self._source.refused(symbol)

    def resume_text(self, symbol: Symbol, result: int, text: bytes) -> Action | None:
        """See :meth:`PushdownSource.resume_text`."""
        action = self._source.resume_text(symbol, result, text)
        return None if action is None else self._ending(action)

    def depends(self, symbol: Symbol) -> int:
        """See :meth:`PushdownSource.depends`."""
        return self._source.depends(symbol)

    def concerns(self, symbol: Symbol, text: bytes) -> bool:
        """See :meth:`PushdownSource.concerns`."""
        return self._source.concerns(symbol, text)

    def refuses(self, symbol: Symbol, result: int, text: bytes) -> bool | None:
        """See :meth:`PushdownSource.refuses`."""
        return self._source.refuses(symbol, result, text)

    def family(self, symbol: Symbol) -> tuple[Family, int] | None:
        """See :meth:`PushdownSource.family`."""
        return None

    def expected(self, symbol: Symbol) -> bool:
        """See :meth:`PushdownSource.expected`."""
        return self._source.expected(symbol)

    def _ending(self, action: Action) -> Action:
        if not isinstance(action, Enter):
            return action
        table = action.table
        if id(table) not in self._tables:  # the table is kept beside, so that its id is not given to another one
            result = np.where(table.result == NO_RESULT, table.end, table.result)
            self._tables[id(table)] = table, replace(table, result=result)
        return Enter(action.push, self._tables[id(table)][1], action.state)
