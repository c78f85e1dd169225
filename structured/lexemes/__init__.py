"""Lexeme tables of strings, keys and numbers, each carrying the verdicts of the predicates asked of it."""

from latticework.structured.lexemes.keys import key_lexeme
from latticework.structured.lexemes.lexeme import KeyLexeme, Lexeme, Vector
from latticework.structured.lexemes.numbers import number_lexeme
from latticework.structured.lexemes.predicates import (
    AllOf,
    AtLeast,
    AtMost,
    Format,
    IsInteger,
    Length,
    MultipleOf,
    NumberPredicate,
    OneOfNumbers,
    OneOfStrings,
    Pattern,
    StringPredicate,
)
from latticework.structured.lexemes.strings import string_lexeme
from latticework.structured.lexemes.texts import choice_table, regex_table
from latticework.structured.lexemes.union import LITERALS, union

__all__ = [
    "LITERALS",
    "AllOf",
    "AtLeast",
    "AtMost",
    "Format",
    "IsInteger",
    "KeyLexeme",
    "Length",
    "Lexeme",
    "MultipleOf",
    "NumberPredicate",
    "OneOfNumbers",
    "OneOfStrings",
    "Pattern",
    "StringPredicate",
    "Vector",
    "choice_table",
    "key_lexeme",
    "number_lexeme",
    "regex_table",
    "string_lexeme",
    "union",
]
