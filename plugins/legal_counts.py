"""How many tokens were legal at each position of one request, drafted positions included: for its trace."""

from __future__ import annotations

from collections.abc import Sequence

from latticework.plugins.enforcing import Enforcement
from latticework.structured.bitmask import Bitmask, count


def key_after(key: int, token: int) -> int:
    """The key of a text that goes on with ``token``; that of the empty text is 0."""
    return hash((key, token))


class CountingEnforcement(Enforcement):
    """Counts what its masks allow.

    Texts are known by their keys: a draft is walked over before anyone knows which of its tokens are kept, and branches
    of a tree share their lengths.

    Args:
        position: At the start of the text. Not to be used any more.
    """

    __slots__ = ("_counts", "_keys")

    def __init__(self, position: Enforcement) -> None:
        super().__init__(position.compiled)
        self._keys = [0]
        self._counts: dict[int, int] = {}

    def legal(self, key: int) -> int | None:
        """How many tokens could follow the text with this key; ``None`` if no mask was made there."""
        return self._counts.get(key)

    def accept(self, token: int) -> bool:
        """See :class:`Enforcement`."""
        accepted = super().accept(token)
        if accepted:
            self._keys.append(key_after(self._keys[-1], token))
        return accepted

    def rollback(self, count: int) -> None:
        """See :class:`Enforcement`."""
        super().rollback(count)
        if count:
            del self._keys[-count:]

    def fill(self, row: Bitmask) -> None:
        """See :class:`Enforcement`. A mask that could not be computed is not counted."""
        super().fill(row)
        if not self._is_dead():
            self._counts[self._keys[-1]] = count(row)


def keys_along(key: int, parents: Sequence[int], tokens: Sequence[int]) -> list[int]:
    """The key before each node of a tree whose root is the text with ``key``.

    Args:
        key: Of the text before the tree.
        parents, tokens: As of :class:`~latticework.speculative.draft.Draft`.
    """
    before: list[int] = []
    for parent in parents:
        before.append(key if parent < 0 else key_after(before[parent], tokens[parent]))
    return before
