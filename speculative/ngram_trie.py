"""The n-gram trie drafter: what followed every end of the text, the longest end's continuations first and narrowest.

SGLang's n-gram speculation with one change, which is worth more than everything else about it: the whole prompt is
inserted before the first draft. A node of the trie is a text of at most ``depth`` tokens; its children are what came
next, the most recent first. The draft is grown breadth first from every end of the text that the trie knows, the
longest one first, and from short ends more broadly than from long ones, because they say less.

The trie lies in a table of fixed size (:mod:`~latticework.speculative.ngram_table`), a row a node, in which nodes that
were passed longest ago give way.

Source: SGLang's n-gram trie (match by recency); speculative spec, section 19 for the idea.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, TokenArray, VerifiedRows
from latticework.speculative.ngram_table import (
    NgramTable,
    claim,
    extended,
    find,
    set_entry,
    token_at,
    weight_at,
    width_of,
)
from latticework.speculative.scopes import Scopes

NAME = "ngram_trie"
_CHILDREN = 8
_ALONE = 1 << 16


class NgramTrieDrafter:
    """Drafts the continuations of all ends of the text; as a chain, the most recent one of the longest end each time.

    Args:
        depth: Tokens of the longest path in the trie, so that ends of at most ``depth - 1`` are looked up.
        broadest: Children taken after an end of one token; after the longest end one is taken. At most 8.
        rows: Nodes that a scope keeps (80 bytes each).
        prompt_window: How many of a prompt's last tokens are inserted.
        scopes: How many scopes are remembered.
    """

    def __init__(
        self,
        depth: int = 12,
        broadest: int = 8,
        rows: int = 1 << 18,
        prompt_window: int = 8192,
        scopes: int = 8,
    ) -> None:
        if depth < 2 or not 1 <= broadest <= _CHILDREN or rows < 1:
            raise ValueError(f"need depth >= 2, 1 <= broadest <= {_CHILDREN}, rows >= 1: {depth}, {broadest}, {rows}")
        self._depth, self._broadest, self._prompt_window = depth, broadest, prompt_window
        self._tries: Scopes[NgramTable] = Scopes(
            lambda: NgramTable(rows, _CHILDREN), scopes, lambda: NgramTable(min(rows, _ALONE), _CHILDREN)
        )
        self._compile()

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        insert(self._tries.begin(request).address, _last(request.tokens, self._prompt_window), 0, self._depth)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        tail = _last(request.tokens, len(committed) + self._depth)
        insert(self._tries.get(request).address, tail, len(tail) - len(committed), self._depth)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        if not len(request.tokens) or min(budget.max_nodes, budget.max_depth) <= 0:
            return EMPTY_DRAFT
        trie, tail = self._tries.get(request).address, _last(request.tokens, self._depth)
        if not budget.branching:
            length = min(budget.max_nodes, budget.max_depth)
            return Draft.chain(most_recent(trie, tail, self._depth, length), origin=NAME)
        token, parent, depth = breadth_first(
            trie, tail, self._depth, self._broadest, budget.max_nodes, budget.max_depth
        )
        return Draft(token, parent, depth, origin=NAME)

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        self._tries.end(request)

    def _compile(self) -> None:
        """Compile, or load from numba's cache, everything now, so that no request waits for it."""
        trie, tokens = NgramTable(1, _CHILDREN), np.zeros(2, np.int32)
        insert(trie.address, tokens, 0, 2)
        most_recent(trie.address, tokens, 2, 1)
        breadth_first(trie.address, tokens, 2, 1, 1, 1)


def _last(tokens: TokenArray, count: int) -> TokenArray:
    """The last ``count`` tokens, in the one layout that the loops are compiled for."""
    copied: TokenArray = np.array(tokens[-count:], np.int32, order="C")
    return copied


@numba.njit(cache=True, nogil=True)
def _ends(tokens, end, depth, keys):  # type: ignore[no-untyped-def]
    """Write the key of each end of ``tokens[:end]`` of ``length`` tokens to ``keys[length]``; returns the longest."""
    longest = min(depth - 1, end)
    for length in range(1, longest + 1):
        key = np.uint64(0)
        for at in range(end - length, end):
            key = extended(key, tokens[at])
        keys[length] = key
    return longest


