"""What an engine derives from a vocabulary once and uses for every grammar."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from latticework.structured.vocabulary import Vocabulary

T = TypeVar("T")


class PerVocabulary(Generic[T]):
    """A thread-safe, bounded table of ``build(vocabulary)``, keyed by the vocabulary's content and end tokens.

    Building takes a third of a second and more, so a second thread waits for the first instead of building again.
    """

    def __init__(self, build: Callable[[Vocabulary], T], capacity: int = 8) -> None:
        self._build = build
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, T] = OrderedDict()

    def get(self, vocabulary: Vocabulary) -> T:
        """The value for ``vocabulary``. What ``build`` raises is passed on, and not remembered."""
        key = vocabulary.fingerprint
        with self._lock:
            if key not in self._entries:
                self._entries[key] = self._build(vocabulary)
                if len(self._entries) > self._capacity:
                    self._entries.popitem(last=False)
            self._entries.move_to_end(key)
            return self._entries[key]
