"""The trie over all token bytes, as flat arrays in depth-first order, ready for a compiled loop.

Layout. Node 0 is the empty string; children follow their parent in byte order (preorder), so a subtree is a contiguous
range. For node ``i``: ``byte[i]`` is the byte that leads to it, ``depth[i]`` its length, ``end[i]`` one past its
subtree (the skip pointer: jump there to leave the subtree out). ``ids[first_id[i]:first_id[i + 1]]`` are the tokens
that spell exactly this node; because nodes and tokens are in the same order, ``ids[first_id[i]:first_id[end[i]]]`` are
all tokens that begin with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numba
import numpy as np
import numpy.typing as npt

from latticework.structured import disk_cache

_FORMAT = "trie-1"


@dataclass(frozen=True, eq=False)
class Trie:
    """See the module's layout note. ``N`` nodes, ``M`` tokens with text."""

    byte: npt.NDArray[np.uint8]  # [N]
    depth: npt.NDArray[np.int32]  # [N]
    end: npt.NDArray[np.int32]  # [N]
    first_id: npt.NDArray[np.int32]  # [N + 1]
    ids: npt.NDArray[np.int32]  # [M]
    text: npt.NDArray[np.uint8]  # [sum of lengths], bytes of token t at offset[t]:offset[t + 1]
    offset: npt.NDArray[np.int64]  # [V + 1]

    @property
    def max_depth(self) -> int:
        """Length in bytes of the longest token."""
        return int(self.depth.max(initial=0))

    def longest_match(self, text: bytes) -> list[int] | None:
        """Greedy segmentation: the longest token at each position, the lowest id among equals. ``None`` if stuck."""
        ids = []
        position = 0
        while position < len(text):
            node, best, best_length, length = 0, -1, 0, 0
            while position + length < len(text):
                node = _child(self.byte, self.depth, self.end, node, text[position + length])
                if node < 0:
                    break
                length += 1
                if self.first_id[node + 1] > self.first_id[node]:
                    best, best_length = int(self.ids[self.first_id[node]]), length
            if best < 0:
                return None
            ids.append(best)
            position += best_length
        return ids

    def find(self, text: bytes) -> int:
        """The node that spells ``text``, or -1 if no token begins with it."""
        node = 0
        for byte in text:
            node = int(_child(self.byte, self.depth, self.end, node, byte))
            if node < 0:
                break
        return node

    def extends(self, text: bytes) -> bool:
        """Whether some token is longer than ``text`` and begins with it."""
        node = self.find(text)
        return node >= 0 and bool(self.end[node] > node + 1)


def load_or_build(tokens: Sequence[bytes], content_key: str) -> Trie:
    """The trie of ``tokens`` (``b""``: no text), from the user's cache if it was built before."""
    if len(tokens) < disk_cache.WORTH_A_FILE:
        return build(tokens)
    path = disk_cache.path_of(_FORMAT, content_key)
    stored = disk_cache.load(path)
    if stored is not None and stored.keys() == {field.name for field in fields(Trie)}:
        return Trie(**stored)
    trie = build(tokens)
    disk_cache.store(path, {field.name: getattr(trie, field.name) for field in fields(Trie)})
    return trie


def build(tokens: Sequence[bytes]) -> Trie:
    """Build the trie of ``tokens``; index is token id."""
    offset = np.zeros(len(tokens) + 1, np.int64)
    np.cumsum([len(token) for token in tokens], out=offset[1:])
    text = np.frombuffer(b"".join(tokens), np.uint8).copy()
    order = np.array(sorted((i for i, token in enumerate(tokens) if token), key=lambda i: (tokens[i], i)), np.int32)
    byte, depth, end, first_id = _build(text, offset, order)
    return Trie(byte, depth, end, first_id, order, text, offset)


@numba.njit(cache=True, nogil=True)
def _build(text, offset, order):  # type: ignore[no-untyped-def]
    # Sorted tokens share their longest common prefix with the one before, so new nodes appear in preorder.
    n_max = text.shape[0] + 1
    byte = np.zeros(n_max, np.uint8)
    depth = np.zeros(n_max, np.int32)
    end = np.zeros(n_max, np.int32)
    first_id = np.zeros(n_max + 1, np.int32)
    longest = 0
    for k in range(order.shape[0]):
        longest = max(longest, offset[order[k] + 1] - offset[order[k]])
    path = np.zeros(longest + 1, np.int32)
    n = 1
    length = 0  # bytes of the previous token, whose nodes are path[0..length]
    start = 0
    for k in range(order.shape[0]):
        token = order[k]
        begin = offset[token]
        size = offset[token + 1] - begin
        common = 0
        while common < length and common < size and text[start + common] == text[begin + common]:
            common += 1
        for d in range(length, common, -1):
            end[path[d]] = n
        for d in range(common, size):
            byte[n] = text[begin + d]
            depth[n] = d + 1
            first_id[n] = k
            path[d + 1] = n
            n += 1
        start = begin
        length = size
    for d in range(length, -1, -1):
        end[path[d]] = n
    first_id[n] = order.shape[0]
    return byte[:n].copy(), depth[:n].copy(), end[:n].copy(), first_id[: n + 1].copy()


@numba.njit(cache=True, nogil=True)
def _child(byte, depth, end, node, wanted):  # type: ignore[no-untyped-def]
    child = node + 1
    while child < end[node]:
        if byte[child] == wanted:
            return child
        child = end[child]
    return -1