@numba.njit(cache=True, nogil=True)
def insert(trie, tokens, start, depth):  # type: ignore[no-untyped-def]
    """Insert every token of ``tokens[start:]`` (``int32[n]``) after each of the ends before it."""
    keys = np.zeros(depth + 1, np.uint64)
    longest = _ends(tokens, max(start, 0), depth, keys)
    width = width_of(trie)
    for at in range(start, tokens.shape[0]):
        token = tokens[at]
        for length in range(longest, 0, -1):
            slot = claim(trie, keys[length])
            place = width - 1
            for i in range(width):
                if weight_at(trie, slot, i) == 0.0 or token_at(trie, slot, i) == token:
                    place = i
                    break
            for i in range(place, 0, -1):
                set_entry(trie, slot, i, token_at(trie, slot, i - 1), weight_at(trie, slot, i - 1))
            set_entry(trie, slot, 0, token, 1.0)
        longest = min(longest + 1, depth - 1)
        for length in range(longest, 0, -1):
            keys[length] = extended(keys[length - 1] if length > 1 else np.uint64(0), token)


@numba.njit(cache=True, nogil=True)
def most_recent(trie, tokens, depth, count):  # type: ignore[no-untyped-def]
    """``int32[<= count]``: what most recently followed the longest known end, one token after another."""
    known = tokens.shape[0]
    text = np.empty(known + count, np.int32)
    text[:known] = tokens
    keys = np.zeros(depth + 1, np.uint64)
    for at in range(known, known + count):
        slot = np.int64(-1)
        for length in range(_ends(text, at, depth, keys), 0, -1):
            slot = find(trie, keys[length])
            if slot >= 0:
                break
        if slot < 0:
            return text[known:at].copy()
        text[at] = token_at(trie, slot, 0)
    return text[known:].copy()


@numba.njit(cache=True, nogil=True)
def breadth_first(trie, tokens, depth, broadest, max_nodes, max_depth):  # type: ignore[no-untyped-def]
    """The tree of continuations.

    Args:
        trie: Read.
        tokens: ``int32[n]``, the end of the text.
        depth, broadest: As for :class:`NgramTrieDrafter`.
        max_nodes, max_depth: The budget.

    Returns:
        ``token``, ``parent``, ``depth`` (``int32[m]``).
    """
    out_token, out_parent = np.empty(max_nodes, np.int32), np.empty(max_nodes, np.int32)
    out_depth = np.empty(max_nodes, np.int32)
    keys = np.zeros(depth + 1, np.uint64)
    longest = _ends(tokens, tokens.shape[0], depth, keys)
    narrowing = (broadest - 1.0) / max(1, depth - 2)  # a path of `depth - 1` tokens has one child left
    queue_node, queue_key = np.empty(max_nodes + 1, np.int64), np.empty(max_nodes + 1, np.uint64)
    queue_length = np.empty(max_nodes + 1, np.int64)
    made = 0
    for length in range(longest, 0, -1):
        queue_node[0], queue_key[0], queue_length[0] = -1, keys[length], length
        first, last = 0, 1
        while first < last:
            node, key, matched = queue_node[first], queue_key[first], queue_length[first]
            first += 1
            below = 1 if node < 0 else out_depth[node] + 1
            slot = find(trie, key) if below <= max_depth and matched < depth else np.int64(-1)
            if slot < 0:
                continue
            for i in range(max(1, int(broadest - (matched - 1) * narrowing))):
                if weight_at(trie, slot, i) == 0.0:
                    break
                token = token_at(trie, slot, i)
                child = -1
                for other in range(node + 1, made):
                    if out_parent[other] == node and out_token[other] == token:
                        child = other
                        break
                if child < 0:
                    if made == max_nodes:
                        return out_token, out_parent, out_depth
                    out_token[made], out_parent[made], out_depth[made] = token, node, below
                    child = made
                    made += 1
                queue_node[last], queue_key[last] = child, extended(key, token)
                queue_length[last] = matched + 1
                last += 1
    return out_token[:made], out_parent[:made], out_depth[:made]
