"""JSON strings, from the opening to the closing quote, with the verdicts of predicates on their content."""

from __future__ import annotations

import numpy as np

from latticework.structured.automata.moore import MAX_STATES, Moore, combined, constant, relabelled
from latticework.structured.automata.regex_machine import regex_machine
from latticework.structured.automata.spelling import Writing, quoted_table
from latticework.structured.automata.tries import length_machine, trie_machine
from latticework.structured.errors import BudgetExceededError
from latticework.structured.lexemes.formats import format_machine
from latticework.structured.lexemes.lexeme import Lexeme, Vector
from latticework.structured.lexemes.predicates import AllOf, Format, Length, OneOfStrings, Pattern, StringPredicate
from latticework.structured.pushdown.table import DEAD, Table
from latticework.structured.table_cache import TABLES

#: A bound on lengths from here on is dropped: no engine writes a text this long, and every character is a state.
UNREACHABLE_LENGTH = 2**24

_FIELD = "string"


@TABLES.kept
def string_lexeme(
    predicates: tuple[StringPredicate, ...], *, canonical: bool = False, counted: bool = True
) -> Lexeme:
    """A JSON string. The table starts before the opening quote and is closed after the closing one.

    ``counted`` says whether the table may count (:attr:`Table.thresholds`) where only lengths are asked for.

    With no predicates, or lengths only, every legal escape is allowed; with others, or ``canonical``, each character
    has one writing (:class:`~latticework.structured.automata.spelling.Writing`). Lengths count code points.

    Raises:
        GrammarError: A pattern is not a regular expression.
        UnsupportedGrammarError: A pattern or format that cannot be enforced.
        BudgetExceededError: The predicates need too many states together.
    """
    writing = Writing.CANONICAL if canonical else Writing.ANY
    if all(isinstance(predicate, Length) for predicate in predicates) and (counted or not predicates):
        return _counted(tuple(p for p in predicates if isinstance(p, Length)), writing)
    machine, labels = combined([predicate_machine(predicate) for predicate in predicates], field=_FIELD)
    table = quoted_table(machine, Writing.CANONICAL, field=_FIELD)
    return Lexeme(table, tuple(tuple(bool(label) for label in vector) for vector in labels))


@TABLES.kept
def predicate_machine(predicate: StringPredicate) -> Moore:
    """The minimal machine with label 1 for the strings of which ``predicate`` holds, and 0 for the others."""
    match predicate:
        case Pattern(source):
            return regex_machine(source, field="pattern", search=True)
        case Length(low, high):
            high = None if high is not None and high >= UNREACHABLE_LENGTH else high
            if max(low, high or 0) >= MAX_STATES:
                raise BudgetExceededError("length", f"lengths from {MAX_STATES} on are too many states here")
            return length_machine(low, high)
        case OneOfStrings(values):
            return trie_machine(values)
        case Format(name):
            return format_machine(name)
        case AllOf(parts):
            machine, labels = combined([predicate_machine(part) for part in parts], field=_FIELD)
            return relabelled(machine, [all(vector) for vector in labels])


def _counted(predicates: tuple[Length, ...], writing: Writing) -> Lexeme:
    """Lengths by the counting table: one state for the whole body, whatever the bounds."""
    bounds = {length.low for length in predicates} | {
        length.high + 1 for length in predicates if length.high is not None
    }
    thresholds = tuple(sorted(bound for bound in bounds if 0 < bound < UNREACHABLE_LENGTH))
    plain = quoted_table(constant(0), writing, field=_FIELD)
    if not thresholds:
        return Lexeme(plain, (_verdicts(predicates, 0),))
    body = plain.delta[plain.start, plain.classes[0x22]]
    # A character counts as soon as it begins: what cannot be finished within the bounds is not begun.
    advance = np.zeros(plain.delta.shape, np.uint8)
    advance[body] = plain.delta[body] != DEAD
    advance[body, plain.classes[0x22]] = 0
    table = Table(
        plain.classes,
        plain.delta,
        plain.result,
        plain.end,
        plain.outcomes,
        plain.start,
        thresholds=thresholds,
        advance=advance,
    )
    return Lexeme(table, tuple(_verdicts(predicates, count) for count in (0, *thresholds)))


def _verdicts(predicates: tuple[Length, ...], count: int) -> Vector:
    return tuple(length.low <= count and (length.high is None or count <= length.high) for length in predicates)
