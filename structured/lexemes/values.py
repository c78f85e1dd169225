"""Predicates asked of known numbers, without a table."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from latticework.structured.lexemes.predicates import (
    AtLeast,
    AtMost,
    IsInteger,
    MultipleOf,
    NumberPredicate,
    OneOfNumbers,
)

_PLAIN = (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2))


def holds_of(predicate: NumberPredicate, value: Fraction) -> bool:
    """Whether the predicate holds of the number."""
    match predicate:
        case IsInteger():
            return value.denominator == 1
        case AtLeast(bound, exclusive):
            return value > bound or (value == bound and not exclusive)
        case AtMost(bound, exclusive):
            return value < bound or (value == bound and not exclusive)
        case MultipleOf(divisor):
            return (value / divisor).denominator == 1
        case OneOfNumbers(values):
            return value in values


def telling(predicate: NumberPredicate) -> Collection[Fraction]:
    """A few numbers on both sides of the predicate, all of them finite decimals."""
    match predicate:
        case AtLeast(bound) | AtMost(bound):
            return (bound, bound - 1, bound + 1, Fraction(bound.__floor__()), Fraction(bound.__ceil__()), *_PLAIN)
        case MultipleOf(divisor):
            return (divisor, -divisor, divisor / 2, *_PLAIN)
        case OneOfNumbers(values):
            return (*values, *_PLAIN)
    return _PLAIN
