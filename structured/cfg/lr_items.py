"""LR(1) items and what follows them, with sets of terminals as bit masks.

Items are numbers: item ``base[p] + d`` is production ``p`` with the dot before symbol ``d``. Production 0 is the
augmented one, ``start' -> start``, whose only lookahead is the end of the text (terminal number ``grammar.terminals``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from latticework.structured.cfg.grammar import Grammar, Production, Symbol


class Items:
    """The items of a grammar.

    Attributes:
        productions: Those of the grammar after the augmented one.
        symbol: Per item, the symbol after the dot; ``None`` at the end.
        production: Per item, the number of its production.
        end: The terminal that stands for the end of the text.
    """

    def __init__(self, grammar: Grammar) -> None:
        top = len(grammar.names)
        self.productions = (Production(top, (~grammar.start,)), *grammar.productions)
        self.names = (*grammar.names, "the whole text")
        self.end = grammar.terminals
        self.symbol: list[Symbol | None] = []
        self.production: list[int] = []
        self._starts: list[list[int]] = [[] for _ in self.names]
        for number, production in enumerate(self.productions):
            self._starts[production.head].append(len(self.symbol))
            self.symbol.extend((*production.body, None))
            self.production.extend([number] * (len(production.body) + 1))
        self._nullable = [*grammar.nullable(), False]
        self._first = self._first_sets()
        #: Per item before a nonterminal: what can follow that nonterminal inside the production, and whether what
        #: follows the production can too.
        self._rest = [(0, True)] * len(self.symbol)
        item = 0
        for production in self.productions:
            for dot in range(len(production.body)):
                self._rest[item + dot] = self._first_of(production.body[dot + 1 :])
            item += len(production.body) + 1

    def kernel(self) -> dict[int, int]:
        """The kernel of the start state: items with their lookaheads."""
        return {0: 1 << self.end}

    def closure(self, kernel: Mapping[int, int]) -> dict[int, int]:
        """The items that hold where those of ``kernel`` do, with their lookaheads."""
        looks = dict(kernel)
        todo = list(looks)
        while todo:
            item = todo.pop()
            symbol = self.symbol[item]
            if symbol is None or symbol >= 0:
                continue
            inside, passes = self._rest[item]
            look = inside | looks[item] if passes else inside
            for start in self._starts[~symbol]:
                old = looks.get(start)
                if old is None or look & ~old:
                    looks[start] = look | (old or 0)
                    todo.append(start)
        return looks

    def moves(self, closure: Mapping[int, int]) -> dict[Symbol, dict[int, int]]:
        """The kernels after each symbol."""
        found: dict[Symbol, dict[int, int]] = {}
        for item, look in closure.items():
            symbol = self.symbol[item]
            if symbol is not None:
                found.setdefault(symbol, {})[item + 1] = look
        return found

    def reductions(self, closure: Mapping[int, int]) -> list[tuple[int, int]]:
        """The productions that are complete, with their lookaheads."""
        return [(self.production[item], look) for item, look in closure.items() if self.symbol[item] is None]

    def _first_of(self, symbols: Iterable[Symbol]) -> tuple[int, bool]:
        mask = 0
        for symbol in symbols:
            if symbol >= 0:
                return mask | 1 << symbol, False
            mask |= self._first[~symbol]
            if not self._nullable[~symbol]:
                return mask, False
        return mask, True

    def _first_sets(self) -> list[int]:
        self._first = [0] * len(self.names)
        uses: list[list[Production]] = [[] for _ in self.names]
        for production in self.productions:
            for symbol in production.body:
                if symbol >= 0:
                    break
                uses[~symbol].append(production)
                if not self._nullable[~symbol]:
                    break
        todo = list(self.productions)
        while todo:
            production = todo.pop()
            mask = self._first[production.head] | self._first_of(production.body)[0]
            if mask != self._first[production.head]:
                self._first[production.head] = mask
                todo.extend(uses[production.head])
        return self._first
