"""Tables of finite sets of byte strings, alone or before a machine that reads everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from latticework.structured.automata import moore_kernels, words_kernels
from latticework.structured.errors import BudgetExceededError
from latticework.structured.pushdown.table import NO_RESULT, Table

#: Bound on the cells of a table's rows, four bytes each.
MAX_CELLS = 24_000_000
#: Bound on the bytes of all words.
MAX_BYTES = 16_000_000

_NOTHING = Table(
    np.zeros(256, np.uint8),
    np.empty((0, 1), np.int32),
    np.empty(0, np.int32),
    np.empty(0, np.int32),
    np.empty((0, 1), np.uint64),
)


def words_table(
    words: Sequence[bytes],
    results: npt.NDArray[np.int32],
    *,
    field: str,
    base: Table | None = None,
    shift: int = 0,
    twins: Mapping[tuple[int, int], int] | None = None,
) -> tuple[Table, int]:
    """The table of ``words``.

    A word that has the prefix of another and no way on in ``base`` still goes on: maximal munch.

    Args:
        words: Sorted and distinct.
        results: ``int32[words]``. If no result occurs twice the states form a tree; otherwise equal ones are joined.
        field: What errors call the words.
        base: What reads every text that is no word. Where a word ends nothing else goes on.
        shift: Added to the results of ``base``.
        twins: ``(word, position) -> byte``: a byte that stands for the one there just as well, in every word with that
            prefix.

    Returns:
        The table, and the number of states in front of those of ``base``.

    Raises:
        BudgetExceededError: The table would be too large.
    """
    other = base or _NOTHING
    data = np.frombuffer(b"".join(words), np.uint8)
    if len(data) > MAX_BYTES:
        raise BudgetExceededError(field, f"the texts have more than {MAX_BYTES} bytes")
    first = np.zeros(len(words) + 1, np.int32)
    np.cumsum([len(word) for word in words], out=first[1:])
    instead = np.zeros(len(data), np.uint8)
    for (word, position), equal in (twins or {}).items():
        instead[first[word] + position] = equal
    made, byte, twin = words_kernels.tree(data, instead, first, results, other.delta, other.classes, other.start)
    distinct = not len(results) or bool(np.bincount(results).max() == 1)
    number, count = (np.arange(len(made), dtype=np.int32), len(made)) if distinct else words_kernels.merged(made, byte)
    classes, columns = _classes(other.classes, np.concatenate((byte[1:], twin[twin > 0])))
    if (count + len(other.delta)) * len(columns) > MAX_CELLS:
        raise BudgetExceededError(field, "the texts need too large a table")
    rows, result = words_kernels.fill(
        made, byte, twin, number, count, classes, columns, other.delta, other.result, shift
    )
    width = max(int(result.max()), 0) // 64 + 1
    if distinct:
        outcomes = words_kernels.word_outcomes(made, number, count, rows, width, other.outcomes, shift)
    else:
        own = np.zeros((len(rows), width), np.uint64)
        ending = np.flatnonzero(result != NO_RESULT)
        own[ending, result[ending] // 64] = np.uint64(1) << (result[ending] % 64).astype(np.uint64)
        outcomes = moore_kernels.outcomes(rows, own)
    return Table(classes, rows, result, result, outcomes), count


def _classes(
    coarse: npt.NDArray[np.uint8], used: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """The classes ``coarse`` with every used byte in one of its own, and the coarse class of each."""
    key = coarse.astype(np.int32)
    own = np.flatnonzero(np.bincount(used, minlength=256))
    key[own] += 256 * (1 + own.astype(np.int32))
    present = np.flatnonzero(np.bincount(key))
    return np.searchsorted(present, key).astype(np.uint8), (present % 256).astype(np.int32)
