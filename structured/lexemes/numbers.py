r"""JSON numbers with the verdicts of predicates on their value.

What may be written depends on what is asked, because not every verdict on every writing is regular:

- Nothing asked: every number of RFC 8259, section 6, with an exponent of at most three digits. More is beyond the range
  of every parser, and cannot be compared with anything.
- Predicates: plain decimals ``-?(0|[1-9][0-9]*)(\.[0-9]+)?``, any number of digits, trailing zeros and ``-0`` included;
  and, unless :class:`IsInteger` is among them, what ``json.dumps`` writes for floats of at least 1e16 or below 1e-4:
  ``d(.d{1,16})?e+XX``, ``e-0X``, ``e-XX`` (a last digit other than zero, at most 17 digits, up to e+308 and e-324),
  where the exponent alone settles every predicate. With :class:`IsInteger`, a fraction of zeros only is ``.0``.
- ``canonical``: plain decimals whose fraction is ``.0`` or ends in another digit than zero. Every value then has one
  writing, or two if it is an integer; zero has four.

A number ends where its maximal munch ends, so states with a result are not closed.
"""

from __future__ import annotations

from functools import lru_cache

from latticework.structured.automata.moore import Moore, combined, relabelled
from latticework.structured.automata.regex_machine import regex_machine
from latticework.structured.automata.spelling import raw_table
from latticework.structured.errors import GrammarError
from latticework.structured.lexemes.lexeme import Lexeme, Vector
from latticework.structured.lexemes.magnitudes import EXCLUDED, comparison_machine, equality_machine
from latticework.structured.lexemes.multiples import multiple_machine
from latticework.structured.lexemes.predicates import (
    AtLeast,
    AtMost,
    IsInteger,
    MultipleOf,
    NumberPredicate,
    OneOfNumbers,
)
from latticework.structured.table_cache import TABLES

_FIELD = "number"
_WHOLE = r"-?(0|[1-9][0-9]*)"
_ANY = _WHOLE + r"(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?"
_DUMPED = (
    r"-?[1-9](\.[0-9]{0,15}[1-9])?e"
    r"(-(0?[5-9]|[1-9][0-9]|[12][0-9]{2}|3[01][0-9]|32[0-4])|\+(1[6-9]|[2-9][0-9]|[12][0-9]{2}|30[0-8]))"
)
_DECIMAL = _WHOLE + rf"(\.[0-9]+)?|{_DUMPED}"
_NO_ZEROS = _WHOLE + r"(\.0|\.[0-9]*[1-9][0-9]*)?"
_CANONICAL = _WHOLE + r"(\.0|\.[0-9]*[1-9])?"
_INTEGER = _WHOLE + r"(\.0+)?"


@TABLES.kept
def number_lexeme(predicates: tuple[NumberPredicate, ...], *, canonical: bool = False) -> Lexeme:
    """A JSON number; see the module for how it may be written.

    Raises:
        GrammarError: A bound or divisor that is no finite decimal.
        BudgetExceededError: The predicates need too many states together.
    """
    if not predicates and not canonical:
        return Lexeme(raw_table(_language(_ANY), field=_FIELD), ((),))
    integer = any(isinstance(predicate, IsInteger) for predicate in predicates)
    pattern = _CANONICAL if canonical else _NO_ZEROS if integer else _DECIMAL
    machines = [_language(pattern), *(number_machine(predicate) for predicate in predicates)]
    machine, labels = combined(machines, field=_FIELD)
    vectors: list[Vector] = []
    results = []
    for written, *verdicts in labels:
        if not written or EXCLUDED in verdicts:
            results.append(0)
            continue
        vectors.append(tuple(bool(verdict) for verdict in verdicts))
        results.append(len(vectors))
    return Lexeme(raw_table(relabelled(machine, results), field=_FIELD), tuple(vectors))


@TABLES.kept
def number_machine(predicate: NumberPredicate) -> Moore:
    """Label 1 for the numbers of which ``predicate`` holds, 0 for the others, or :data:`EXCLUDED` if not known.

    Texts that are no number, or not written as the module says, have any label.
    """
    match predicate:
        case IsInteger(fraction):
            return _language(_INTEGER if fraction else _WHOLE)
        case AtLeast(bound, exclusive):
            return comparison_machine(bound, (False, not exclusive, True))
        case AtMost(bound, exclusive):
            return comparison_machine(bound, (True, not exclusive, False))
        case MultipleOf(divisor):
            if divisor <= 0:
                raise GrammarError("multipleOf", f"expected a number above zero, got {divisor}")
            return multiple_machine(divisor)
        case OneOfNumbers(values):
            return equality_machine(values)


@lru_cache(maxsize=16)
def _language(pattern: str) -> Moore:
    return regex_machine(pattern, field=_FIELD, search=False)
