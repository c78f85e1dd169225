"""The tri-gram drafter: a compact table that adapts to the running text, searched for a tree of good lines.

The table is a scope's. It takes the tri-grams of a prompt once, and those of the last :data:`_WINDOW` tokens after
every step, so what the text repeats is soon as heavy as the cap allows. The published drafter adapts when it drafts;
here it does so when it observes, once a step as well, because a draft may be asked for twice. When its tree is full
the published one drops the paths of most distinct tokens, this one those visited least.

Source: speculative spec, section 3 (ADED).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, TokenArray, VerifiedRows
from latticework.speculative.ngram_table import NgramTable
from latticework.speculative.scopes import Scopes
from latticework.speculative.trigram_search import chain, most_visited, reinforce, search

NAME = "trigram"
_SUCCESSORS, _WINDOW = 12, 16
_STEP, _CAP = 0.04, 3.0
_LENGTH, _PATHS = 3, 24
_LEAST_SHARE = 0.2
_SMALLEST = 1 << 12


class TrigramDrafter:
    """Drafts the lines of a tree search over tri-grams; as a chain, the heaviest successors one after another.

    Args:
        iterations: Lines that a search tries.
        rows: Pairs of tokens that a scope keeps (120 bytes each); those confirmed longest ago give way.
        prompt_window: How many of a prompt's last tokens are read.
        scopes: How many scopes are remembered.
        seed: Of the search's roll-outs.
    """

    def __init__(
        self,
        iterations: int = 150,
        rows: int = 1 << 16,
        prompt_window: int = 8192,
        scopes: int = 8,
        seed: int = 0,
    ) -> None:
        if iterations < 1 or rows < 1:
            raise ValueError(f"need positive iterations and rows, got {iterations} and {rows}")
        self._iterations, self._prompt_window, self._seed = iterations, prompt_window, seed
        self._tables: Scopes[NgramTable] = Scopes(
            lambda: NgramTable(rows, _SUCCESSORS), scopes, lambda: NgramTable(min(rows, _SMALLEST), _SUCCESSORS)
        )
        self._compile()

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        reinforce(self._tables.begin(request).address, _last(request.tokens, self._prompt_window), _STEP, _CAP)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        window = max(_WINDOW, len(committed) + 2)  # no token goes unread, however many come at once
        reinforce(self._tables.get(request).address, _last(request.tokens, window), _STEP, _CAP)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        if len(request.tokens) < 2 or min(budget.max_nodes, budget.max_depth) <= 0:
            return EMPTY_DRAFT
        table = self._tables.get(request).address
        before, last = request.tokens[-2:]
        if not budget.branching:
            length = min(budget.max_nodes, budget.max_depth)
            return Draft.chain(chain(table, before, last, length, _LEAST_SHARE), origin=NAME)
        found = search(table, before, last, self._iterations, _LENGTH, 1.0, np.uint64(self._seed))
        token, parent, depth = most_visited(table, before, found, _PATHS, budget.max_nodes, budget.max_depth)
        return Draft(token, parent, depth, origin=NAME)

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        self._tables.end(request)

    def _compile(self) -> None:
        """Compile, or load from numba's cache, everything now, so that no request waits for it."""
        made, zero = NgramTable(1, _SUCCESSORS), np.int32(0)
        table = made.address
        reinforce(table, np.zeros(3, np.int32), _STEP, _CAP)
        chain(table, zero, zero, 1, _LEAST_SHARE)
        most_visited(table, zero, search(table, zero, zero, 1, 1, 1.0, np.uint64(0)), 1, 1, 1)


def _last(tokens: TokenArray, count: int) -> TokenArray:
    """The last ``count`` tokens, in the one layout that the loops are compiled for."""
    copied: TokenArray = np.array(tokens[-count:], np.int32, order="C")
    return copied
