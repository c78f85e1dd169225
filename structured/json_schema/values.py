"""JSON values as the specification compares them: by mathematical value and kind, not as Python does."""

from __future__ import annotations

import json
from collections.abc import Hashable
from fractions import Fraction
from typing import Any

from latticework.structured.errors import BudgetExceededError

#: Numbers with more digits, written out, are not compared.
_MAX_DIGITS = 4_000  # what Python converts, and more than any exponent that a number lexeme reads


def exact_json(text: bytes) -> Any:
    """A JSON text as :func:`json.loads` reads it, but with numbers that have a point or an exponent as exact fractions.

    Raises:
        BudgetExceededError: A number of more than 4000 digits.
    """
    return EXACT.decode(text.decode())


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise BudgetExceededError("number", f"one of more than {_MAX_DIGITS} digits cannot be compared")
    return int(text)


def _fraction(text: str) -> Fraction:
    digits, _, exponent = text.lower().partition("e")
    if len(digits) > _MAX_DIGITS or len(exponent) > 8 or abs(int(exponent or 0)) > _MAX_DIGITS:
        raise BudgetExceededError("number", f"one of more than {_MAX_DIGITS} digits cannot be compared")
    return Fraction(text)


#: Reads JSON as :func:`exact_json` does, from the middle of a text.
EXACT = json.JSONDecoder(parse_float=_fraction, parse_int=_integer)


def exact(number: int | float | Fraction) -> Fraction:
    """The number as the document spells it: 0.1 is one tenth, not the nearest binary fraction.

    Raises ``ValueError`` or ``OverflowError`` for NaN and the infinities.
    """
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def exact_text(number: Fraction) -> bytes:
    """A JSON text of a number, which must be a finite decimal."""
    digits, shifted = 0, number
    while shifted.denominator > 1:
        shifted *= 10
        digits += 1
    text = str(abs(shifted.numerator)).rjust(digits + 1, "0")
    written = f"{text[:-digits]}.{text[-digits:]}" if digits else text
    return f"-{written}".encode() if number < 0 else written.encode()


def json_key(value: Any) -> Hashable:
    """A key that two JSON values share if and only if they are equal: True is not 1, 1.0 is 1, key order is nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int | float | Fraction):
        return exact(value)
    if isinstance(value, list | tuple):
        return ("array", *map(json_key, value))
    return ("object", frozenset((name, json_key(item)) for name, item in value.items()))


def json_type(value: Any) -> str:
    """The kind of a JSON value: null, boolean, number, string, array or object."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Fraction):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list | tuple) else "object"
