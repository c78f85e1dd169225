"""What both readers make of a grammar: rules over regular texts, in extended Backus-Naur form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from latticework.structured.automata.regex_syntax import Chars, Concat, Node

#: The syntax tree of the empty text.
EMPTY = Concat(())


@dataclass(frozen=True, slots=True)
class Text:
    """A regular language whose texts may be split anywhere: what GBNF is made of."""

    node: Node


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A terminal, by name: what Lark's rules are made of."""

    name: str


@dataclass(frozen=True, slots=True)
class Name:
    """What another rule describes; ``at`` is where it was named, for messages."""

    name: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after the other; no parts is the empty text."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of the options."""

    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``low`` to ``high`` times; ``high`` is ``None`` without a bound."""

    body: Expression
    low: int
    high: int | None


Expression = Text | Lexeme | Name | Sequence | Choice | Repeat


@dataclass(frozen=True, slots=True)
class Terminal:
    """A kind of lexeme.

    Attributes:
        name: As errors call it.
        node: Its texts.
        priority: Terminals of higher priority win whatever the lengths.
        literal: Whether it is a fixed text: wins over patterns of the same length.
        rank: Decides between equals; the lower one wins.
        shortest: Whether it ends as early as it can, where it is read by a lexer.
    """

    name: str
    node: Node
    priority: int = 0
    literal: bool = False
    rank: tuple[int, ...] = (0,)
    shortest: bool = False


@dataclass(frozen=True, slots=True)
class LexedGrammar:
    """What the Lark reader gives.

    Attributes:
        rules: By name, over :class:`Lexeme`; the text starts at ``start``.
        terminals: By name.
        ignored: Names of the terminals that may stand anywhere between others.
    """

    rules: dict[str, Expression]
    terminals: dict[str, Terminal]
    ignored: tuple[str, ...]
    start: str = "start"


def literal(text: str) -> Node:
    """The tree of a fixed text."""
    parts = tuple(Chars(((ord(character), ord(character)),)) for character in text)
    return parts[0] if len(parts) == 1 else Concat(parts)


def sequence(parts: list[Expression]) -> Expression:
    """A sequence, or its only part."""
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


def choice(options: list[Expression]) -> Expression:
    """A choice, or its only option."""
    return options[0] if len(options) == 1 else Choice(tuple(options))


def children(expression: Expression) -> tuple[Expression, ...]:
    """The parts of an expression."""
    match expression:
        case Sequence(parts):
            return parts
        case Choice(options):
            return options
        case Repeat(body, _, _):
            return (body,)
        case _:
            return ()


def names(expression: Expression) -> Iterator[Name]:
    """Every rule named in an expression, in the order of the text."""
    todo = [expression]
    while todo:
        here = todo.pop()
        if isinstance(here, Name):
            yield here
        todo.extend(reversed(children(here)))
