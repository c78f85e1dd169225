"""Constituency trees over given words as a pushdown source: each word once, in order, under labels.

``[(S (NP (DT The) (NN cat)) (VP (VBD sat)))]``: a node is ``(LABEL child child ...)`` or ``(TAG word)``. How many words
are consumed is known in the symbol that reads on, and is what a finished node returns to the one around it, so the
stack holds one symbol per open node and depth has no bound. Between two words at most ``max_opens`` nodes begin;
without a bound, a text could open nodes for ever.

Source: constituency parsing with input-dependent grammars (Geng et al. 2023, grammar-constrained decoding).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from latticework.structured.automata.words import words_table
from latticework.structured.errors import GrammarError
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, Return, Symbol
from latticework.structured.pushdown.table import Table

#: What the name of a node says: it has children, it has a word, or it may have either.
_LABEL, _TAG, _EITHER = 0, 1, 2
#: What follows such a name if that is open: the word, or a first child.
_WORD, _NESTED = 0, 1
#: What follows a node: its next sibling, or the end of the node around it.
_SIBLING, _CLOSE = 0, 1
#: What no name and no word may hold: it would end it.
_RESERVED = frozenset(" ()[]\t\r\n")


@dataclass(frozen=True, slots=True)
class _Name:
    """Reading a node's name; ``word`` words are consumed, ``opens`` nodes have begun since the last of them."""

    word: int
    opens: int
    outermost: bool


@dataclass(frozen=True, slots=True)
class _Either:
    """Reading what tells whether the named node has a word or children."""

    name: _Name


@dataclass(frozen=True, slots=True)
class _Word:
    """Reading word number ``word`` and the end of its node."""

    word: int


@dataclass(frozen=True, slots=True)
class _Children:
    """Waiting for a child of a node, the outermost or not."""

    outermost: bool


@dataclass(frozen=True, slots=True)
class _After:
    """Reading what follows a child; ``word`` words are consumed."""

    word: int
    outermost: bool


_OPENING, _TREE, _CLOSING = "opening", "tree", "closing"


class TreeSource(PlainSource):
    """See :class:`latticework.structured.pushdown.protocol.PushdownSource`.

    Args:
        words: The leaves, in order.
        labels: Names of inner nodes.
        tags: Names of the nodes that hold the words; a name may be both.
        max_opens: How many nodes may begin between two words, the word's own included.
        field: What errors name.

    Raises:
        GrammarError: A list is empty, an entry holds blanks or brackets, or ``max_opens`` leaves no tree.
    """

    def __init__(
        self, words: Sequence[str], labels: Collection[str], tags: Collection[str], max_opens: int, field: str
    ) -> None:
        for member, texts in (("words", words), ("labels", labels), ("tags", tags)):
            _check(texts, f"{field}/{member}")
        if max_opens < min(len(words), 2):
            raise GrammarError(f"{field}/max_opens", "must be at least 2, or there is no tree over several words")
        self._words = tuple(words)
        self._max_opens = max_opens
        roles = {name: _TAG if name not in labels else _EITHER if name in tags else _LABEL for name in {*labels, *tags}}
        self._names = {
            only: _table({f"({name} ": role if only is None else only for name, role in roles.items() if role in taken})
            for only, taken in ((None, {_LABEL, _TAG, _EITHER}), (_LABEL, {_LABEL, _EITHER}), (_TAG, {_TAG, _EITHER}))
        }
        self._word_table = cache(lambda word: _table({f"{self._words[word]})": _WORD}))
        self._either_table = cache(lambda word: _table({f"{self._words[word]})": _WORD, "(": _NESTED}))
        self._sibling, self._close = _table({" ": _SIBLING}), _table({")": _CLOSE})
        self._sibling_or_close = _table({" ": _SIBLING, ")": _CLOSE})
        self._bracket = {symbol: _table({text: 0}) for symbol, text in ((_OPENING, "["), (_CLOSING, "]"))}

    def start(self) -> Action:
        """See :meth:`PushdownSource.start`."""
        return Enter((_OPENING,), self._bracket[_OPENING], 0)

    def resume(self, symbol: Symbol, result: int) -> Action | None:
        """See :meth:`PushdownSource.resume`."""
        match symbol:
            case _Name() if result == _LABEL:
                return self._child(symbol)
            case _Name(word) if result == _TAG:
                return Enter((_Word(word),), self._word_table(word), 0)
            case _Name(word):
                return Enter((_Either(symbol),), self._either_table(word), 0)
            case _Either(name) if result == _NESTED:
                return self._child(name, read=b"(")
            case _Either(_Name(word)) | _Word(word):
                return Return(word + 1)
            case _Children(outermost):
                after = _After(result, outermost)
                return Enter((after,), self._after(after), 0)
            case _After(word, outermost) if result == _SIBLING:
                return self._node(_Name(word, 0, False), _Children(outermost))
            case _After(word):
                return Return(word)
        if symbol == _OPENING:
            return self._node(_Name(0, 0, True), _TREE)
        return Enter((_CLOSING,), self._bracket[_CLOSING], 0) if symbol == _TREE else Return(0)

    def goal(self, symbol: Symbol) -> int | None:
        """See :meth:`PushdownSource.goal`: nothing is offered that cannot be completed."""
        match symbol:
            case _Name():
                table = self._names_at(symbol)
                return table.outcome_set(table.start)
            case _Either():
                return 1 << _WORD | 1 << _NESTED
            case _Children():
                return (1 << len(self._words) + 1) - 2
            case _After():
                table = self._after(symbol)
                return table.outcome_set(table.start)
        return 1 << (len(self._words) if symbol == _TREE else 0)

    def _child(self, name: _Name, read: bytes = b"") -> Enter:
        """The first child of the named node."""
        return self._node(_Name(name.word, name.opens + 1, False), _Children(name.outermost), read)

    def _node(self, name: _Name, below: Symbol, read: bytes = b"") -> Enter:
        """A node of which ``read`` is already read."""
        table = self._names_at(name)
        state = table.start
        for byte in read:
            state = table.step(state, byte)
        return Enter((below, name), table, state)

    def _names_at(self, name: _Name) -> Table:
        """Which names a node may have: the outermost one over several words a label, the last of many opened a tag."""
        if name.outermost and len(self._words) > 1:
            return self._names[_LABEL]
        return self._names[_TAG if name.opens + 1 == self._max_opens else None]

    def _after(self, after: _After) -> Table:
        """The outermost node ends with the last word, and no other word is left out."""
        if after.word == len(self._words):
            return self._close
        return self._sibling if after.outermost else self._sibling_or_close


def _check(texts: Collection[str], field: str) -> None:
    if not texts:
        raise GrammarError(field, "expected at least one")
    for text in texts:
        if not isinstance(text, str) or not text or _RESERVED & set(text):
            raise GrammarError(field, f"{text!r} is empty or holds blanks or brackets (write -LRB- and the like)")


def _table(results: Mapping[str, int]) -> Table:
    words = sorted((text.encode(), result) for text, result in results.items())
    return words_table([word for word, _ in words], np.array([r for _, r in words], np.int32), field="tree")[0]
