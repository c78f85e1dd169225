"""Grammars in Backus-Naur form, as the parsers use them.

A symbol is a number: terminal ``t`` is ``t``, nonterminal ``n`` is ``~n``. Every nonterminal can be reached from the
start and derives at least one text (:func:`reduced`), so whatever a parser has read can be completed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Symbol = int


@dataclass(frozen=True, slots=True)
class Production:
    """``head`` (the number of a nonterminal) may be written as ``body``."""

    head: int
    body: tuple[Symbol, ...]


@dataclass(frozen=True)
class Grammar:
    """``start`` is a nonterminal.

    Attributes:
        terminals: How many terminals there are.
        names: The nonterminals, as messages call them.
        productions: All of them.
        start: Where texts start.
    """

    terminals: int
    names: tuple[str, ...]
    productions: tuple[Production, ...]
    start: int

    def by_head(self) -> list[list[int]]:
        """The productions of each nonterminal, by number."""
        found: list[list[int]] = [[] for _ in self.names]
        for number, production in enumerate(self.productions):
            found[production.head].append(number)
        return found

    def nullable(self) -> list[bool]:
        """Whether each nonterminal derives the empty text."""
        return _derives(self.productions, len(self.names), frozenset())

    def with_terminals(self, numbers: Mapping[int, int]) -> Grammar:
        """The grammar with its terminals renumbered."""
        productions = (
            Production(old.head, tuple(numbers[symbol] if symbol >= 0 else symbol for symbol in old.body))
            for old in self.productions
        )
        return Grammar(len(numbers), self.names, tuple(productions), self.start)


def reduced(grammar: Grammar, written: Collection[int]) -> Grammar | None:
    """The grammar without what takes part in no text; ``None`` if there is no text.

    Args:
        grammar: Any grammar.
        written: The terminals that have texts.
    """
    productive = _derives(grammar.productions, len(grammar.names), frozenset(written))
    if not productive[grammar.start]:
        return None
    kept = [
        production
        for production in dict.fromkeys(grammar.productions)
        if production.body != (~production.head,)
        and all(symbol in written if symbol >= 0 else productive[~symbol] for symbol in production.body)
    ]
    bodies: dict[int, list[Production]] = {}
    for production in kept:
        bodies.setdefault(production.head, []).append(production)
    number = {grammar.start: 0}
    order = [grammar.start]
    for head in order:  # grows while it is read
        for production in bodies.get(head, ()):
            for symbol in production.body:
                if symbol < 0 and ~symbol not in number:
                    number[~symbol] = len(order)
                    order.append(~symbol)
    productions = tuple(
        Production(number[head], tuple(symbol if symbol >= 0 else ~number[~symbol] for symbol in production.body))
        for head in order
        for production in bodies.get(head, ())
    )
    return Grammar(grammar.terminals, tuple(grammar.names[head] for head in order), productions, 0)


def used_terminals(grammar: Grammar) -> frozenset[int]:
    """The terminals that some production names."""
    return frozenset(symbol for production in grammar.productions for symbol in production.body if symbol >= 0)


def _derives(productions: Sequence[Production], nonterminals: int, terminals: frozenset[int]) -> list[bool]:
    """Which nonterminals derive a text over ``terminals``. Linear in the size of the grammar."""
    found = [False] * nonterminals
    uses: list[list[int]] = [[] for _ in range(nonterminals)]
    missing = []
    todo = []
    for index, production in enumerate(productions):
        needs = [~symbol for symbol in production.body if symbol < 0]
        blocked = any(symbol >= 0 and symbol not in terminals for symbol in production.body)
        missing.append(-1 if blocked else len(needs))
        if blocked:
            continue
        for need in needs:
            uses[need].append(index)
        if not needs and not found[production.head]:
            found[production.head] = True
            todo.append(production.head)
    while todo:
        for index in uses[todo.pop()]:
            missing[index] -= 1
            head = productions[index].head
            if missing[index] == 0 and not found[head]:
                found[head] = True
                todo.append(head)
    return found
