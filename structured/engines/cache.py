"""A bounded cache of compiled grammars in which two threads that want the same grammar compile it once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass

from latticework.structured.engines.base import CompiledGrammar


@dataclass(frozen=True)
class CacheInfo:
    """Counters since the last :meth:`GrammarCache.clear`; ``hits`` includes waits for another thread's compilation."""

    hits: int
    misses: int
    size: int
    capacity: int


class GrammarCache:
    """Least recently used entries go first. Failures reach every waiting thread and are then forgotten."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, Future[CompiledGrammar]] = OrderedDict()
        self._hits = self._misses = 0

    def get(self, key: Hashable, build: Callable[[], CompiledGrammar]) -> CompiledGrammar:
        """The grammar under ``key``, built by the first thread that asks; the others wait for it."""
        with self._lock:
            future = self._entries.get(key)
            mine = future is None
            if future is None:
                self._misses += 1
                future = self._entries[key] = Future()
                self._evict()
            else:
                self._hits += 1
                self._entries.move_to_end(key)
        if mine:
            self._run(key, future, build)
        return future.result()

    def _run(self, key: Hashable, future: Future[CompiledGrammar], build: Callable[[], CompiledGrammar]) -> None:
        try:
            future.set_result(build())
        except BaseException as error:
            with self._lock:
                if self._entries.get(key) is future:
                    del self._entries[key]
            future.set_exception(error)

    def _evict(self) -> None:
        # Whoever waits on an evicted future still gets its result: only the table forgets it.
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def info(self) -> CacheInfo:
        """A consistent snapshot of the counters."""
        with self._lock:
            return CacheInfo(self._hits, self._misses, len(self._entries), self._capacity)

    def clear(self) -> None:
        """Forget every entry and start counting again."""
        with self._lock:
            self._entries.clear()
            self._hits = self._misses = 0
