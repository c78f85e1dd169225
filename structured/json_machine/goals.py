"""Which words of verdicts are acceptable (see :mod:`.demand`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from latticework.structured.json_machine.budget import WorkBudget
from latticework.structured.json_machine.diagrams import FALSE, TRUE, Diagrams


class Goal(Protocol):
    """A set of words: bit ``i`` is the verdict on item ``i``."""

    def __contains__(self, word: object, /) -> bool:
        """Whether the word is acceptable."""
        ...

    def function(self, diagrams: Diagrams, roots: tuple[int, ...]) -> int:
        """The function that says that the verdicts ``roots`` form an acceptable word."""
        ...


class Holds:
    """The goal where one item must hold."""

    def __contains__(self, word: object, /) -> bool:
        """See :class:`Goal`."""
        return word == 1

    def function(self, diagrams: Diagrams, roots: tuple[int, ...]) -> int:
        """See :class:`Goal`."""
        return roots[0]


HOLDS = Holds()


class Cases:
    """Words in which, in some case, all of certain items hold and all of certain others fail.

    Args:
        cases: Per case, the items that hold and those that fail, as bit sets.

    Attributes:
        cases: Those that no other one covers, in a fixed order.
    """

    def __init__(self, cases: Iterable[tuple[int, int]]) -> None:
        kept: list[tuple[int, int]] = []
        for holds, fails in sorted(set(cases), key=lambda case: (case[0].bit_count() + case[1].bit_count(), case)):
            if not any(holds & h == h and fails & f == f for h, f in kept):
                kept.append((holds, fails))
        self.cases = tuple(kept)

    def __contains__(self, word: object, /) -> bool:
        """See :class:`Goal`."""
        assert isinstance(word, int)
        return any(word & holds == holds and not word & fails for holds, fails in self.cases)

    def function(self, diagrams: Diagrams, roots: tuple[int, ...]) -> int:
        """See :class:`Goal`."""
        result = FALSE
        for holds, fails in self.cases:
            case = TRUE
            for i, root in enumerate(roots):
                if holds >> i & 1:
                    case = diagrams.both(case, root)
                elif fails >> i & 1:
                    case = diagrams.both(case, diagrams.negate(root))
            result = diagrams.either(result, case)
        return result


class Judgement:
    """Words that are judged when they first come up: there are too many to list, and most never do.

    Args:
        acceptable: The judge.
        budget: Every word is a question.
    """

    def __init__(self, acceptable: Callable[[int], bool], budget: WorkBudget) -> None:
        self._acceptable = acceptable
        self._budget = budget
        self._known: dict[int, bool] = {}

    def __contains__(self, word: object, /) -> bool:
        """See :class:`Goal`."""
        assert isinstance(word, int)
        known = self._known.get(word)
        if known is None:
            self._budget.ask()
            known = self._known[word] = self._acceptable(word)
        return known

    def function(self, diagrams: Diagrams, roots: tuple[int, ...]) -> int:
        """See :class:`Goal`."""
        return self._function(diagrams, roots, 0, 0, TRUE)

    def _function(self, diagrams: Diagrams, roots: tuple[int, ...], index: int, word: int, so_far: int) -> int:
        """The function of the acceptable words that begin with ``word``, where ``so_far`` holds."""
        if index == len(roots):
            return TRUE if word in self else FALSE
        root = roots[index]
        there = diagrams.both(so_far, root)
        absent = diagrams.both(so_far, diagrams.negate(root))
        if absent == FALSE:
            return self._function(diagrams, roots, index + 1, word | 1 << index, there)
        if there == FALSE:
            return self._function(diagrams, roots, index + 1, word, absent)
        return diagrams.choose(
            root,
            self._function(diagrams, roots, index + 1, word | 1 << index, there),
            self._function(diagrams, roots, index + 1, word, absent),
        )
