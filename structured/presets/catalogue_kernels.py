"""Compiled loops over the sorted names of a catalogue: ``data``, all of their bytes, and ``first``, where each begins.

``common[i]`` is how many bytes name ``i`` shares with the one before; 0 at both ends.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Bytes = npt.NDArray[np.uint8]
Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint64]


@njit(cache=True, nogil=True)
def common_lengths(data: Bytes, first: Longs) -> Longs:
    """``int64[words + 1]``: how many bytes word ``i`` shares with word ``i - 1``; 0 at both ends."""
    common = np.zeros(len(first), np.int64)
    for i in range(1, len(first) - 1):
        size = min(first[i] - first[i - 1], first[i + 1] - first[i])
        j = 0
        while j < size and data[first[i - 1] + j] == data[first[i] + j]:
            j += 1
        common[i] = j
    return common


@njit(cache=True, nogil=True)
def extending(
    data: Bytes, first: Longs, common: Longs
) -> npt.NDArray[np.bool_]:
    """``bool[256]``: the bytes with which a name goes on after another name that is its beginning."""
    extends = np.zeros(256, np.bool_)
    ended = np.empty(np.max(np.diff(first)) + 1, np.int64)  # lengths of the names that the current one begins with
    depth = 0
    for i in range(len(first) - 1):
        while depth > 0 and ended[depth - 1] > common[i]:
            depth -= 1
        for j in range(depth):
            extends[data[first[i] + ended[j]]] = True
        ended[depth] = first[i + 1] - first[i]
        depth += 1
    return extends


@njit(cache=True, nogil=True)
def cut(first: Longs, common: Longs, low: int, high: int, depth: int, most: int) -> Longs:
    """Where a piece of the tree of names is cut, deepest where most names are.

    Args:
        first: See the module; ``common`` likewise.
        common: See above.
        low: The piece begins with this name, ``high`` is the one after its last.
        high: See above.
        depth: How many bytes of them are read.
        most: Bound on the nodes of the piece, unless its first step needs more.

    Returns:
        ``int64[leaves, 3]``, rising: names ``low:high`` and how many bytes of them are read at the leaf.
    """
    leaves = np.empty((most + 258, 3), np.int64)
    leaves[0] = low, high, depth
    count = 1
    nodes = 0
    while True:
        largest = -1
        size = 0
        for i in range(count):
            names = leaves[i, 1] - leaves[i, 0]
            whole = names == 1 and leaves[i, 2] == first[leaves[i, 0] + 1] - first[leaves[i, 0]]
            if names > size and not whole:
                largest = i
                size = names
        if largest < 0:
            break
        begin, end, read = leaves[largest]
        length = first[begin + 1] - first[begin]
        branch = length - 1  # a single name is read to its end
        parts = 1
        if size > 1:
            branch = common[begin + 1]
            for i in range(begin + 2, end):
                branch = min(branch, common[i])
            for i in range(begin + 1, end):
                parts += common[i] == branch
        needed = branch + parts - read
        if nodes > 0 and nodes + needed > most:
            break
        nodes += needed
        leaves[largest, 2] = min(branch + 1, length)  # the first name may end where the others go on
        for i in range(begin + 1, end):
            if size > 1 and common[i] == branch:
                leaves[largest, 1] = i
                largest = count
                leaves[count] = i, end, branch + 1
                count += 1
    return leaves[np.argsort(leaves[:count, 0])]


@njit(cache=True, nogil=True)
def lay_out(data: Bytes, first: Longs, leaves: Longs, depth: int) -> tuple[Bytes, Ints, Ints, Bits, Longs]:
    """The table of a piece.

    Args:
        data: See the module; ``first`` likewise.
        first: See above.
        leaves: See :func:`cut`.
        depth: How many bytes are read where the piece begins.

    Returns:
        Classes, transitions, results and outcomes of a table; and the leaves that go on, which have the results from 1
        on. Result 0 is a whole name.
    """
    longest = 0
    size = 1
    for i in range(len(leaves)):
        longest = max(longest, leaves[i, 2] - depth)
        size += leaves[i, 2] - depth
    parent = np.empty(size, np.int64)
    byte = np.zeros(size, np.uint8)
    path = np.zeros(longest + 1, np.int64)
    result = np.full(size, -1, np.int32)
    following = np.empty(len(leaves), np.int64)
    more = 0
    count = 1
    for i in range(len(leaves)):
        start = first[leaves[i, 0]] + depth
        length = leaves[i, 2] - depth
        shared = 0
        if i:
            before = first[leaves[i - 1, 0]] + depth
            while shared < min(length, leaves[i - 1, 2] - depth) and data[before + shared] == data[start + shared]:
                shared += 1
        for j in range(shared, length):
            parent[count] = path[j]
            byte[count] = data[start + j]
            path[j + 1] = count
            count += 1
        whole = leaves[i, 1] - leaves[i, 0] == 1 and leaves[i, 2] == first[leaves[i, 1]] - first[leaves[i, 0]]
        if whole:
            result[path[length]] = 0
        else:
            following[more] = i
            more += 1
            result[path[length]] = more
    classes = np.zeros(256, np.uint8)
    kinds = 1  # class 0: bytes that never occur
    for node in range(1, count):
        if classes[byte[node]] == 0:
            classes[byte[node]] = kinds
            kinds += 1
    delta = np.full((count, kinds), -1, np.int32)
    for node in range(1, count):
        delta[parent[node], classes[byte[node]]] = node
    outcomes = np.zeros((count, more // 64 + 1), np.uint64)
    for node in range(count):
        value = result[node]
        if value >= 0:
            at = node
            outcomes[at, value // 64] |= np.uint64(1) << np.uint64(value % 64)
            while at:
                at = parent[at]
                outcomes[at, value // 64] |= np.uint64(1) << np.uint64(value % 64)
    return classes, delta, result[:count].copy(), outcomes, following[:more]
