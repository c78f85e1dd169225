"""Staged drafting: a small model drafts for the large one, and a cheaper drafter drafts for the small one.

The cheaper drafter (n-grams, say) only decides which rows the small model computes in one forward pass, so it changes
how many passes a draft costs and nothing else: the tree is the same with and without it, and a sampled chain has the
small model's own law.

Source: speculative spec, section 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from latticework.speculative.chance import Row
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft, DraftKind
from latticework.speculative.draft_model import Forward, Path, Sampler
from latticework.speculative.drafter import DraftBudget
from latticework.speculative.verify import match

NAME = "staged"
#: A child counts a little less than its parent, so that a full tree never depends on what follows its worst node.
_SURE = 1.0 - 1e-12

#: The cheaper drafter: a deterministic draft of what follows a path of drafted tokens.
Proposer = Callable[[Path], Draft]


def likeliest_tree(forward: Forward, budget: DraftBudget, width: int, propose: Proposer | None = None) -> Draft:
    """The ``max_nodes`` paths that the small model holds likeliest, as a deterministic tree with their probabilities.

    Each round computes the rows after those nodes of the best tree so far that may still have children in it, and after
    what ``propose`` says follows them; the rounds end when no node is left whose row could change the tree. So there
    are at most as many rounds as the tree is deep, and fewer where proposals come true.

    Args:
        forward: The small model.
        budget: Without branching the tree is the chain of likeliest tokens.
        width: How many of a node's likeliest successors are looked at.
        propose: The cheaper drafter, if there is one.
    """
    if min(budget.max_nodes, budget.max_depth) <= 0:
        return EMPTY_DRAFT
    width = width if budget.branching else 1
    rows: dict[Path, list[tuple[int, float]]] = {}
    tree: dict[Path, float] = {}
    while wanted := _unknown(tree, rows, budget):
        asked = dict.fromkeys(wanted)
        for path in wanted if propose is not None else ():
            asked |= dict.fromkeys(_paths_below(path, propose(path), budget.max_depth))  # type: ignore[misc]
        fresh = [path for path in asked if path not in rows]
        rows |= {path: _likeliest(row, width) for path, row in zip(fresh, forward(fresh), strict=True)}
        tree = _best(rows, budget)
    place = {(): ROOT} | {path: node for node, path in enumerate(tree)}
    return Draft(
        np.array([path[-1] for path in tree], np.int32),
        np.array([place[path[:-1]] for path in tree], np.int32),
        np.array([len(path) for path in tree], np.int32),
        score=np.array(list(tree.values()), np.float32),
        origin=NAME,
    )


def sampled_chain(forward: Forward, sample: Sampler, length: int, propose: Proposer | None = None) -> Draft:
    """A chain of ``length`` tokens sampled from the small model, with the rows they were drawn from.

    In each round the small model reads what ``propose`` says follows, and samples at every position; what agrees is
    kept, and the first token that does not (sample-and-match, with the small model for the target).
    """
    tokens: list[int] = []
    drawn_from: list[npt.NDArray[np.float32]] = []
    while len(tokens) < length:
        path = tuple(tokens)
        guess = propose(path).within(length, length - len(tokens) - 1) if propose is not None else EMPTY_DRAFT
        rows = [np.asarray(row, np.float32) for row in forward([path, *_paths_below(path, guess, length)])]
        chosen = np.full(len(guess) + 1, -1, np.int32)
        at: int | None = ROOT
        while at is not None:  # drawn along the way only: what nobody reaches needs no draw
            token = chosen[at + 1] = sample(rows[at + 1].astype(np.float64))
            drawn_from.append(rows[at + 1])
            below = np.flatnonzero((guess.parent == at) & (guess.token == token))
            at = int(below[0]) if len(below) else None
        tokens += match(guess, chosen).tokens
    q = np.stack(drawn_from) if drawn_from else np.empty((0, 0), np.float32)
    return replace(Draft.chain(tokens, NAME), kind=DraftKind.SAMPLED_IID, q=q)


def _unknown(tree: dict[Path, float], rows: dict[Path, list[tuple[int, float]]], budget: DraftBudget) -> list[Path]:
    """The nodes whose row is not known and whose children might belong to the tree."""
    if () not in rows:
        return [()]
    # A child is worth less than its parent, so a full tree has no place for children of its worst node.
    least = min(tree.values()) if len(tree) == budget.max_nodes else 0.0
    return [path for path, worth in tree.items() if worth > least and len(path) < budget.max_depth and path not in rows]


def _best(rows: dict[Path, list[tuple[int, float]]], budget: DraftBudget) -> dict[Path, float]:
    """The best tree of what is known, best nodes first."""
    tree: dict[Path, float] = {}
    open_paths: dict[Path, float] = {(token,): worth for token, worth in rows[()]}
    while open_paths and len(tree) < budget.max_nodes:
        best = max(open_paths, key=lambda path: (open_paths[path], -len(path), [-token for token in path]))
        worth = tree[best] = open_paths.pop(best)
        if not budget.branching:
            open_paths.clear()
        if len(best) < budget.max_depth:
            open_paths |= {(*best, token): worth * min(share, _SURE) for token, share in rows.get(best, ())}
    return tree


def _likeliest(row: Row, width: int) -> list[tuple[int, float]]:
    exact = np.asarray(row, np.float64)
    best = np.argsort(-exact, kind="stable")[:width]
    return [(int(token), float(exact[token] / exact.sum())) for token in best if exact[token] > 0.0]


def _paths_below(path: Path, draft: Draft, longest: int) -> list[Path]:
    """The path of every node of ``draft`` below ``path``, in order, as far as they are shorter than ``longest``."""
    paths: list[Path] = []
    for token, parent in zip(draft.token.tolist(), draft.parent.tolist(), strict=True):
        paths.append((*(paths[parent] if parent >= 0 else path), token))
    return [below for below in paths if len(below) < longest]
