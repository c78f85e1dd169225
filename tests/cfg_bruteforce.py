"""Grammars for tests, and what they describe, found by enumeration: nothing here is shared with the code under test.

A grammar is a mapping of names to right-hand sides in a little tree: a text is itself, ``("ref", name)``,
``("seq", ...)``, ``("alt", ...)``, ``("rep", body, low, high)``. For GBNF a leaf is a text; for Lark it is the name of
a terminal.
"""

from __future__ import annotations

import re
from itertools import product

from hypothesis import strategies as st

Words = frozenset[tuple[str, ...]]


def expressions(leaves, names, max_leaves=6):
    """A strategy for right-hand sides."""
    leaf = st.one_of(st.sampled_from(leaves), st.sampled_from(names).map(lambda name: ("ref", name)))

    def extend(inner):
        return st.one_of(
            st.lists(inner, min_size=0, max_size=3).map(lambda parts: ("seq", *parts)),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: ("alt", *parts)),
            st.tuples(inner, st.sampled_from([(0, None), (1, None), (0, 1), (2, 2), (1, 2), (2, None), (0, 2)])).map(
                lambda pair: ("rep", pair[0], *pair[1])
            ),
        )

    return st.recursive(leaf, extend, max_leaves=max_leaves)


def grammars(leaves, names):
    """A strategy for grammars; the first name is the start."""
    return st.fixed_dictionaries({name: expressions(leaves, names) for name in names})


class Language:
    """The words of each name up to a length, and their prefixes, by iteration to the least fixed point.

    A word is a tuple of leaves' symbols: characters for GBNF, terminals for Lark.
    """

    def __init__(self, grammar, symbols_of, limit):
        self.limit = limit
        self.symbols_of = symbols_of
        self.words = dict.fromkeys(grammar, frozenset())
        self._grow(self.words, grammar, self._words)
        self.productive = dict.fromkeys(grammar, False)
        self._grow(self.productive, grammar, self._productive)
        self.prefixes = dict.fromkeys(grammar, frozenset())
        self._grow(self.prefixes, grammar, self._prefixes)

    @staticmethod
    def _grow(table, grammar, of):
        while True:
            before = dict(table)
            for name, tree in grammar.items():
                table[name] = of(tree)
            if table == before:
                return

    def _concat(self, first, second):
        return frozenset(a + b for a, b in product(first, second) if len(a) + len(b) <= self.limit)

    def _unrolled(self, tree):
        _, body, low, high = tree
        count = low if high is None else high
        return body, low, min(count, self.limit + 1) if high is not None else max(low, self.limit)

    def _words(self, tree):
        if isinstance(tree, str):
            return frozenset({self.symbols_of(tree)}) if len(self.symbols_of(tree)) <= self.limit else frozenset()
        if tree[0] == "ref":
            return self.words[tree[1]]
        if tree[0] == "alt":
            return frozenset().union(*map(self._words, tree[1:]))
        if tree[0] == "seq":
            found = frozenset({()})
            for part in tree[1:]:
                found = self._concat(found, self._words(part))
            return found
        body, low, high = self._unrolled(tree)
        one, found, power = self._words(body), frozenset(), frozenset({()})
        for count in range(high + 1):
            if count >= low:
                found |= power
            power = self._concat(power, one)
        return found

    def _productive(self, tree):
        if isinstance(tree, str):
            return True
        if tree[0] == "ref":
            return self.productive[tree[1]]
        if tree[0] == "alt":
            return any(map(self._productive, tree[1:]))
        if tree[0] == "seq":
            return all(map(self._productive, tree[1:]))
        return tree[2] == 0 or self._productive(tree[1])

    def _prefixes(self, tree):
        """Prefixes up to the limit of words of any length."""
        if not self._productive(tree):
            return frozenset()
        if isinstance(tree, str):
            symbols = self.symbols_of(tree)
            return frozenset(symbols[:size] for size in range(min(len(symbols), self.limit) + 1))
        if tree[0] == "ref":
            return self.prefixes[tree[1]]
        if tree[0] == "alt":
            return frozenset().union(*map(self._prefixes, tree[1:]))
        if tree[0] == "seq":
            found, before = frozenset({()}), frozenset({()})
            for part in tree[1:]:
                found |= self._concat(before, self._prefixes(part))
                before = self._concat(before, self._words(part))
            return found
        body, _, high = self._unrolled(tree)
        if not self._productive(body):
            return frozenset({()})
        one, found, power = self._prefixes(body), frozenset({()}), frozenset({()})
        for _ in range(high):
            found |= self._concat(power, one)
            power = self._concat(power, self._words(body))
        return found


def to_source(grammar, leaf, *, arrow, counted):
    """The grammar as text. ``leaf`` spells a leaf; ``counted`` spells bounds that are not ``* + ?``."""

    def spell(tree):
        if isinstance(tree, str):
            return leaf(tree)
        if tree[0] == "ref":
            return tree[1]
        if tree[0] == "alt":
            return "(" + " | ".join(map(spell, tree[1:])) + ")"
        if tree[0] == "seq":
            return "(" + " ".join(map(spell, tree[1:])) + ")"
        _, body, low, high = tree
        mark = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((low, high))
        return f"({spell(body)})" + (counted(low, high) if mark is None else mark)

    return "\n".join(f"{name} {arrow} {spell(tree)}" for name, tree in grammar.items()) + "\n"


class Lexing:
    """Texts of a Lark grammar by definition: try every lexeme at every place, keep the one the rules prefer.

    ``terminals``: name to ``(pattern, priority, literal, rank)``; lower ranks win between equals.
    """

    def __init__(self, language, start, terminals, ignored):
        self.language = language
        self.start = start
        self.terminals = terminals
        self.ignored = ignored
        self.compiled = {name: re.compile(pattern) for name, (pattern, *_) in terminals.items()}

    def lexeme(self, text, at, read):
        """``(terminal, end)`` of the lexeme that begins at ``at`` after the terminals ``read``."""
        prefixes = self.language.prefixes[self.start]
        allowed = [name for name in self.terminals if name in self.ignored or (*read, name) in prefixes]
        found = [
            (name, stop)
            for name in allowed
            for stop in range(at + 1, len(text) + 1)
            if self.compiled[name].fullmatch(text, at, stop)
        ]
        best = None
        for name, stop in found:
            _, priority, literal, rank = self.terminals[name]
            key = (priority, stop, literal, -rank)
            if best is None or key > best[0]:
                best = (key, name, stop)
        return None if best is None else best[1:]

    def accepts(self, text):
        """Whether the text is one of the language; ``None`` if it has more lexemes than were enumerated."""
        read, at = (), 0
        while at < len(text):
            if len(read) >= self.language.limit:
                return None
            lexeme = self.lexeme(text, at, read)
            if lexeme is None:
                return False
            name, at = lexeme
            if name not in self.ignored:
                read = (*read, name)
        return read in self.language.words[self.start]
