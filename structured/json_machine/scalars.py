"""Strings and numbers: which lexeme reads them, and which of its results satisfy what."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from latticework.structured.errors import GrammarError
from latticework.structured.json_machine.diagrams import FALSE, TRUE
from latticework.structured.json_machine.formulas import Formulas
from latticework.structured.lexemes.listed import encodable, listed_table
from latticework.structured.lexemes.numbers import number_lexeme
from latticework.structured.lexemes.predicates import (
    AllOf,
    Format,
    Length,
    NumberPredicate,
    OneOfNumbers,
    OneOfStrings,
    Pattern,
    StringPredicate,
)
from latticework.structured.lexemes.strings import predicate_machine, string_lexeme
from latticework.structured.lexemes.values import holds_of, telling
from latticework.structured.pushdown.table import DEAD, Table

_CACHED_VERDICTS = 65536


@dataclass(frozen=True, eq=False, slots=True)
class Scalar:
    """A lexeme for several functions at once: result ``r`` satisfies function ``i`` if ``words[r] >> i & 1``."""

    table: Table
    words: tuple[int, ...]


def scalar(
    formulas: Formulas, functions: tuple[int, ...], kind: str, *, failing: bool = False, canonical: bool = False
) -> Scalar:
    """The lexeme that reads strings or numbers and tells which of the functions they satisfy.

    Without ``failing``, it need not read those that satisfy none. With ``canonical``, each string has one writing.

    Raises:
        UnsupportedGrammarError, BudgetExceededError: See the lexemes.
    """
    if kind == "string":
        listed = _listed(formulas, functions, failing)
        if listed is not None:
            return listed
    diagrams = formulas.diagrams
    cube = diagrams.cube(functions[0]) if len(functions) == 1 else None
    if cube is not None and kind == "string" and len(cube[0]) > 1:
        # One verdict for all that must hold takes fewer states than a verdict each.
        holds = AllOf(tuple(formulas.atoms[variable] for variable in cube[0]))  # type: ignore[misc]
        fails = tuple(formulas.atoms[variable] for variable in cube[1])
        lexeme = string_lexeme((holds, *fails), canonical=canonical)  # type: ignore[arg-type]
        return Scalar(lexeme.table, tuple(int(v[0] and not any(v[1:])) for v in lexeme.vectors))
    variables = _support(formulas, functions)
    chosen: tuple[Any, ...] = tuple(formulas.atoms[variable] for variable in variables)
    lexeme = string_lexeme(chosen, canonical=canonical) if kind == "string" else number_lexeme(chosen)
    words = []
    for vector in lexeme.vectors:
        verdicts = dict(zip(variables, vector, strict=True))
        words.append(_word(formulas, functions, verdicts.__getitem__))
    return Scalar(lexeme.table, tuple(words))


def _support(formulas: Formulas, functions: tuple[int, ...]) -> list[int]:
    return sorted({variable for function in functions for variable in formulas.diagrams.support(function)})


def _word(formulas: Formulas, functions: tuple[int, ...], holds: Callable[[int], bool]) -> int:
    return sum(1 << i for i, f in enumerate(functions) if formulas.diagrams.evaluate(f, holds))


def _listed(formulas: Formulas, functions: tuple[int, ...], failing: bool) -> Scalar | None:
    """The lexeme where listed strings are all that matters: one by one, and every other string like any other."""
    atoms = formulas.atoms
    variables = _support(formulas, functions)
    listing = [variable for variable in variables if isinstance(atoms[variable], OneOfStrings)]
    if not listing:
        return None
    unlisted = tuple(formulas.diagrams.replace(f, dict.fromkeys(listing, FALSE)) for f in functions)
    if any(function > TRUE for function in unlisted):
        return None
    other = sum(function << i for i, function in enumerate(unlisted))
    index: dict[int, int] = {}
    labels: dict[str, int] = {}
    if functions == (formulas.diagrams.literal(listing[0]),):
        labels, index = dict.fromkeys(_texts(formulas, listing), 0), {1: 0}
    for text in () if labels else _texts(formulas, listing):
        formulas.budget.work()
        word = _word(formulas, functions, lambda v, text=text: matches(atoms[v], text))  # type: ignore[misc]
        if word != other:
            labels[text] = index.setdefault(word, len(index))
    if not labels:
        return Scalar(string_lexeme(()).table, (other,))
    if not other and not failing:
        return Scalar(listed_table(labels, other=None), tuple(index))
    return Scalar(listed_table(labels, other=len(index)), (*index, other))


def _texts(formulas: Formulas, listing: list[int]) -> dict[str, None]:
    """All texts that are listed, free of lone surrogates: no others can be written."""
    return {t: None for v in listing for t in formulas.atoms[v].values if encodable(t)}  # type: ignore[attr-defined]


def possible(formulas: Formulas, function: int, kind: str) -> bool:
    """Whether a string or number satisfies the function."""
    if function <= TRUE:
        return function == TRUE
    cube = formulas.diagrams.cube(function)
    if cube is not None and not cube[1] and len(cube[0]) == 1 and _surely(formulas.atoms[cube[0][0]]):
        return True
    answer = _seen_at_once(formulas, function, kind)
    if answer is not None:
        return answer
    try:
        return any(scalar(formulas, (function,), kind).words)
    except GrammarError as error:
        if type(error) is GrammarError:  # the lexeme is empty
            return False
        raise


def _seen_at_once(formulas: Formulas, function: int, kind: str) -> bool | None:
    """Whether a value satisfies the function, as far as listed values and a few others tell."""
    atoms, diagrams = formulas.atoms, formulas.diagrams
    listing = [v for v in diagrams.support(function) if isinstance(atoms[v], OneOfStrings | OneOfNumbers)]
    unlisted = diagrams.replace(function, dict.fromkeys(listing, FALSE))
    if kind == "string":
        if unlisted == TRUE or any(satisfied(formulas, function, text) for text in _texts(formulas, listing)):
            return True
    else:
        asked: dict[int, NumberPredicate] = {v: atoms[v] for v in diagrams.support(function)}  # type: ignore[misc]
        for value in dict.fromkeys(value for predicate in asked.values() for value in telling(predicate)):
            if diagrams.evaluate(function, lambda v, value=value: holds_of(asked[v], value)):  # type: ignore[misc]
                return True
    return False if unlisted == FALSE else None


def _surely(predicate: object) -> bool:
    """Whether the predicate is seen to hold somewhere without building its lexeme."""
    if isinstance(predicate, Pattern):
        return bool(predicate_machine(predicate).label.any())
    if isinstance(predicate, Length):
        return predicate.high is None or predicate.low <= predicate.high
    if isinstance(predicate, OneOfStrings | OneOfNumbers):
        return bool(predicate.values)
    return not isinstance(predicate, AllOf) and (not isinstance(predicate, Format) or predicate.name != "regex")


@lru_cache(_CACHED_VERDICTS)
def matches(predicate: StringPredicate, text: str) -> bool:
    """Whether a predicate holds of a known string."""
    if isinstance(predicate, OneOfStrings):
        return text in predicate.values
    if isinstance(predicate, Length):
        return predicate.low <= len(text) and (predicate.high is None or len(text) <= predicate.high)
    lexeme = string_lexeme((predicate,))
    state = lexeme.table.start
    for byte in json.dumps(text, ensure_ascii=False).encode():
        state = lexeme.table.step(state, byte)
        if state == DEAD:
            return False
    return lexeme.vectors[lexeme.table.result_at(state)][0]


def satisfied(formulas: Formulas, function: int, text: str) -> bool:
    """Whether a known string satisfies a function of strings."""

    def holds(variable: int) -> bool:
        return matches(formulas.atoms[variable], text)

    return formulas.diagrams.evaluate(function, holds)
