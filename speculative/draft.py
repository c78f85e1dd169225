"""The draft: one type for every drafter, a tree of guessed tokens in three parallel arrays.

Layout. Node ``i`` of ``n`` guesses ``token[i]``, to be written after its parent's path. ``parent[i] == -1`` means the
pending token (the last committed one, whose successor is being guessed): the root itself is *not* a node. Parents come
before children and siblings are in order of preference, so ``parent[i] < i`` and every prefix of the arrays is a draft
again. ``depth[i]`` counts from 1. A chain is the special case ``parent[i] == i - 1``.

Source: speculative spec, section 0, "Draft object".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]

ROOT = -1


class DraftKind(StrEnum):
    """How the tokens were chosen; decides which verification rules keep the target's law (section 1)."""

    DETERMINISTIC = "deterministic"
    SAMPLED_IID = "sampled_iid"
    SAMPLED_WITHOUT_REPLACEMENT = "sampled_wor"


def _empty_ints() -> IntArray:
    return np.empty(0, np.int32)


@dataclass(frozen=True, eq=False)
class Draft:
    """A tree of guesses for one request.

    Attributes:
        token: ``int32[n]``, the guessed ids.
        parent: ``int32[n]``, index of the parent node, or :data:`ROOT`.
        depth: ``int32[n]``, 1 for children of the pending token.
        kind: How the tokens were chosen.
        q: ``float32[n, V]``, the distribution each node's token was drawn from; ``None`` for deterministic drafts.
        score: ``float32[n]``, estimated probability that the node's whole path is accepted, ``NaN`` where nobody knows;
            ``None`` if it is known nowhere.
        origin: Name of the drafter that proposed it, for whoever looks into a request; several are joined by ``+``.
    """

    token: IntArray = field(default_factory=_empty_ints)
    parent: IntArray = field(default_factory=_empty_ints)
    depth: IntArray = field(default_factory=_empty_ints)
    kind: DraftKind = DraftKind.DETERMINISTIC
    q: FloatArray | None = None
    score: FloatArray | None = None
    origin: str = ""

    @classmethod
    def chain(cls, tokens: Sequence[int] | IntArray, origin: str = "") -> Draft:
        """A draft without branches."""
        token = np.asarray(tokens, np.int32)
        n = token.shape[0]
        return cls(token, np.arange(-1, n - 1, dtype=np.int32), np.arange(1, n + 1, dtype=np.int32), origin=origin)

    def __len__(self) -> int:
        return int(self.token.shape[0])

    @property
    def is_chain(self) -> bool:
        """Whether every node continues the one before it."""
        return bool(np.array_equal(self.parent, np.arange(-1, len(self) - 1)))

    def along(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """The nodes that ``tokens``, a text after the pending token, go along, as far as they do."""
        pairs = zip(self.parent.tolist(), self.token.tolist(), strict=True)
        edges = {edge: node for node, edge in reversed(list(enumerate(pairs)))}
        path: list[int] = []
        for token in tokens:
            node = edges.get((path[-1] if path else ROOT, token))
            if node is None:
                break
            path.append(node)
        return tuple(path)

    def preorder(self) -> list[int]:
        """The nodes so that each follows its parent's part of the tree depth-first: a walk goes back only to branch.

        From one node to the next of depth ``d``, all but ``d - 1`` of the tokens walked over are given back.
        """
        if self.is_chain:
            return list(range(len(self)))
        children: dict[int, list[int]] = {}
        for node, parent in enumerate(self.parent.tolist()):
            children.setdefault(parent, []).append(node)
        order: list[int] = []
        waiting = children.get(ROOT, [])[::-1]
        while waiting:
            order.append(waiting.pop())
            waiting += children.get(order[-1], [])[::-1]
        return order

    def select(self, kept: npt.NDArray[np.bool_]) -> Draft:
        """The draft of the nodes where ``kept`` (``bool[n]``) is set. A kept node's parent must be kept too."""
        if kept.all():
            return self
        renumbered = np.concatenate((np.cumsum(kept) - 1, [ROOT])).astype(np.int32)  # the last entry is parent -1's
        return replace(
            self,
            token=self.token[kept],
            parent=renumbered[self.parent[kept]],
            depth=self.depth[kept],
            q=None if self.q is None else self.q[kept],
            score=None if self.score is None else self.score[kept],
        )

    def within(self, max_nodes: int, max_depth: int) -> Draft:
        """The first ``max_nodes`` nodes that are at most ``max_depth`` deep."""
        kept = self.depth <= max_depth
        return self.select(kept & (np.cumsum(kept) <= max_nodes))

    def check(self) -> None:
        """Raise ``ValueError`` if the arrays do not form a tree as described above."""
        n = len(self)
        for name, rows in (("score", self.score), ("q", self.q)):
            if rows is not None and rows.shape[0] != n:
                raise ValueError(f"{name} must have one row a node")
        if self.parent.shape != (n,) or self.depth.shape != (n,):
            raise ValueError("token, parent and depth must have one entry a node")
        if np.any(self.parent >= np.arange(n)) or np.any(self.parent < ROOT):
            raise ValueError("a parent must come before its children")
        parent_depth = np.where(self.parent == ROOT, 0, self.depth[np.maximum(self.parent, 0)]) if n else self.depth
        if np.any(self.depth != parent_depth + 1):
            raise ValueError("depth must be the parent's depth plus one")
        if self.kind is not DraftKind.DETERMINISTIC and self.q is None:
            raise ValueError(f"a {self.kind} draft needs the distribution it was drawn from")


EMPTY_DRAFT = Draft()
