"""Tables of object keys, and what can be known of the keys that have no name of their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from latticework.structured.json_machine.supply_kernels import supply
from latticework.structured.lexemes.keys import key_lexeme
from latticework.structured.lexemes.predicates import StringPredicate
from latticework.structured.pushdown.table import DEAD, Table

#: More keys than any document has.
UNBOUNDED = 1 << 40

_CACHED_KEYS = 2048
_CHARACTERS = 0x110000 - 0x800
#: Keys longer than this are not told apart from the start: nobody writes one twice.
_LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class Supply:
    """How many keys there are of one class.

    Attributes:
        count: How many, :data:`UNBOUNDED` for no bound.
        ample: Whether every beginning of such a key goes on to more keys than a document has. Then keys that were used
            can be refused one by one when they end; else they must be told apart from the start.
    """

    count: int
    ample: bool


_AMPLE = Supply(UNBOUNDED, True)


@lru_cache(_CACHED_KEYS)
def supplies(names: tuple[str, ...], chosen: tuple[StringPredicate, ...]) -> tuple[Supply, ...]:
    """The supply of each class of other keys, in the order of the lexeme's vectors."""
    if not chosen:
        return (_AMPLE,)
    lexeme = key_lexeme(names, chosen, others=True)
    table = lexeme.table
    widths = np.bincount(table.classes, minlength=table.delta.shape[1])
    if not table.thresholds:
        return tuple(_supply(table, len(names) + j, widths) for j in range(len(lexeme.vectors)))
    return tuple(_supply_by_length(low, high) for low, high in pairwise((0, *table.thresholds, UNBOUNDED)))


def count_texts(table: Table, result: int) -> int:
    """How many texts of a table that does not count end in the result; :data:`UNBOUNDED` for no bound."""
    return _supply(table, result, np.bincount(table.classes, minlength=table.delta.shape[1])).count


def ample(table: Table, results: tuple[int, ...]) -> bool:
    """Whether every beginning of a text that ends in one of the results goes on to more texts than anybody writes."""
    if table.thresholds:
        bounds = (0, *table.thresholds, UNBOUNDED)
        return all(_supply_by_length(bounds[result], bounds[result + 1]).ample for result in results)
    widths = np.bincount(table.classes, minlength=table.delta.shape[1])
    return all(_supply(table, result, widths).ample for result in results)


def _supply_by_length(low: int, high: int) -> Supply:
    """The supply of keys of ``low`` to ``high - 1`` characters. One of the greatest length has no others beside it."""
    if high > 2:
        return Supply(UNBOUNDED, high > _LONGEST)
    return Supply((low == 0) + (high == 2) * _CHARACTERS, False)


def _supply(table: Table, result: int, widths: npt.NDArray[np.intp]) -> Supply:
    """The supply of keys that end in ``result``."""
    count, ample = supply(table.delta, table.outcomes, table.result, table.start, result, widths, UNBOUNDED)
    return Supply(UNBOUNDED if count == DEAD else count, ample)
