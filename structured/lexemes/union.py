"""Lexemes side by side: which of several one is is known from its first byte."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from latticework.structured.lexemes.lexeme import Lexeme
from latticework.structured.pushdown.table import DEAD, NO_RESULT, Table, build_table


def union(parts: Sequence[Table]) -> tuple[Table, tuple[int, ...]]:
    """One table of several that begin with different bytes.

    Returns:
        The table and an offset a part: result ``r`` of part ``i`` becomes ``offsets[i] + r``. If a part counts, with
        ``t`` thresholds, result ``r`` of a part that does not becomes ``offsets[i] + r * (t + 1)``, and the results
        between belong to nothing: a goal must not name them.

    Raises:
        ValueError: Parts that may begin with the same byte, that count differently, or that are over at once.
    """
    counting = [part for part in parts if part.thresholds]
    if any(part.thresholds != counting[0].thresholds for part in counting):
        raise ValueError("the parts count differently")
    thresholds = counting[0].thresholds if counting else ()
    if any(part.thresholds and part.start >= len(part.delta) for part in parts):
        raise ValueError("a part begins in the middle of a count")
    firsts = np.stack([part.delta[part.start, part.classes] for part in parts]) != DEAD
    if (firsts.sum(axis=0) > 1).any():
        raise ValueError("the parts may begin with the same byte")
    if any(part.result[part.start] != NO_RESULT for part in parts):
        raise ValueError("a part may be empty")
    columns, classes = _joined([part.classes for part in parts])
    widths = [int(part.result.max()) + 1 for part in parts]
    bases = np.concatenate(([0], np.cumsum(widths)))
    shifts = 1 + np.cumsum([0, *(len(part.delta) for part in parts)])
    rows = np.full((int(shifts[-1]), columns.shape[1]), DEAD, np.int32)
    advance = np.zeros(rows.shape, np.uint8)
    result = np.full(len(rows), NO_RESULT, np.int32)
    end = result.copy()
    outcomes = np.zeros((len(rows), (int(bases[-1]) + 63) // 64), np.uint64)
    for number, (part, (low, high)) in enumerate(zip(parts, pairwise(shifts), strict=True)):
        moved = part.delta[:, columns[number]]
        rows[low:high] = np.where(moved == DEAD, DEAD, moved + low)
        rows[0] = np.maximum(rows[0], rows[low + part.start])
        if part.advance is not None:
            advance[low:high] = part.advance[:, columns[number]]
            advance[0] |= advance[low + part.start]
        for target, source in ((result, part.result), (end, part.end)):
            target[low:high] = np.where(source == NO_RESULT, NO_RESULT, source + bases[number])
        _shift_bits(outcomes[low:high], part.outcomes, int(bases[number]), widths[number])
    outcomes[0] = np.bitwise_or.reduce([outcomes[low + part.start] for part, low in zip(parts, shifts, strict=False)])
    specials = {
        int(low) + s: tuple((t, r + int(b)) for t, r in pairs)
        for part, low, b in zip(parts, shifts, bases, strict=False)
        for s, pairs in part.specials.items()
    }
    fallback = next(
        (int(low) + part.fallback for part, low in zip(parts, shifts, strict=False) if part.fallback != DEAD), DEAD
    )
    table = Table(
        classes,
        rows,
        result,
        end,
        outcomes,
        0,
        specials,
        fallback,
        thresholds,
        advance if thresholds else None,
    )
    return table, tuple(int(base) * (len(thresholds) + 1) for base in bases[:-1])


def _joined(classes: Sequence[npt.NDArray[np.uint8]]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """The coarsest classes of bytes that are finer than all of ``classes``.

    Returns:
        ``int32[parts, k]``, what each of them is in each part, and ``uint8[256]``, the class of each byte.
    """
    number: dict[tuple[int, ...], int] = {}
    joined = [number.setdefault(each, len(number)) for each in zip(*(part.tolist() for part in classes), strict=True)]
    return np.array(list(number), np.int32).T, np.array(joined, np.uint8)


def _shift_bits(target: np.ndarray, source: np.ndarray, shift: int, width: int) -> None:
    """Or ``width`` bits a row of ``source`` into ``target``, ``shift`` bits further on."""
    words, bits = divmod(shift, 64)
    for word in range((width + 63) // 64):
        target[:, words + word] |= source[:, word] << np.uint64(bits)
        if bits and words + word + 1 < target.shape[1]:
            target[:, words + word + 1] |= source[:, word] >> np.uint64(64 - bits)


def _literals() -> Lexeme:
    edges: list[list[tuple[int, int, int]]] = [[]]
    result = [NO_RESULT]
    for number, word in enumerate((b"true", b"false", b"null")):
        state = 0
        for byte in word:
            edges[state].append((byte, byte, len(edges)))
            state = len(edges)
            edges.append([])
            result.append(NO_RESULT)
        result[state] = number
    return Lexeme(build_table(edges, result), ((),) * 3)


#: ``true`` (result 0), ``false`` (1) and ``null`` (2).
LITERALS: Table = _literals().table
