"""Decimal texts that are multiples of a decimal: remainders, digit by digit."""

from __future__ import annotations

from fractions import Fraction

from latticework.structured.automata.moore import Moore
from latticework.structured.errors import BudgetExceededError
from latticework.structured.lexemes.magnitudes import EXCLUDED, decimal_digits, symbol_machine

#: ``("int", remainder, zeros since it became 0)``, ``("frac", places read, remainder)``, ``("e", 0, 0)`` after an "e",
#: ``("exp", label, 0)`` after its sign.
_Reading = tuple[str, int, int]

#: Bound on the remainders that are told apart.
MAX_REMAINDERS = 20_000


def multiple_machine(divisor: Fraction) -> Moore:
    """Label 1 for the multiples of ``divisor``, which is positive.

    With ``divisor = units / 10**places``, a number is a multiple if and only if, in units of ``10**-places``, it is an
    integer that ``units`` divides. Factors of ten are not remainders: they are zeros at the end.

    Raises:
        GrammarError: The divisor is no finite decimal.
        BudgetExceededError: More than :data:`MAX_REMAINDERS` remainders.
    """
    whole, fraction = decimal_digits(divisor)
    places = len(fraction)
    units = int(whole + fraction)
    zeros = 0
    while units % 10 == 0:
        units //= 10
        zeros += 1
    if units * (places + 1) > MAX_REMAINDERS:
        raise BudgetExceededError("multipleOf", f"{divisor} needs more than {MAX_REMAINDERS} remainders")

    def step(state: _Reading, symbol: str) -> _Reading:
        kind, first, second = state
        if symbol == "e":
            return ("e", 0, 0)
        if kind == "e":
            if symbol == "+":  # at least 1e16, at most 17 digits: an integer
                return ("exp", 1 if units == 1 and not zeros else EXCLUDED, 0)
            if symbol == "-":  # not zero, below 1e-4
                return ("exp", 0 if divisor >= Fraction(1, 10**4) else EXCLUDED, 0)
            return state
        if kind == "exp" or symbol in "-+":
            return state
        if symbol == ".":
            return ("frac", 0, first * 10**places % units if second >= zeros else -1)
        digit = int(symbol)
        if kind == "int":
            remainder = (first * 10 + digit) % units
            counted = second + 1 if first == 0 and digit == 0 else 0
            return ("int", remainder, min(counted, zeros))
        if second < 0 or (first == places and digit == 0):
            return state
        if first == places:
            return ("frac", places, -1)
        return ("frac", first + 1, (second + digit * 10 ** (places - first - 1)) % units)

    def label(state: _Reading) -> int:
        kind, first, second = state
        if kind == "exp":
            return int(first)
        if kind == "int":
            return int(first * 10**places % units == 0 and second >= zeros)
        return int(second == 0)

    return symbol_machine(("int", 0, zeros), step, label)
