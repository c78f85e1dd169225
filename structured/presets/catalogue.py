"""Very many names, shared by every request: sorted once, their tree laid out piece by piece where texts get to.

A tree of a million names has ten million nodes, of which a server ever visits a few thousand. So a *piece* of the tree,
a lexeme table of about :data:`MAX_NODES` nodes, is built when it is first entered, and kept for everyone. Where names
go on at a piece's leaf is a result; its answer enters the next piece. A piece goes deepest where most names are, which
is where texts and tokens get to. A table keeps a bit for each result in each state: hence small pieces.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from latticework.structured.errors import GrammarError
from latticework.structured.presets import catalogue_kernels
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, Return, Symbol
from latticework.structured.pushdown.table import Table

#: Nodes of one piece, unless the first step from its start needs more.
MAX_NODES = 64
#: The result of a piece where a name is complete; the others are ``1 + index`` of the piece that goes on.
_COMPLETE = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """The names ``low:high``, which share their first ``depth`` bytes; what follows those is still to be read."""

    low: int
    high: int
    depth: int


class Catalogue:
    """Names as a pushdown source; thread-safe, meant to be shared.

    Args:
        names: Not empty, in any order, duplicates allowed.
        field: What errors name.
        max_nodes: Nodes of one piece. Larger pieces are fewer to lay out for the first masks, and take more memory.

    Raises:
        GrammarError: There is no name, an empty one, or one that is not valid Unicode.
    """

    def __init__(self, names: Iterable[str], *, field: str = "catalogue", max_nodes: int = MAX_NODES) -> None:
        try:
            words = sorted({name.encode() for name in names})
        except UnicodeEncodeError as error:
            raise GrammarError(field, f"a name holds a lone surrogate: {error}") from None
        if not words or not words[0]:
            raise GrammarError(field, "expected names, none of them empty")
        self._field = field
        self._max_nodes = max_nodes
        self._data = np.frombuffer(b"".join(words), np.uint8)
        self._first = np.concatenate(([0], np.cumsum([len(word) for word in words], dtype=np.int64)))
        self._common = catalogue_kernels.common_lengths(self._data, self._first)
        self._pieces: dict[Piece, tuple[Table, tuple[Piece, ...]]] = {}
        self._lock = threading.Lock()
        self.source = _CatalogueSource(self)
        #: The bytes that a name begins with, and those that go on where another name ends.
        self.first = frozenset(np.unique(self._data[self._first[:-1]]).tolist())
        extends = catalogue_kernels.extending(self._data, self._first, self._common)
        self.extends = frozenset(np.flatnonzero(extends).tolist())

    def __len__(self) -> int:
        return len(self._first) - 1

    def root(self) -> Piece:
        """All names."""
        return Piece(0, len(self), 0)

    def piece(self, piece: Piece) -> tuple[Table, tuple[Piece, ...]]:
        """The table of a piece, and what goes on after its results but the first."""
        with self._lock:
            if piece not in self._pieces:
                self._pieces[piece] = self._laid_out(piece)
            return self._pieces[piece]

    def _laid_out(self, piece: Piece) -> tuple[Table, tuple[Piece, ...]]:
        leaves = catalogue_kernels.cut(self._first, self._common, piece.low, piece.high, piece.depth, MAX_NODES)
        classes, delta, result, outcomes, following = catalogue_kernels.lay_out(
            self._data, self._first, leaves, piece.depth
        )
        table = Table(classes, delta, result, result, outcomes)
        return table, tuple(Piece(*leaf) for leaf in leaves[following].tolist())


class _CatalogueSource(PlainSource):
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def start(self) -> Action:
        return self._enter(self._catalogue.root())

    def resume(self, symbol: Symbol, result: int) -> Action | None:
        if result == _COMPLETE:
            return Return(_COMPLETE)
        assert isinstance(symbol, Piece)
        return self._enter(self._catalogue.piece(symbol)[1][result - 1])

    def goal(self, symbol: Symbol) -> int | None:
        """Every result of a piece goes on to a name."""
        assert isinstance(symbol, Piece)
        return (2 << len(self._catalogue.piece(symbol)[1])) - 1

    def _enter(self, piece: Piece) -> Enter:
        table, _ = self._catalogue.piece(piece)
        return Enter((piece,), table, table.start)
