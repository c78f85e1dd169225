"""Symbols that go on alike and differ in a set only: the keys that an open object has had so far.

An object with thirty keys has a thousand million symbols, one for each set of keys, but what follows each of its keys
is the same thing whatever the set is. A source that says so is asked once a key and not once a set; the mask runtime
keeps the sets itself (:mod:`latticework.structured.runtime.members`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from latticework.structured.pushdown.protocol import Action, Symbol

#: Results of what stands between two members, and so of a :attr:`Kind.GAP`.
GO_ON, CLOSE = 0, 1


class Kind(IntEnum):
    """What the goal of a family's symbol says."""

    #: The goal is :attr:`Rule.usable`, whatever the set is.
    CARRY = 0
    #: Results that are not in the set.
    CHOOSE = 1
    #: Whether one of those is left (:data:`GO_ON`), and whether the set has what is required (:data:`CLOSE`).
    GAP = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """The goal of a family's symbols, as a function of their set. All attributes but ``kind`` are bit sets.

    Attributes:
        kind: How the others are read.
        usable: The results that are possible at all.
        ordered: Of these, nothing comes after the first one that is not yet in the set.
        required: What the set must have before the end.
        captured: A :attr:`Kind.CHOOSE` symbol captures if any of these results is possible.
    """

    kind: Kind
    usable: int
    ordered: int = 0
    required: int = 0
    captured: int = 0

    @property
    def possible(self) -> int:
        """The results with which a symbol with some set can be completed."""
        return (self.usable != 0) << GO_ON | 1 << CLOSE if self.kind is Kind.GAP else self.usable

    def goal(self, members: int) -> int:
        """The results with which the symbol with this set can be completed."""
        if self.kind is Kind.CARRY:
            return self.usable
        left = self.usable & ~members
        if missing := self.ordered & ~members:
            left &= ((missing & -missing) << 1) - 1
        if self.kind is Kind.CHOOSE:
            return left
        return (left != 0) << GO_ON | (not self.required & ~members) << CLOSE


class Family(Protocol):
    """The symbols of one rule. Equal families are the same; hashable.

    In the ``push`` of its answers, :class:`Grown` stands for a symbol of a family whose set is that of the symbol that
    goes on, and more. Promise: with these filled in, an answer is the one that the source gives for the symbol itself.
    """

    @property
    def rule(self) -> Rule:
        """See :class:`Rule`."""
        ...

    def symbol(self, members: int) -> Symbol:
        """The symbol with this set."""
        ...

    def resume(self, result: int) -> Action | None:
        """See :meth:`~.protocol.PushdownSource.resume`."""
        ...

    def refused(self) -> Collection[bytes]:
        """See :meth:`~.protocol.PushdownSource.refused`."""
        ...

    def resume_text(self, result: int, text: bytes) -> Action | None:
        """See :meth:`~.protocol.PushdownSource.resume_text`."""
        ...


@dataclass(frozen=True, slots=True)
class Grown:
    """The symbol of ``family`` with the set of the symbol that goes on and the bits of ``add``."""

    family: Family
    add: int = 0
