"""Verification: which drafted tokens the target agrees with, and the one token it adds.

The rules for deterministic drafts, pure functions over arrays; :mod:`~latticework.speculative.verify_sampled` has those
for drafts that were sampled, :mod:`~latticework.speculative.verify_typical` the one that is not exact.

Everything here rests on :func:`match`: the caller chooses the target's token at the root and at every node exactly as
plain decoding would have chosen it there, and the draft only decides how many of those choices can be used at once. So
the output law is the target's own, whatever the (deterministic) draft was, and where the choices are a function of
(seed, position) the output is bit-identical to decoding without a draft.

Rows. Row 0 is the target's output at the pending token (the root), row ``i + 1`` its output at node ``i``; each is the
target after every transform the request asked for, grammar mask of *that* position included.

Source: speculative spec, section 1, rules 3 and 4.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latticework.speculative.chance import NO_TOKEN, draw
from latticework.speculative.draft import ROOT, Draft, IntArray


@dataclass(frozen=True)
class Verified:
    """What one target forward gained.

    Attributes:
        path: Accepted node indices, from the root down; their key-value rows are kept, all others dropped.
        tokens: What is emitted: the accepted tokens and exactly one more.
    """

    path: tuple[int, ...]
    tokens: tuple[int, ...]


def match(draft: Draft, chosen: IntArray, eos_ids: Collection[int] = ()) -> Verified:
    """Follow the target's choices down the draft as far as it goes.

    Args:
        draft: A tree of ``n`` nodes.
        chosen: ``int32[n + 1]``, the target's token at the root and at every node, :data:`NO_TOKEN` where it has none.
        eos_ids: Tokens that end the text. One that is emitted is the last, drafted or not; nothing follows it.

    Raises:
        ValueError: The shapes disagree, or a row that was reached allows no token.
    """
    if chosen.shape != (len(draft) + 1,):
        raise ValueError(f"expected {len(draft) + 1} choices, one for the root and each node, got {chosen.shape}")
    children: dict[tuple[int, int], int] = {}
    for node, edge in enumerate(zip(draft.parent.tolist(), draft.token.tolist(), strict=True)):
        children.setdefault(edge, node)  # of equal siblings the preferred one counts
    path: list[int] = []
    tokens: list[int] = []
    at: int | None = ROOT
    while at is not None:
        token = int(chosen[at + 1])
        if token == NO_TOKEN:
            raise ValueError(f"the target allows no token after {len(tokens)} emitted ones")
        tokens.append(token)
        at = None if token in eos_ids else children.get((at, token))
        if at is not None:
            path.append(at)
    return Verified(tuple(path), tuple(tokens))


def greedy_verify(draft: Draft, logits: npt.NDArray[np.floating[Any]], eos_ids: Collection[int] = ()) -> Verified:
    """Verify against greedy decoding. ``logits``: ``float[n + 1, V]``; ties go to the lower id."""
    chosen = logits.argmax(axis=1).astype(np.int32)
    best = np.take_along_axis(logits, chosen[:, None], axis=1)[:, 0]
    chosen[~(best > -np.inf)] = NO_TOKEN
    return match(draft, chosen, eos_ids)


def sample_and_match(
    draft: Draft,
    probabilities: npt.NDArray[np.floating[Any]],
    uniforms: npt.NDArray[np.float64],
    eos_ids: Collection[int] = (),
) -> Verified:
    """Verify against sampled decoding: draw at each position as plain decoding would, follow while the draft agrees.

    Exact for deterministic drafts, chains and trees alike.

    Args:
        draft: A tree of ``n`` nodes.
        probabilities: ``float[n + 1, V]``, non-negative; rows need not sum to one.
        uniforms: ``float64[>= deepest + 1]`` in ``[0, 1)``: ``uniforms[d]`` draws the token after a node of depth ``d``
            (0: the root). Nodes of one depth share it, because only one of them can be reached; that is what makes
            the draw a function of the position alone.
        eos_ids: As in :func:`match`.
    """
    depths = np.concatenate(([0], draft.depth)).astype(np.intp)
    return match(draft, draw(probabilities, uniforms[depths]), eos_ids)
