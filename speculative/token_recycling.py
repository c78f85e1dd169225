"""Token Recycling: the tokens the target held likely after a token are the guess of what follows it next time.

State: for every token seen, the target's ``k`` likeliest successors when it was last verified, at rejected nodes too,
and at the positions of the prompt where the engine shows those. The tree is grown best first by estimated acceptance,
or has the shape of the published template: from the pending token its ranks are looked up level by level. What
would hang below a token without a row is left out. A token that was never verified has what followed it in the prompt.

Source: speculative spec, section 2 (the default template of 80 nodes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, TokenArray, VerifiedRows
from latticework.speculative.ngram_table import NgramTable
from latticework.speculative.offer_record import OfferRecord
from latticework.speculative.recycling_kernel import (
    WIDTH,
    Template,
    fill,
    grow,
    learn,
    make_record,
    recycle,
    recycle_text,
    seed,
)
from latticework.speculative.scopes import Scopes

NAME = "token_recycling"
_SMALLEST = 1 << 10
#: A chain ends where its estimated chance falls below this: there is no second branch that the rest could go to.
_LEAST_OF_A_CHAIN = 0.1

#: Children of each node of the template, by the node's path of ranks; a child's rank is its place.
_CHILDREN: dict[tuple[int, ...], int] = {
    (): 8,
    **{(rank,): count for rank, count in enumerate((8, 4, 3, 2, 1, 1, 1, 1))},
    **{(0, rank): count for rank, count in enumerate((8, 3, 2, 1, 1, 1, 1, 1))},
    (1, 0): 2,
    **dict.fromkeys([(1, 1), (2, 0), (3, 0), (4, 0), (5, 0)], 1),
    **{(0, 0, rank): count for rank, count in enumerate((5, 2, 1, 1, 1))},
    **dict.fromkeys([(0, 1, 0), (0, 2, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0)], 1),
    **{(0, 0, 0, rank): count for rank, count in enumerate((3, 1, 1))},
    **dict.fromkeys([(0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)], 1),
    (0, 0, 0, 0, 0): 2,
    (0, 0, 0, 1, 0): 1,
}


def template() -> list[tuple[int, ...]]:
    """The paths of the default template, level by level, in order of rank: 80 of them."""
    level: list[tuple[int, ...]] = [()]
    paths: list[tuple[int, ...]] = []
    while level:
        level = [(*path, rank) for path in level for rank in range(_CHILDREN.get(path, 0))]
        paths += level
    return paths


class Growth(StrEnum):
    """The shape of the tree."""

    BEST_FIRST = "best_first"
    TEMPLATE = "template"


def _by_value(paths: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The template so that every prefix of it is a good tree of its size: low ranks and short paths first."""
    return sorted(paths, key=lambda path: (len(path) + sum(path), len(path), path))


@dataclass(frozen=True, slots=True)
class _Memory:
    """What the requests of one scope share."""

    shown: NgramTable
    record: OfferRecord


@dataclass(frozen=True, slots=True)
class _Request:
    seeded: NgramTable
    memory: _Memory
    addresses: tuple[int, int, int]  # what was shown, what the prompt has, record


