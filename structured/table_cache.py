"""Tables and machines that were built, kept for all grammars of the process within one budget of memory.

What a client asks for decides how large one is: ten megabytes are possible, so a number of entries is no bound.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import is_dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

_Arguments = ParamSpec("_Arguments")
_Value = TypeVar("_Value")

#: Memory for what is kept in a process.
TABLE_BYTES = 32 * 1024 * 1024
#: What an entry takes beside its arrays.
_ENTRY_BYTES = 512


class TableCache:
    """Values by key; the least recently used go first. Thread-safe; two threads may build the same value.

    Args:
        max_bytes: Memory for the arrays of all values. A value that takes more is not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    @property
    def bytes_kept(self) -> int:
        """What the values take."""
        return self._bytes

    def get(self, key: Hashable) -> Any | None:
        """The value, or ``None``."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a value, never ``None``."""
        cost = _ENTRY_BYTES + array_bytes(value)
        with self._lock:
            old = self._entries.pop(key, None)
            self._bytes -= old[1] if old is not None else 0
            if cost > self._max_bytes:
                return
            self._entries[key] = value, cost
            self._bytes += cost
            while self._bytes > self._max_bytes:
                _, (_, freed) = self._entries.popitem(last=False)
                self._bytes -= freed

    def kept(self, function: Callable[_Arguments, _Value]) -> Callable[_Arguments, _Value]:
        """Decorate a function of hashable arguments so that its values are kept. What it raises is not."""

        @wraps(function)
        def cached(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Value:
            key = (function, args, *sorted(kwargs.items()))
            value: _Value | None = self.get(key)
            if value is None:
                value = function(*args, **kwargs)
                self.put(key, value)
            return value

        return cached


def array_bytes(value: object) -> int:
    """The bytes of the arrays in a value: an array, a tuple, or a dataclass of such."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, tuple):
        return sum(map(array_bytes, value))
    if is_dataclass(value):  # ``fields`` makes a tuple of them each time
        return sum([array_bytes(getattr(value, name)) for name in value.__dataclass_fields__])
    return 0


TABLES = TableCache(TABLE_BYTES)
