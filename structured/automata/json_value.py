r"""Any JSON value: a stack of open brackets over small automata for strings, numbers and literals.

Differences from RFC 8259, each on purpose. Whitespace is bounded (:class:`Whitespace`), because a model that may write
blanks without end does. ``\u`` escapes are whole characters: a surrogate only as half of a pair, so that every strict
parser takes the text. Brackets nest at most ``max_depth`` deep.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from latticework.structured.automata.nfa import NfaAutomaton
from latticework.structured.automata.regex import regex
from latticework.structured.automaton import AutomatonBase, Edge, State
from latticework.structured.json_options import MAX_INDENT, Whitespace

_HEX = "[0-9A-Fa-f]"
_UNIT = rf"(?:[0-9A-Ca-cE-Fe-f]{_HEX}{{3}}|[Dd][0-7]{_HEX}{{2}})"
_PAIR = rf"[Dd][89ABab]{_HEX}{{2}}\\u[Dd][C-Fc-f]{_HEX}{{2}}"
STRING_PATTERN = rf'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u(?:{_UNIT}|{_PAIR})))*"'
NUMBER_PATTERN = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"


# Where the text is, between two bytes. `gap` counts the blanks written in the current gap: 0 none yet, 1 a space on the
# same line (no more may follow), 2 + k a line break and k blanks of indentation.
_VALUE = "value"  # a value must begin (after ':' or ',' in an array, or at the start)
_FIRST = "first"  # just inside '[': a value or ']'
_FIRST_KEY = "first key"  # just inside '{': a key or '}'
_KEY = "key"  # after ',' in an object
_COLON = "colon"  # after a key
_AFTER = "after"  # after a value inside a bracket
_END = "end"  # the document is complete
_SCALAR = "scalar"  # inside a value that is not a bracket
_KEY_TEXT = "key text"  # inside a key

_GAPS = {_VALUE, _FIRST, _FIRST_KEY, _KEY, _AFTER}
_AFTER_MARK = {_VALUE, _KEY}
_CLOSERS = {"{": ord("}"), "[": ord("]")}


class JsonValue(AutomatonBase):
    """Any JSON value, or any JSON object.

    A state is ``(place, stack, gap, inner)``: ``stack`` is the open brackets as a string, ``inner`` the state of the
    scalar's own automaton.

    Args:
        objects_only: The document itself must be an object.
        whitespace: Which blanks are allowed.
        max_depth: How deep brackets may nest.
    """

    def __init__(
        self, *, objects_only: bool = False, whitespace: Whitespace = Whitespace.FLEXIBLE, max_depth: int = 64
    ) -> None:
        self._objects_only = objects_only
        self._whitespace = whitespace
        self._max_depth = max_depth
        self._string = regex(STRING_PATTERN)
        self._scalar = regex(f"(?:{STRING_PATTERN})|(?:{NUMBER_PATTERN})|true|false|null")

    def start(self) -> State:
        """See :meth:`Automaton.start`."""
        return (_VALUE, "", -1, None)

    def accepts(self, state: State) -> bool:
        """See :meth:`Automaton.accepts`: a number may go on, or be the whole document."""
        place, stack, _, inner = state
        return place == _END or (place == _SCALAR and not stack and self._scalar.accepts(inner))

    def edges(self, state: State) -> Sequence[Edge]:
        """See :meth:`Automaton.edges`."""
        place, stack, gap, inner = state
        edges = self._blanks(place, stack, gap)
        if gap == 0 and self._whitespace is Whitespace.LINE and place in _AFTER_MARK:
            return edges
        if place in (_SCALAR, _KEY_TEXT):
            edges += self._inside(place, stack, inner)
        elif place == _COLON:
            edges.append((0x3A, 0x3A, (_VALUE, stack, 0, None)))
        elif place == _AFTER:
            edges += self._separators(stack, blank=gap > 0)
        elif place in (_FIRST_KEY, _KEY):
            edges += [(low, high, (_KEY_TEXT, stack, 0, target)) for low, high, target in self._begin(self._string)]
            if place == _FIRST_KEY:
                edges.append((0x7D, 0x7D, self._closed(stack)))
        elif place in (_VALUE, _FIRST):
            edges += self._values(stack)
            if place == _FIRST:
                edges.append((0x5D, 0x5D, self._closed(stack)))
        return sorted(edges, key=lambda edge: edge[0])

    def completable_with(self, usable: npt.NDArray[np.bool_]) -> bool:
        """See :meth:`Automaton.completable_with`: structure is ASCII, and so is a way out of every scalar."""
        structure = usable[list(b'{}[]:,"')].all()
        return bool(structure) and self._scalar.completable_with(usable) and self._string.completable_with(usable)

    @staticmethod
    def _begin(automaton: NfaAutomaton) -> Sequence[Edge]:
        return automaton.edges(automaton.start())

    def _values(self, stack: str) -> list[Edge]:
        edges: list[Edge] = []
        if not (self._objects_only and not stack):
            edges += [(low, high, (_SCALAR, stack, 0, target)) for low, high, target in self._begin(self._scalar)]
        if len(stack) < self._max_depth:
            edges.append((0x7B, 0x7B, (_FIRST_KEY, stack + "{", 0, None)))
            if stack or not self._objects_only:
                edges.append((0x5B, 0x5B, (_FIRST, stack + "[", 0, None)))
        return edges

    def _inside(self, place: str, stack: str, inner: State) -> list[Edge]:
        automaton = self._scalar if place == _SCALAR else self._string
        edges: list[Edge] = []
        for low, high, target in automaton.edges(inner):
            edges.append((low, high, self._settled(place, stack, target)))
        if place == _SCALAR and stack and automaton.accepts(inner):  # a number ends where what follows it begins
            edges += self._blanks(_AFTER, stack, 0) + self._separators(stack, blank=False)
        return edges

    def _settled(self, place: str, stack: str, inner: State) -> State:
        """Leave a scalar as soon as it cannot go on, so that equal situations are equal states."""
        automaton = self._scalar if place == _SCALAR else self._string
        if automaton.edges(inner):
            return (place, stack, 0, inner)
        return (_COLON, stack, 0, None) if place == _KEY_TEXT else self._complete(stack)

    @staticmethod
    def _complete(stack: str) -> State:
        return (_AFTER, stack, 0, None) if stack else (_END, "", 0, None)

    def _closed(self, stack: str) -> State:
        return self._complete(stack[:-1])

    def _separators(self, stack: str, *, blank: bool) -> list[Edge]:
        bracket = stack[-1]
        edges: list[Edge] = [(_CLOSERS[bracket],) * 2 + (self._closed(stack),)]
        if not blank:
            edges.append((0x2C, 0x2C, (_KEY if bracket == "{" else _VALUE, stack, 0, None)))
        return edges

    def _blanks(self, place: str, stack: str, gap: int) -> list[Edge]:
        """The blanks allowed in this gap. ``gap < 0`` marks the start of the document, where none is."""
        if place not in _GAPS or gap < 0 or self._whitespace is Whitespace.COMPACT:
            return []
        edges: list[Edge] = []
        if gap == 0 and place in _AFTER_MARK:
            edges.append((0x20, 0x20, (place, stack, 1, None)))
        if self._whitespace is Whitespace.FLEXIBLE:
            if gap == 0:
                edges.append((0x0A, 0x0A, (place, stack, 2, None)))
            elif 2 <= gap < 2 + MAX_INDENT:
                edges.append((0x20, 0x20, (place, stack, gap + 1, None)))
                edges.append((0x09, 0x09, (place, stack, gap + 1, None)))
        return edges
