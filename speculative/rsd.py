"""Recursive speculative decoding: trees of samples of which no two are alike.

Siblings (RSD-C) or whole sequences (RSD-S) are sampled *without replacement*, so no node is spent on what is in the
tree already. Which nodes are in the tree depends on how surely they were drawn and never on what they turned out to be,
and each node's ``q`` is what it was drawn from after its earlier siblings: verified by
:func:`latticework.speculative.verify_sampled.multi_round` the output law is the target's.

Source: speculative spec, section 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latticework.speculative.chance import Row
from latticework.speculative.draft import ROOT, Draft, DraftKind
from latticework.speculative.draft_model import Forward, Path, Sampler

NAME = "rsd"


def constant_branching(forward: Forward, sample: Sampler, branching: Sequence[int]) -> Draft:
    """RSD-C: every node of level ``l`` has ``branching[l]`` children (fewer only where there is nothing else to draw).

    One forward pass a level. All ones is plain speculative sampling.
    """
    tree = _Tree()
    level: list[tuple[int, Path]] = [(ROOT, ())]
    for width in branching:
        below: list[tuple[int, Path]] = []
        for (node, path), row in zip(level, _forward(forward, level), strict=True):
            left = row
            for _ in range(width):
                if not left.any():
                    break
                token = sample(left.astype(np.float64))
                below.append((tree.add(node, token, left), (*path, token)))
                left = left.copy()
                left[token] = 0.0
        level = below
    return tree.draft()


def stochastic_beams(forward: Forward, generator: np.random.Generator, width: int, length: int) -> Draft:
    """RSD-S: the prefixes of a stochastic beam search, ``width`` sequences of ``length`` tokens without replacement.

    One forward pass a level. Each level keeps the sequences of the ``width`` largest perturbed log-probabilities; a
    sequence's is the largest of its continuations', so the beams of all levels are of one draw.
    """
    tree = _Tree()
    beam: list[tuple[int, Path]] = [(ROOT, ())]
    mass, value = np.zeros(1), np.zeros(1)  # log-probability of each sequence, and its perturbed value
    for _ in range(length):
        rows = np.stack(_forward(forward, beam))
        exact = rows.astype(np.float64)
        with np.errstate(divide="ignore"):
            logs = np.log(exact) - np.log(exact.sum(axis=1, keepdims=True)) + mass[:, None]
        perturbed = conditioned(logs + generator.gumbel(size=logs.shape), value)
        best = np.argsort(-perturbed, axis=None, kind="stable")[:width]
        best = best[np.isfinite(perturbed.ravel()[best])]
        left = list(rows)
        below: list[tuple[int, Path]] = []
        for parent, token in zip(*(part.tolist() for part in np.unravel_index(best, perturbed.shape)), strict=True):
            node, path = beam[parent]
            below.append((tree.add(node, token, left[parent]), (*path, token)))
            left[parent] = left[parent].copy()
            left[parent][token] = 0.0
        mass, value = logs.ravel()[best], perturbed.ravel()[best]
        beam = below
    return tree.draft()


def conditioned(perturbed: npt.NDArray[np.float64], value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Perturbed log-probabilities of children, shifted so that the largest of each row is its parent's ``value``.

    ``-log(exp(-value) - exp(-largest) + exp(-perturbed))``, in a form that neither overflows nor cancels.

    Args:
        perturbed: ``float64[rows, V]``, ``-inf`` for what has no probability.
        value: ``float64[rows]``.
    """
    largest = perturbed.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gap = value[:, None] - perturbed + np.log1p(-np.exp(perturbed - largest))
        shifted = value[:, None] - np.maximum(gap, 0.0) - np.log1p(np.exp(-np.abs(gap)))
    shifted = np.where(perturbed == largest, value[:, None], shifted)
    return np.where(np.isneginf(perturbed), -np.inf, shifted)


class _Tree:
    """A draft under way."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._parents: list[int] = []
        self._depths: list[int] = []
        self._rows: list[npt.NDArray[np.float32]] = []

    def add(self, parent: int, token: int, row: npt.NDArray[np.float32]) -> int:
        """A node drawn from ``row``; returns its index."""
        self._tokens.append(token)
        self._parents.append(parent)
        self._depths.append(1 if parent == ROOT else self._depths[parent] + 1)
        self._rows.append(row)
        return len(self._tokens) - 1

    def draft(self) -> Draft:
        return Draft(
            np.array(self._tokens, np.int32),
            np.array(self._parents, np.int32),
            np.array(self._depths, np.int32),
            DraftKind.SAMPLED_WITHOUT_REPLACEMENT,
            np.stack(self._rows) if self._rows else np.empty((0, 0), np.float32),
            origin=NAME,
        )


def _forward(forward: Forward, nodes: list[tuple[int, Path]]) -> list[npt.NDArray[np.float32]]:
    """The rows after some nodes, rounded to float32 *before* anything is drawn, as verification will see them."""
    if not nodes:
        return []
    rows: Sequence[Row] = forward([path for _, path in nodes])
    return [np.asarray(row, np.float32) for row in rows]
