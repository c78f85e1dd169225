"""The tokens of Lark's grammar notation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from latticework.structured.cfg.positions import Source

_TOKEN = re.compile(
    r"""
      (?P<blank>     [ \t\r\n]+ | //[^\n]* | \#[^\n]* )
    | (?P<special>   <[^<>\s]+> )
    | (?P<statement> %[a-z]+ )
    | (?P<arrow>     -> )
    | (?P<range>     \.\. )
    | (?P<number>    [+-]?[0-9]+ )
    | (?P<rule>      [!?]*_?[a-z][_a-z0-9]* )
    | (?P<terminal>  _?[A-Z][_A-Z0-9]* )
    | (?P<string>    "(?:\\.|[^"\\\n])*"i? )
    | (?P<regex>     /(?:\\.|[^/\\\n])+/[a-z]* )
    | (?P<mark>      [:|()\[\]{},~*+?.] )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is a group of the expression above, or ``end``; ``at`` its offset."""

    kind: str
    text: str
    at: int


def tokenize(source: Source) -> list[Token]:
    """Every token, an ``end`` token last.

    Raises:
        GrammarError: Something is no token.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(source.text):
        match = _TOKEN.match(source.text, position)
        if match is None:
            _explain(source, position)
        assert match.lastgroup is not None
        if match.lastgroup != "blank":
            tokens.append(Token(match.lastgroup, match[0], position))
        position = match.end()
    tokens.append(Token("end", "", position))
    return tokens


def _explain(source: Source, at: int) -> NoReturn:
    character = source.text[at]
    if character == '"':
        source.wrong(at, "a literal must end with '\"' on the line where it begins")
    if character == "/":
        source.wrong(at, "a regular expression must end with '/' on the line where it begins")
    if character == "'":
        source.wrong(at, "literals stand in double quotes")
    source.expected(at, "a rule, a terminal, a literal, a regular expression or a statement")
