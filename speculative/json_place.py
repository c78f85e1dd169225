"""Where in a JSON document a text ends: the path to it, and what may come next.

Not a validator: the grammar is. This only remembers what a guess of the next bytes goes by. It is persistent (advancing
makes a new place and leaves the old one), because drafts branch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

Key = str | None  # of an enclosing object's member; None: an item of an array


class Phase(IntEnum):
    """What the text ends in, or what it waits for."""

    VALUE = 0  # a value, or the end of an empty array
    STRING = 1  # in a string
    SCALAR = 2  # in a number or a literal
    KEY = 3  # a key, or the end of an object
    NAME = 4  # in a key
    COLON = 5
    AFTER = 6  # a comma or the end of what is around
    DONE = 7  # nothing more
    LOST = 8  # this is no JSON document


@dataclass(frozen=True, slots=True)
class _Frame:
    """An open object or array."""

    is_object: bool
    seen: tuple[str, ...]
    above: _Frame | None
    path: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class JsonPlace:
    """The end of a text.

    Attributes:
        phase: See :class:`Phase`.
        path: Keys from the root down to the value that the text ends in or waits for; in :attr:`Phase.KEY` and
            :attr:`Phase.NAME` to the object around.
        text: The raw bytes of the string, scalar or key that the text ends in, without the opening quote.
        empty: Whether what is around holds nothing yet, the value that the text ends in not among it.
        bare: Whether a comma or a colon comes last, without the blank that a layout may ask for.
    """

    phase: Phase = Phase.VALUE
    path: tuple[Key, ...] = ()
    text: bytes = b""
    empty: bool = True
    bare: bool = False
    _frame: _Frame | None = None
    _escaped: bool = False

    @property
    def seen(self) -> tuple[str, ...]:
        """Keys of the object around, as far as they were written, in order."""
        return self._frame.seen if self._frame is not None else ()

    @property
    def in_object(self) -> bool:
        """Whether what is around is an object."""
        return self._frame is not None and self._frame.is_object

    def advance(self, data: bytes) -> JsonPlace:
        """The place after ``data`` more."""
        place, at = self, 0
        while at < len(data) and place.phase is not Phase.LOST:
            if place.phase in (Phase.STRING, Phase.NAME):
                place, at = place._in_quotes(data, at)
            else:
                place = place._structure(data[at : at + 1])
                at += 1
        return place

    def _in_quotes(self, data: bytes, at: int) -> tuple[JsonPlace, int]:
        end, escaped = at, self._escaped
        while end < len(data):
            if escaped:
                escaped = False
            elif data[end] == 0x5C:
                escaped = True
            elif data[end] == 0x22:
                return self._closed(self.text + data[at:end]), end + 1
            end += 1
        text = self.text + data[at:]
        return JsonPlace(self.phase, self.path, text, self.empty, False, self._frame, escaped), end

    def _closed(self, text: bytes) -> JsonPlace:
        if self.phase is Phase.STRING:
            return self._after()
        assert self._frame is not None
        key = text.decode("utf-8", "replace")
        around = self._frame
        frame = _Frame(True, (*around.seen, key), around.above, around.path)
        return JsonPlace(Phase.COLON, (*frame.path, key), b"", False, False, frame)

    def _structure(self, byte: bytes) -> JsonPlace:
        if self.phase is Phase.SCALAR:
            if byte not in b" \t\r\n,]}":
                return JsonPlace(Phase.SCALAR, self.path, self.text + byte, False, False, self._frame)
            return self._after()._structure(byte)
        if byte in b" \t\r\n":
            return replace(self, bare=False) if self.bare else self
        match self.phase, byte:
            case Phase.VALUE, b"{" | b"[":
                frame = _Frame(byte == b"{", (), self._frame, self.path)
                if byte == b"{":
                    return JsonPlace(Phase.KEY, self.path, b"", True, False, frame)
                return JsonPlace(Phase.VALUE, (*self.path, None), b"", True, False, frame)
            case Phase.VALUE, b'"':
                return JsonPlace(Phase.STRING, self.path, b"", False, False, self._frame)
            case (Phase.VALUE, b"]") if self._frame is not None and not self._frame.is_object and self.empty:
                return self._closed_frame()
            case Phase.VALUE, _:
                return JsonPlace(Phase.SCALAR, self.path, byte, False, False, self._frame)
            case Phase.KEY, b'"':
                return JsonPlace(Phase.NAME, self.path, b"", self.empty, False, self._frame)
            case Phase.COLON, b":":
                return JsonPlace(Phase.VALUE, self.path, b"", False, True, self._frame)
            case (Phase.KEY, b"}") if self.empty:
                return self._closed_frame()
            case (Phase.AFTER, b"}") if self.in_object:
                return self._closed_frame()
            case (Phase.AFTER, b"]") if self._frame is not None and not self._frame.is_object:
                return self._closed_frame()
            case (Phase.AFTER, b",") if self._frame is not None:
                if self._frame.is_object:
                    return JsonPlace(Phase.KEY, self._frame.path, b"", False, True, self._frame)
                return JsonPlace(Phase.VALUE, (*self._frame.path, None), b"", False, True, self._frame)
        return replace(self, phase=Phase.LOST)

    def _after(self) -> JsonPlace:
        phase = Phase.AFTER if self._frame is not None else Phase.DONE
        return JsonPlace(phase, self.path, b"", False, False, self._frame)

    def _closed_frame(self) -> JsonPlace:
        assert self._frame is not None
        above, path = self._frame.above, self._frame.path
        if above is None:
            return JsonPlace(Phase.DONE, path)
        return JsonPlace(Phase.AFTER, path, b"", False, False, above)
