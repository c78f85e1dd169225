"""The numbers that satisfy a function where they are few: points, and what divisors leave of bounded ranges."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor, lcm

from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.formulas import Formulas
from latticework.structured.json_schema.values import exact_text
from latticework.structured.lexemes.predicates import AtLeast, AtMost, IsInteger, MultipleOf, OneOfNumbers
from latticework.structured.lexemes.values import holds_of

#: An open range between two bounds, without end where one is missing.
_Range = tuple[Fraction | None, Fraction | None]


def few_numbers(formulas: Formulas, function: int, limit: int) -> Mapping[Hashable, bytes] | None:
    """All numbers that satisfy a function, each with a JSON text of it; ``None`` if they are more than ``limit``.

    Raises:
        BudgetExceededError: It takes too long to find out.
    """
    if function <= TRUE:
        return {} if function == FALSE else None
    search = _Search(formulas, function)
    found: dict[Hashable, bytes] = {}
    for value in search.values():
        if value is None:
            return None
        found[value] = exact_text(value)
        if len(found) > limit:
            return None
    return found


class _Search:
    """One function of numbers."""

    def __init__(self, formulas: Formulas, function: int) -> None:
        self._formulas = formulas
        self._function = function
        points: set[Fraction] = set()
        self._steps: set[Fraction] = set()
        # Up to draft 4 an integer is what is written without a point: a number may be either.
        self._spelled = False
        for variable in formulas.diagrams.support(function):
            atom = formulas.atoms[variable]
            if isinstance(atom, AtLeast | AtMost):
                points.add(atom.bound)
            elif isinstance(atom, OneOfNumbers):
                points.update(atom.values)
            elif isinstance(atom, MultipleOf):
                self._steps.add(atom.divisor)
            elif isinstance(atom, IsInteger):
                self._steps.add(Fraction(1))
                self._spelled |= not atom.fraction
        self._points = sorted(points)

    def values(self) -> Iterator[Fraction | None]:
        """The numbers; ``None`` where there is no end of them."""
        for point in self._points:
            self._formulas.budget.work()
            if self._holds(point):
                yield point
        for low, high in pairwise((None, *self._points, None)):
            yield from self._between((low, high))

    def _between(self, within: _Range) -> Iterator[Fraction | None]:
        low, high = within
        if low is None:
            inside = Fraction(0) if high is None else high - 1
        else:
            inside = low + 1 if high is None else (low + high) / 2
        if self._holds(inside, multiple=False):
            yield None
            return
        if not self._steps:
            return
        if low is None or high is None:
            # What holds of a number holds of those a period away.
            period = lcm(*(step.numerator for step in self._steps))
            first = low if low is not None else high - period - 1 if high is not None else Fraction(0)
            if any(self._holds(value) for value in self._multiples(first, first + period + 1)):
                yield None
            return
        yield from (value for value in self._multiples(low, high) if self._holds(value))

    def _multiples(self, low: Fraction, high: Fraction) -> Iterator[Fraction]:
        """The multiples of all divisors in an open range, each once."""
        seen: set[Fraction] = set()
        for step in sorted(self._steps, reverse=True):
            for count in range(floor(low / step) + 1, ceil(high / step)):
                self._formulas.budget.work()
                value = step * count
                if value not in seen:
                    seen.add(value)
                    yield value

    def _holds(self, value: Fraction, *, multiple: bool = True) -> bool:
        """Whether a number satisfies the function; ``multiple=False``: one near it that no divisor divides."""
        if multiple and not _decimal(value):
            return False
        atoms = self._formulas.atoms

        def holds(variable: int, spelled: bool) -> bool:
            atom = atoms[variable]
            if isinstance(atom, IsInteger | MultipleOf) and not multiple:
                return False
            if isinstance(atom, IsInteger) and not atom.fraction and not spelled:
                return False
            return holds_of(atom, value)  # type: ignore[arg-type]

        return any(
            self._formulas.diagrams.evaluate(self._function, lambda variable, s=spelled: holds(variable, s))  # type: ignore[misc]
            for spelled in ((True, False) if self._spelled else (True,))
        )


def _decimal(value: Fraction) -> bool:
    """Whether the number has a finite decimal writing."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1
