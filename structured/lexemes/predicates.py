"""What can be asked of a string or a number: small values that say what they mean and nothing about how.

Equal predicates are equal values, so they are the keys of every cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Pattern:
    """The string contains a match of an ECMA-262 regular expression (unanchored, as in JSON Schema's ``pattern``)."""

    source: str


@dataclass(frozen=True, slots=True)
class Format:
    """The string is in a format of JSON Schema, by name (:data:`latticework.structured.lexemes.formats.FORMATS`)."""

    name: str


@dataclass(frozen=True, slots=True)
class Length:
    """The string has ``low`` to ``high`` characters (Unicode code points); ``None`` is no upper bound."""

    low: int
    high: int | None = None


@dataclass(frozen=True, slots=True)
class OneOfStrings:
    """The string is one of these."""

    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class AllOf:
    """All parts hold. One verdict for several predicates needs fewer states than a verdict each."""

    parts: tuple[StringPredicate, ...]


StringPredicate = Pattern | Format | Length | OneOfStrings | AllOf


@dataclass(frozen=True, slots=True)
class IsInteger:
    """The number is an integer. JSON Schema counts ``1.0`` as one; up to draft 4 (``fraction=False``) it did not."""

    fraction: bool = True


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The number is ``bound`` or more; more than ``bound`` if ``exclusive``."""

    bound: Fraction
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class AtMost:
    """The number is ``bound`` or less; less than ``bound`` if ``exclusive``."""

    bound: Fraction
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class MultipleOf:
    """The number is an integer times ``divisor``, which is positive."""

    divisor: Fraction


@dataclass(frozen=True, slots=True)
class OneOfNumbers:
    """The number is one of these, compared by value."""

    values: frozenset[Fraction]


NumberPredicate = IsInteger | AtLeast | AtMost | MultipleOf | OneOfNumbers
