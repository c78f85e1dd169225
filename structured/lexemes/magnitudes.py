"""Decimal texts compared with decimals, digit by digit.

The machines read texts of the forms in :mod:`latticework.structured.lexemes.numbers`; other texts get any label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable
from fractions import Fraction
from typing import TypeVar

import numpy as np

from latticework.structured.automata.moore import Moore, minimal, partition
from latticework.structured.automata.regex_machine import regex_machine
from latticework.structured.errors import BudgetExceededError, GrammarError

S = TypeVar("S", bound=Hashable)

#: ``(sign, digits before the point, digits after it or -1, comparison so far)``.
_Reading = tuple[int, int, int, int]

#: The label of texts whose verdict their exponent does not settle: they are not written.
EXCLUDED = 2

SYMBOLS = "0123456789.-e+"
_MAX_DIGITS = 5_000
#: Bound on the numbers of one list.
MAX_LISTED = 2_000

#: What is known of a magnitude: less than, equal to or greater than the bound's, as an index of the verdicts.
_LESS, _EQUAL, _GREATER = 0, 1, 2


def decimal_digits(value: Fraction) -> tuple[str, str]:
    """The digits of ``|value|`` before and after the point, without needless zeros (``"0"`` before it at least).

    Raises:
        GrammarError: The decimal does not end.
        BudgetExceededError: It has more digits than any text needs.
    """
    twos = (value.denominator & -value.denominator).bit_length() - 1
    fives = round(math.log(value.denominator >> twos, 5)) if value.denominator >> twos > 1 else 0
    if value.denominator != 2**twos * 5**fives:
        raise GrammarError("number", f"{value} is not a finite decimal")
    places = max(twos, fives)
    if max(places, abs(value.numerator).bit_length() // 3) > _MAX_DIGITS:
        raise BudgetExceededError("number", f"a number of more than {_MAX_DIGITS} digits")
    scaled = str(abs(value.numerator) * (10**places // value.denominator)).rjust(places + 1, "0")
    return (scaled[:-places], scaled[-places:]) if places else (scaled, "")


def symbol_machine(start: S, step: Callable[[S, str], S], label: Callable[[S], int]) -> Moore:
    """The minimal machine over :data:`SYMBOLS` of a function from states and symbols to states."""
    cuts, kinds, classes = partition([((ord(symbol),) * 2,) for symbol in SYMBOLS])
    number: dict[S, int] = {start: 0}
    states = [start]
    rows = []
    for state in states:  # grows
        row = [0] * (int(kinds.max()) + 1)
        for symbol, (column,) in zip(SYMBOLS, classes, strict=True):
            target = step(state, symbol)
            if target not in number:
                number[target] = len(states)
                states.append(target)
            row[column] = number[target]
        rows.append(row)
    labels = np.array([label(state) for state in states], np.int32)
    return minimal(Moore(cuts, kinds, np.array(rows, np.int32), labels))


def comparison_machine(bound: Fraction, verdicts: tuple[bool, bool, bool]) -> Moore:
    """The verdicts on numbers less than, equal to and greater than ``bound``."""
    whole, fraction = decimal_digits(bound)
    digits = whole + fraction
    point = len(whole)
    # Numbers with an exponent lie outside 1e-4 .. 1e16, which settles the comparison with a bound between.
    settled = bound == 0 or Fraction(1, 10**4) <= abs(bound) <= 10**16

    # After an "e" the digits after the point are -2.
    def step(state: _Reading, symbol: str) -> _Reading:
        sign, before, after, so_far = state
        if symbol == "-":
            return (-1, 0, -1, _EQUAL) if before == 0 else (sign, before, after, _exponent(_LESS))
        if symbol == "+":
            return (sign, before, after, _exponent(_GREATER))
        if symbol == "e":
            return (sign, 1, -2, _EQUAL)
        if after == -2:
            return state
        if symbol == ".":
            return (sign, point, 0, so_far if before == point else _LESS) if before <= point else state
        if after == -1:
            if before == point:
                return (sign, point + 1, -1, _GREATER)
            if before > point:
                return state
            return (sign, before + 1, -1, _compared(so_far, symbol, digits[before]))
        if so_far != _EQUAL:
            return state
        if after == len(fraction):
            return state if symbol == "0" else (sign, before, after, _GREATER)
        return (sign, before, after + 1, _compared(so_far, symbol, fraction[after]))

    def _exponent(comparison: int) -> int:
        if not settled:
            return EXCLUDED + 1
        return _GREATER if bound == 0 else comparison

    def label(state: _Reading) -> int:
        sign, before, after, so_far = state
        if so_far > _GREATER:
            return EXCLUDED
        if after == -1 and before < point:
            so_far = _LESS
        if after in (-1, *range(len(fraction))) and so_far == _EQUAL and fraction:
            so_far = _LESS
        if bound == 0:
            return int(verdicts[_EQUAL if so_far == _EQUAL else _GREATER if sign > 0 else _LESS])
        if (sign > 0) != (bound > 0):
            return int(verdicts[_GREATER if sign > 0 else _LESS])
        return int(verdicts[so_far if sign > 0 else 2 - so_far])

    return symbol_machine((1, 0, -1, _EQUAL), step, label)


def _compared(so_far: int, digit: str, other: str) -> int:
    if so_far != _EQUAL or digit == other:
        return so_far
    return _LESS if digit < other else _GREATER


def equality_machine(values: Collection[Fraction]) -> Moore:
    """Label 1 for the numbers that equal one of ``values``."""
    if len(values) > MAX_LISTED:
        raise BudgetExceededError("number", f"more than {MAX_LISTED} numbers are listed")
    writings = []
    for value in sorted(values):
        whole, fraction = decimal_digits(value)
        sign = "-?" if value == 0 else "-" if value < 0 else ""
        tail = rf"\.{fraction}0*" if fraction else r"(\.0+)?"
        writings.append(sign + whole + tail)
        dumped = repr(_float(value))
        if "e" in dumped and Fraction(dumped) == value:
            writings.append(dumped.replace("+", r"\+").replace(".", r"\."))
            writings.append(dumped.replace("e-0", "e-").replace("+", r"\+").replace(".", r"\."))
    return regex_machine("|".join(writings) or "[^\\s\\S]", field="number", search=False)


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return 0.0
