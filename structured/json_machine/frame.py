"""The course of an open object: ``{``, keys and values in turn, ``}``. Subclasses say what is allowed where."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

from latticework.structured.json_machine.crowding import Crowding
from latticework.structured.json_machine.object_shape import ObjectShape
from latticework.structured.json_machine.operation import Operation, Place
from latticework.structured.lexemes.keys import key_lexeme
from latticework.structured.lexemes.lexeme import KeyLexeme
from latticework.structured.pushdown.family import CLOSE, Family, Kind
from latticework.structured.pushdown.protocol import Action, Enter, Return
from latticework.structured.pushdown.table import Table

if TYPE_CHECKING:
    from latticework.structured.json_machine.demand import Demand
    from latticework.structured.json_machine.source import JsonMachine

#: What a frame knows of its object or array so far.
State = tuple[object, ...]

#: The keys used that are none of the names, as they were written.
Used = frozenset[bytes]

NONE_USED: Used = frozenset()

_MAX_VARIANTS = 10


class Frame:
    """An open object or array."""

    def ways(self, state: State) -> int:
        """Whether the frame can go on (bit :data:`GO_ON`) and end (bit :data:`CLOSE`)."""
        raise NotImplementedError

    def go_on(self, state: State, push: tuple[Place, ...]) -> Action:
        """Read the next key or item."""
        raise NotImplementedError

    def close(self, state: State) -> Return:
        """The bracket that ends the frame was read."""
        raise NotImplementedError

    def family(self, kind: Kind, state: State) -> tuple[Family, int] | None:
        """The family of a symbol of the frame; see :meth:`PushdownSource.family`."""
        return None


class Gap(Operation):
    """Between members: another one or the end."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def goal(self, symbol: Place) -> int:
        """See :class:`Operation`."""
        return self._frame.ways(symbol[1:])

    def resume(self, symbol: Place, result: int) -> Action | None:
        """See :class:`Operation`."""
        if not self._frame.ways(symbol[1:]) >> result & 1:
            return None
        return self._frame.close(symbol[1:]) if result == CLOSE else self._frame.go_on(symbol[1:], ())

    def family(self, symbol: Place) -> tuple[Family, int] | None:
        """See :class:`Operation`."""
        return self._frame.family(Kind.GAP, symbol[1:])


class ObjectFrame(Frame):
    """An open object.

    Args:
        machine: The grammar.
        shape: What keys there are.
        others: Whether keys that are no names are allowed anywhere in the object.

    Attributes:
        operations: What the symbols of the object begin with.
        ample: Whether there are always more keys that are no names.
        value_results: The results of a value in it; ``None``: it depends on the value.
    """

    value_results: int | None = None

    def __init__(self, machine: JsonMachine, shape: ObjectShape, others: bool) -> None:
        self.machine = machine
        self.shape = shape
        self._names = len(shape.names)
        self._others = others
        self._classes = range(self._names, shape.classes if others else self._names)
        self.ample = all(shape.supply(key).ample for key in self._classes)
        self._lexeme: KeyLexeme | None = None
        self._gap = Gap(self)
        self._key = _Key(self)
        self._after = _After(self)
        self.operations: dict[Kind, Operation] = {
            Kind.GAP: self._gap, Kind.CHOOSE: self._key, Kind.CARRY: self._after
        }  # fmt: skip

    def begin(self, state: State) -> Enter:
        """The object's ``{`` was read."""
        punctuation = self.machine.punctuation
        if punctuation.transparent and not self.ways(state) >> CLOSE & 1:
            return self.go_on(state, ())
        table = punctuation.first_member
        return Enter(((self._gap, *state),), table, table.start)

    def go_on(self, state: State, push: tuple[Place, ...]) -> Enter:
        """See :class:`Frame`."""
        table = self.lexeme(state)[0].table
        return Enter((*push, (self._key, *state)), table, table.start)

    def next(self, state: State) -> Enter:
        """A member was read."""
        table = self.machine.punctuation.next_member
        return Enter(((self._gap, *state),), table, table.start)

    def allowed(self, state: State) -> int:
        """The classes of keys that may come next, as a bit set."""
        raise NotImplementedError

    def take(self, state: State, key: int, text: bytes | None) -> tuple[Demand, State]:
        """A key was read. What follows, and the state until that ends.

        ``text`` is how the key was written, if it is no name and :meth:`wants_text` said so.
        """
        raise NotImplementedError

    def settle(self, state: State, result: int) -> State:
        """A value was read. ``state`` is as :meth:`take` gave it."""
        return state

    def used(self, state: State) -> Used:
        """The keys used that are no names."""
        return state[-1]  # type: ignore[return-value]

    def wants_text(self, state: State) -> bool:
        """Whether keys that are no names may come next, so that they must be remembered."""
        return self._others and bool(self.allowed(state) >> self._names)

    def lexeme(self, state: State) -> tuple[KeyLexeme, int]:
        """The keys that may come next, and how many names were added because they were used.

        Where other keys are scarce, a used key must be told from the rest before it ends: it becomes a name.
        """
        used = self.used(state)
        if self.ample or self._roomy(used):
            return self.keys, 0
        texts = tuple(sorted({json.loads(text) for text in used}))
        return key_lexeme((*self.shape.names, *texts), self.shape.chosen, others=True), len(texts)

    @property
    def keys(self) -> KeyLexeme:
        """All keys that are allowed anywhere in the object."""
        if self._lexeme is None:
            chosen = self.shape.chosen if self._others else ()
            self._lexeme = key_lexeme(self.shape.names, chosen, others=self._others)
        return self._lexeme

    def refused(self, state: State) -> Collection[bytes]:
        """How the keys that were used could be written again, where that is all that matters of them."""
        return writings(self.used(state)) if self.ample else ()

    def refuses(self, state: State, text: bytes) -> bool | None:
        """Whether a key, which is no name, was used before; ``None``: it might, or leaves few that begin like it."""
        if self._crowding.crowded(text):
            return None
        return text in writings(self.used(state))

    def concerns(self, state: State, text: bytes) -> bool:
        """Whether what follows a key that begins like ``text`` may depend on which it is."""
        return self._crowding.crowded(text) or any(used.startswith(text) for used in writings(self.used(state)))

    def _roomy(self, used: Used) -> bool:
        """Whether there are plenty of keys that begin like one of these."""
        return not any(map(self._crowding.crowded, used))

    @cached_property
    def _crowding(self) -> Crowding:
        return Crowding(self.keys.table, range(self._names, self._names + len(self.keys.vectors)))

    def results(self, state: State) -> int:
        """The results of the key lexeme that are allowed."""
        allowed = self.allowed(state)
        lexeme, added = self.lexeme(state)
        if not added:
            return allowed
        names = allowed & (1 << self._names) - 1
        for j, vector in enumerate(lexeme.vectors):
            if allowed >> self._names + self.shape.vectors.index(vector) & 1:
                names |= 1 << self._names + added + j
        return names

    def key_of(self, state: State, result: int) -> int | None:
        """The class of keys that a result of the key lexeme means; ``None`` for one that was used."""
        lexeme, added = self.lexeme(state)
        if not added or result < self._names:
            return result
        if result < self._names + added:
            return None
        return self._names + self.shape.vectors.index(lexeme.vectors[result - self._names - added])

    def scarce(self, state: State) -> int:
        """The results of the key lexeme that mean keys of which there are few."""
        if self.ample:
            return 0
        lexeme, added = self.lexeme(state)
        first, vectors = self._names + added, self.shape.vectors
        keys = [self._names + (vectors.index(vector) if added else j) for j, vector in enumerate(lexeme.vectors)]
        return sum(1 << first + j for j, key in enumerate(keys) if not self.shape.supply(key).ample)

    def text_of(self, key: int, text: bytes | None) -> bytes | None:
        """What is to be remembered of how a key was written: nothing of a name."""
        return text if key >= self._names else None

    def named(self, state: State, result: int, text: bytes | None) -> Action | None:
        """A key was read: its colon and value follow."""
        key = self.key_of(state, result)
        if text is not None and key is not None and key >= self._names and not self.ample:
            key = None if text in writings(self.used(state)) else key
        if key is None or not self.allowed(state) >> key & 1:
            return None
        demand, after = self.take(state, key, self.text_of(key, text))
        table: Table = self.machine.punctuation.colon
        return Enter(((self._after, *after), demand.colon), table, table.start)


