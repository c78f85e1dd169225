"""Lookahead's n-gram pool, fed from the text: for every token, the n-grams that followed it last.

Where the engine runs Lookahead's window the pool is fed from its trajectories; a chain- or tree-verifying engine has no
window, so here it is fed from the prompt and from what was written, as the specification advises for such engines. The
draft is the trie of the pending token's n-grams, the most recent ones first; a chain is the most recent n-gram.

Source: speculative spec, section 4, steps 6 and 9.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.speculative.scopes import Scopes
from latticework.speculative.trie import merged

NAME = "ngram_pool"
_Gram = tuple[int, ...]


class NgramPool:
    """Tokens with the n-grams that followed them, the most recent last; both bounded, the stalest go first.

    Args:
        length: Tokens of an n-gram after its key (``N - 1`` of the paper).
        grams: N-grams kept a token (``G`` of the paper).
        keys: Tokens kept.
    """

    def __init__(self, length: int, grams: int, keys: int) -> None:
        if min(length, grams, keys) < 1:
            raise ValueError(f"need positive sizes, got {length}, {grams} and {keys}")
        self._length, self._grams, self._keys = length, grams, keys
        self._pool: OrderedDict[int, OrderedDict[_Gram, None]] = OrderedDict()

    def feed(self, tokens: Sequence[int], start: int = 0) -> None:
        """Keep the n-grams of ``tokens`` that end at position ``start`` or later."""
        for at in range(max(start - self._length, 0), len(tokens) - self._length):
            self.insert(tokens[at], tuple(tokens[at + 1 : at + 1 + self._length]))

    def insert(self, key: int, gram: _Gram) -> None:
        """``gram`` followed ``key``; one that is there already becomes the most recent."""
        grams = self._pool.setdefault(key, OrderedDict())
        grams[gram] = None
        grams.move_to_end(gram)
        if len(grams) > self._grams:
            grams.popitem(last=False)
        self._pool.move_to_end(key)
        if len(self._pool) > self._keys:
            self._pool.popitem(last=False)

    def after(self, key: int) -> list[_Gram]:
        """The n-grams that followed ``key``, the most recent first."""
        return list(reversed(self._pool.get(key, ())))


class NgramPoolDrafter:
    """Drafts the n-grams that followed the pending token in the request's text and in its scope's earlier ones.

    Only the last ``prompt_window`` tokens of a prompt are read. Memory: ``keys * grams`` n-grams a scope.
    """

    def __init__(
        self, length: int = 6, grams: int = 7, keys: int = 1 << 14, prompt_window: int = 8192, scopes: int = 8
    ) -> None:
        NgramPool(length, grams, keys)  # refuses wrong sizes now, not at the first request
        self._length, self._prompt_window = length, prompt_window
        self._pools = Scopes(lambda: NgramPool(length, grams, keys), scopes)

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        self._pools.begin(request).feed(request.tokens[-self._prompt_window :].tolist())

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        tail = request.tokens[-(len(committed) + self._length) :].tolist()
        self._pools.get(request).feed(tail, len(tail) - len(committed))

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        if not len(request.tokens) or min(budget.max_nodes, budget.max_depth) <= 0:
            return EMPTY_DRAFT
        grams = self._pools.get(request).after(int(request.tokens[-1]))
        return merged(grams, budget, NAME)

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        self._pools.end(request)
