"""A suffix array over token documents: where every text of a corpus that begins like a query is, in one binary search.

``suffixes`` holds the positions of ``tokens`` in the order of the texts that begin there, compared over
:data:`SORTED` tokens, which is more than any look-up here reads. Between two documents stands :data:`BETWEEN`, which no
query contains.

Source: speculative spec, section 14 (REST).
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import numpy.typing as npt

from latticework.speculative.drafter import TokenArray

BETWEEN = -1
SORTED = 32


def sort_suffixes(
    tokens: TokenArray, progress: Callable[[int, int], None] = lambda done, rounds: None
) -> npt.NDArray[np.int32]:
    """The positions of ``tokens`` (``int32[n]``, ``n < 2**31``) in the order of the texts that begin there.

    Prefix doubling: each of the rounds sorts by twice as many tokens. Texts equal over :data:`SORTED` tokens keep their
    order. ``progress`` is told the rounds done, of how many.
    """
    n = len(tokens)
    rounds = SORTED.bit_length()
    if n == 0:
        return np.empty(0, np.int32)
    _, rank = np.unique(tokens, return_inverse=True)
    rank = rank.astype(np.int64) + 1  # 0: beyond the end
    order = np.argsort(rank, kind="stable")
    progress(1, rounds)
    for done, length in enumerate((1 << i for i in range(rounds - 1)), start=2):
        following = np.zeros(n, np.int64)
        following[: max(n - length, 0)] = rank[length:]
        key = rank * (n + 1) + following
        order = np.argsort(key, kind="stable")
        ranked = key[order]
        fresh = np.concatenate(([1], (ranked[1:] != ranked[:-1]).astype(np.int64))).cumsum()
        rank = np.empty(n, np.int64)
        rank[order] = fresh
        progress(done, rounds)
    return order.astype(np.int32)


@numba.njit(cache=True, nogil=True)
def _before(tokens, position, query, or_equal):  # type: ignore[no-untyped-def]
    """Whether the text at ``position`` sorts before ``query``; ``or_equal``: or begins with it."""
    for i in range(query.shape[0]):
        if position + i >= tokens.shape[0]:
            return True
        if tokens[position + i] != query[i]:
            return tokens[position + i] < query[i]
    return or_equal


@numba.njit(cache=True, nogil=True)
def occurrences(tokens, suffixes, query):  # type: ignore[no-untyped-def]
    """``suffixes[low:high]`` are the places where ``query`` (``int32[<= SORTED]``) occurs."""
    bounds = np.zeros(2, np.int64)
    for side in range(2):
        low, high = bounds[0], np.int64(suffixes.shape[0])
        while low < high:
            middle = (low + high) // 2
            if _before(tokens, suffixes[middle], query, side == 1):
                low = middle + 1
            else:
                high = middle
        bounds[side] = low
    return bounds[0], bounds[1]


@numba.njit(cache=True, nogil=True)
def longest_occurring(tokens, suffixes, text, longest):  # type: ignore[no-untyped-def]
    """The longest end of ``text``, of at most ``longest`` tokens, that occurs: its length and where, as above."""
    for length in range(min(longest, text.shape[0]), 0, -1):
        low, high = occurrences(tokens, suffixes, text[text.shape[0] - length :])
        if high > low:
            return length, low, high
    return 0, np.int64(0), np.int64(0)


@numba.njit(cache=True, nogil=True)
def continuations(tokens, suffixes, matched, low, high, most, depth):  # type: ignore[no-untyped-def]
    """The trie of what follows a match, with how many of its places go on so.

    Args:
        tokens, suffixes: The corpus.
        matched, low, high: As :func:`longest_occurring` says.
        most: So many places are looked at; of more, evenly spaced ones.
        depth: How many tokens after each.

    Returns:
        ``token``, ``parent`` (-1: the match itself), ``depth``, ``count`` (``int32[m]`` each), and how many places were
        looked at. Parents come before children.
    """
    places = min(most, high - low)
    room = places * depth
    out_token, out_parent = np.empty(room, np.int32), np.empty(room, np.int32)
    out_depth, out_count = np.empty(room, np.int32), np.zeros(room, np.int32)
    line = np.full(depth, -1, np.int64)  # nodes of the place before: places are in the order of what follows
    made = 0
    for place in range(places):
        at = np.int64(suffixes[low + place * (high - low) // places]) + matched
        same = True
        for i in range(depth):
            if at + i >= tokens.shape[0] or tokens[at + i] == BETWEEN:
                line[i:] = -1
                break
            token = tokens[at + i]
            same = same and line[i] >= 0 and out_token[line[i]] == token
            if not same:
                out_token[made], out_parent[made] = token, line[i - 1] if i > 0 else -1
                out_depth[made] = i + 1
                line[i] = made
                made += 1
            out_count[line[i]] += 1
    return out_token[:made], out_parent[:made], out_depth[:made], out_count[:made], places