class _Key(Operation):
    """Before a key."""

    def __init__(self, frame: ObjectFrame) -> None:
        self._frame = frame

    def goal(self, symbol: Place) -> int:
        """See :class:`Operation`."""
        return self._frame.results(symbol[1:])

    def resume(self, symbol: Place, result: int) -> Action | None:
        """See :class:`Operation`."""
        return self._frame.named(symbol[1:], result, None)

    def captures(self, symbol: Place) -> bool:
        """See :class:`Operation`."""
        return self._frame.wants_text(symbol[1:])

    def refused(self, symbol: Place) -> Collection[bytes]:
        """See :class:`Operation`."""
        return self._frame.refused(symbol[1:])

    def resume_text(self, symbol: Place, result: int, text: bytes) -> Action | None:
        """See :class:`Operation`."""
        return self._frame.named(symbol[1:], result, text)

    def depends(self, symbol: Place) -> int:
        """See :class:`Operation`: of scarce keys, one fewer is left."""
        return self._frame.scarce(symbol[1:])

    def concerns(self, symbol: Place, text: bytes) -> bool:
        """See :class:`Operation`."""
        return self._frame.concerns(symbol[1:], text)

    def refuses(self, symbol: Place, result: int, text: bytes) -> bool | None:
        """See :class:`Operation`."""
        return self._frame.refuses(symbol[1:], text)

    def family(self, symbol: Place) -> tuple[Family, int] | None:
        """See :class:`Operation`."""
        return self._frame.family(Kind.CHOOSE, symbol[1:])


class _After(Operation):
    """Under a value in an object."""

    def __init__(self, frame: ObjectFrame) -> None:
        self._frame = frame

    def resume(self, symbol: Place, result: int) -> Action:
        """See :class:`Operation`."""
        return self._frame.next(self._frame.settle(symbol[1:], result))

    def goal(self, symbol: Place) -> int | None:
        """See :class:`Operation`."""
        return self._frame.value_results

    def family(self, symbol: Place) -> tuple[Family, int] | None:
        """See :class:`Operation`."""
        return self._frame.family(Kind.CARRY, symbol[1:])


def writings(texts: Used) -> Collection[bytes]:
    """All canonical writings of strings: see :class:`~latticework.structured.automata.spelling.Writing`."""
    return texts if not any(b"\\u" in text for text in texts) else {v for text in texts for v in _variants(text)}


def _variants(text: bytes) -> set[bytes]:
    r"""All canonical writings of a key: the hexadecimal letter of a ``\u001f`` has two cases."""
    parts = text.split(b"\\u00")
    if len(parts) - 1 > _MAX_VARIANTS:
        return {text}
    tails = [{part[:2].lower() + part[2:], part[:2].upper() + part[2:]} for part in parts[1:]]
    return {b"\\u00".join((parts[0], *chosen)) for chosen in product(*tails)}