class TokenRecyclingDrafter:
    """Drafts a tree out of what the target showed; a chain of first ranks where nothing else is verified.

    Args:
        tokens: How many tokens' rows a scope keeps, rounded up to a power of two (81 bytes each); further ones replace
            those shown longest ago.
        growth: The shape of the tree.
        scopes: How many scopes are remembered.
    """

    verified_top_k = WIDTH
    verified_prompt = True

    def __init__(self, tokens: int = 1 << 16, growth: Growth = Growth.BEST_FIRST, scopes: int = 8) -> None:
        if tokens < 1:
            raise ValueError(f"at least one token's row must be kept, got {tokens}")
        self._tokens, self._growth = tokens, growth
        self._memories = Scopes(lambda: self._make_memory(tokens), scopes, lambda: self._make_memory(_SMALLEST))
        self._requests: dict[str, _Request] = {}
        self._template = _as_arrays(_by_value(template()))
        self._compile()

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        memory = self._memories.begin(request)
        seeded = NgramTable(min(max(_SMALLEST, request.prompt_length), self._tokens), WIDTH)
        seed(seeded.address, _contiguous(request.tokens), 0)
        addresses = (memory.shown.address, seeded.address, memory.record.address)
        self._requests[request.request_id] = _Request(seeded, memory, addresses)

    def read_prompt(self, request: RequestView, shown: VerifiedRows, start: int) -> None:
        """See :func:`~latticework.speculative.drafter.read_prompt`."""
        if (state := self._requests.get(request.request_id)) is not None:
            token, _, ids, logprobs = _arrays(shown)
            recycle_text(state.memory.shown.address, token, ids, logprobs)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        state = self._requests.get(request.request_id)
        if state is None:
            return
        tail = _contiguous(request.tokens[-(len(committed) + 1) :])
        learn(*state.addresses, tail, len(tail) - len(committed))
        seed(state.seeded.address, tail, len(tail) - len(committed))
        if verified is not None and len(verified.token):
            token, parent, ids, logprobs = _arrays(verified)
            recycle(state.memory.shown.address, token, parent, np.array(committed, np.int32), ids, logprobs)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        state = self._requests.get(request.request_id)
        if state is None or not len(request.tokens) or min(budget.max_nodes, budget.max_depth) <= 0:
            return EMPTY_DRAFT
        last = np.int32(request.tokens[-1])
        if budget.branching and self._growth is Growth.TEMPLATE:
            arrays = fill(*state.addresses, self._template, last, budget.max_nodes, budget.max_depth)
        else:
            least = 0.0 if budget.branching else _LEAST_OF_A_CHAIN
            arrays = grow(*state.addresses, last, budget.max_nodes, budget.max_depth, budget.branching, least)
        token, parent, depth, score = arrays
        return Draft(token, parent, depth, score=score, origin=NAME) if len(token) else EMPTY_DRAFT

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        self._requests.pop(request.request_id, None)
        self._memories.end(request)

    def _compile(self) -> None:
        """Compile, or load from numba's cache, everything now, so that no request waits for it."""
        rows, record, tokens = NgramTable(1, WIDTH), make_record(), np.zeros(2, np.int32)
        addresses = (rows.address, rows.address, record.address)
        learn(*addresses, tokens, 1)
        seed(rows.address, tokens, 1)
        ids, logprobs = np.zeros((1, WIDTH), np.int32), np.zeros((1, WIDTH), np.float32)
        recycle(rows.address, tokens[:1], tokens[:1], tokens[:1], ids, logprobs)
        recycle_text(rows.address, tokens[:1], ids, logprobs)
        fill(*addresses, self._template, np.int32(0), 1, 1)
        grow(*addresses, np.int32(0), 1, 1, True, 0.0)

    def _make_memory(self, tokens: int) -> _Memory:
        return _Memory(NgramTable(min(tokens, self._tokens), WIDTH), make_record())


def _arrays(shown: VerifiedRows) -> tuple[TokenArray, TokenArray, TokenArray, npt.NDArray[np.float32]]:
    """Tokens, parents (-2 where the engine cannot tell), likeliest ids and their log-probabilities, for the loops."""
    token = _contiguous(shown.token)
    parent = np.full(len(token), -2, np.int32) if shown.parent is None else _contiguous(shown.parent)
    logprobs = np.array(shown.top_logprobs, np.float32, order="C")
    return token, parent, _contiguous(shown.top_ids), logprobs


def _as_arrays(paths: list[tuple[int, ...]]) -> Template:
    place = {path: at for at, path in enumerate(paths)} | {(): ROOT}
    return Template(
        np.array([place[path[:-1]] for path in paths], np.int64),
        np.array([path[-1] for path in paths], np.int64),
        np.array([len(path) for path in paths], np.int64),
    )


def _contiguous(tokens: TokenArray) -> TokenArray:
    """One layout for the compiled loops, which would be compiled again for another (or for a read-only array)."""
    copied: TokenArray = np.array(tokens, np.int32, order="C")
    return copied
