"""Verification of drafts that were sampled: chain, block, and tree rejection sampling.

All of them emit the target's own law whatever the drafter's was, provided ``draft.q`` holds the distributions the
tokens were really drawn from (after the drafter's temperature, top-k and grammar mask). What a drafter may drop: a
*sampled* node only for reasons that do not depend on its token (a fixed grammar mask that ``q`` is conditioned on is
such a reason, the token's probability is not). Deterministic drafts may be pruned by anything.

Rows are those of :mod:`latticework.speculative.verify`; ratios and residuals are computed in float64.

Source: speculative spec, section 1, rules 1, 2, 6, 7 and 8.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from latticework.speculative.chance import Chance, Row, Rows
from latticework.speculative.draft import ROOT, Draft, DraftKind
from latticework.speculative.verify import Verified


def multi_round(draft: Draft, probabilities: Rows, chance: Chance, eos_ids: Collection[int] = ()) -> Verified:
    """Try the children of a node one after another, each against what the ones before it left of the target.

    One rule for every kind of draft: a chain (then it is speculative sampling), a tree with i.i.d. siblings, a tree
    with siblings drawn without replacement (``draft.q`` holds each sibling's own distribution, the earlier ones
    zeroed), and deterministic chains and trees (``q`` is then one-hot and not looked at).

    Args:
        draft: A tree of ``n`` nodes; siblings in the order they were drawn.
        probabilities: ``float[n + 1, V]``, non-negative; rows need not sum to one.
        chance: One coin a tested node, and the draw of the last token.
        eos_ids: Tokens that end the text. One that is emitted is the last.

    Raises:
        ValueError: The shapes disagree, a row that was reached allows no token, or a node's token has no mass in the
            distribution it is said to come from.
    """
    _check_rows(draft, probabilities)
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(draft.parent.tolist()):
        children.setdefault(parent, []).append(node)
    path: list[int] = []
    tokens: list[int] = []
    at = ROOT
    while True:
        accepted, residual = _first_accepted(
            draft, children.get(at, []), _normalized(probabilities[at + 1], len(tokens)), chance
        )
        if accepted is None:
            return Verified(tuple(path), (*tokens, chance.draw(residual)))
        at = accepted
        path.append(at)
        tokens.append(int(draft.token[at]))
        if tokens[-1] in eos_ids:
            return Verified(tuple(path), tuple(tokens))


def block_verify(draft: Draft, probabilities: Rows, chance: Chance, eos_ids: Collection[int] = ()) -> Verified:
    """Accept the longest prefix of a sampled chain as a whole; never shorter on average than :func:`multi_round`.

    A token that would have been rejected alone is kept if what follows makes up for it, so the coins are all thrown
    and the *last* head counts, not the heads before the first tail.

    Arguments and errors are those of :func:`multi_round`; ``draft`` must be a sampled chain.
    """
    _check_rows(draft, probabilities)
    if not draft.is_chain or draft.q is None:
        raise ValueError("block verification needs a sampled chain")
    drafted = draft.token.tolist()
    length = next((i + 1 for i, token in enumerate(drafted) if token in eos_ids), len(drafted))
    ended = length > 0 and drafted[length - 1] in eos_ids
    accepted, weight = 0, 1.0  # weight: how much of the target's mass the accepted prefix carries
    running = 1.0
    for i in range(1, length + 1):
        guess = _normalized(draft.q[i - 1], i - 1)
        row = probabilities[i - 1]
        token = drafted[i - 1]
        mass = float(row.sum(dtype=np.float64))
        if guess[token] <= 0.0:
            raise ValueError(f"node {i - 1} cannot have been drawn from its q")
        running = min(1.0, running * (float(row[token]) / mass) / guess[token]) if mass > 0.0 else 0.0
        if running <= 0.0:  # no longer prefix has any chance, and rows below may allow nothing
            break
        if chance.coin(i - 1, _share(draft, probabilities, i, running) if i < length else running):
            accepted, weight = i, running
    tokens = tuple(drafted[:accepted])
    path = tuple(range(accepted))
    if accepted == length and ended:
        return Verified(path, tokens)
    target = _normalized(probabilities[accepted], accepted)
    if accepted < length:
        guess = _normalized(draft.q[accepted], accepted)
        target = _positive_part(weight * target - guess, target)
    return Verified(path, (*tokens, chance.draw(target)))


def _first_accepted(draft: Draft, nodes: list[int], residual: Row, chance: Chance) -> tuple[int | None, Row]:
    """The first of the siblings that is accepted; else what is left of the target after all of them."""
    for node in nodes:
        token = int(draft.token[node])
        if draft.kind is DraftKind.DETERMINISTIC:
            here = float(residual[token]) if 0 <= token < residual.shape[0] else 0.0
            if chance.coin(node, here):
                return node, residual
            if here > 0.0:
                rest = residual.copy()
                rest[token] = 0.0
                residual = _positive_part(rest, residual)
            continue
        assert draft.q is not None
        guess = draft.q[node].astype(np.float64)
        mass = guess.sum()
        if mass <= 0.0:  # drawn without replacement from what had nothing left
            break
        guess /= mass
        if guess[token] <= 0.0:
            raise ValueError(f"node {node} cannot have been drawn from its q")
        if chance.coin(node, min(1.0, residual[token] / guess[token])):
            return node, residual
        residual = _positive_part(residual - guess, residual)
    return None, residual


def _share(draft: Draft, probabilities: Rows, length: int, running: float) -> float:
    """``h`` of block verification: the chance that a prefix of ``length`` is kept, longer ones having failed."""
    assert draft.q is not None
    row = probabilities[length].astype(np.float64)
    mass = row.sum()
    guess = _normalized(draft.q[length], length)
    surplus = float(np.maximum(running * row / mass - guess, 0.0).sum()) if mass > 0.0 else 0.0
    below = surplus + 1.0 - running
    return surplus / below if below > 0.0 else 1.0


def _positive_part(difference: Row, otherwise: Row) -> Row:
    """``norm([difference]+)``; ``otherwise`` where rounding has left nothing of it."""
    positive = np.maximum(difference, 0.0)
    mass = positive.sum()
    return positive / mass if mass > 0.0 else otherwise


def _normalized(row: Rows, emitted: int) -> Row:
    exact: Row = row.astype(np.float64)
    mass = exact.sum()
    if not mass > 0.0:
        raise ValueError(f"no token is allowed after {emitted} emitted ones")
    exact /= mass
    return exact


def _check_rows(draft: Draft, probabilities: Rows) -> None:
    if probabilities.ndim != 2 or probabilities.shape[0] != len(draft) + 1:
        raise ValueError(f"expected {len(draft) + 1} rows, one for the root and each node, got {probabilities.shape}")
    if draft.kind is not DraftKind.DETERMINISTIC and draft.q is None:
        raise ValueError(f"a {draft.kind} draft needs the distribution it was drawn from")
