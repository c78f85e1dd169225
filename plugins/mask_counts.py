"""Masks as metrics, cheaply: one in :data:`EVERY` is timed, and what is kept is looked at now and then.

A ready mask costs little more than a microsecond, and counting one costs as much.
"""

from __future__ import annotations

import itertools
import threading
import time

from latticework.plugins import metrics
from latticework.structured.engines.select import cache_info
from latticework.structured.runtime.lexeme_masks import LEXEME_MASKS
from latticework.structured.table_cache import TABLES

#: A prime, so that no rhythm of a batch hides anything.
EVERY = 31
#: Seconds between two looks at what is kept.
LOOK_SECONDS = 2.0

_ticks = itertools.count()
_lock = threading.Lock()
_looked = 0.0
_known = {"hit": 0, "miss": 0, "made": 0}


def is_timed() -> bool:
    """Whether the mask that comes now is timed."""
    return next(_ticks) % EVERY == 0


def timed(engine: str, seconds: float) -> None:
    """A mask took so long."""
    metrics.MASK_SECONDS.labels(engine=engine).observe(seconds)
    look()


def look() -> None:
    """Bring the counters of caches up to date, unless that was done a moment ago."""
    global _looked
    now = time.monotonic()
    if now - _looked < LOOK_SECONDS or not _lock.acquire(blocking=False):
        return
    try:
        _looked = now
        info = cache_info()
        for result, count in (("hit", info.hits), ("miss", info.misses)):
            metrics.GRAMMAR_CACHE.labels(result=result).inc(_more(result, count))
        metrics.LEXEME_MASKS_MADE.inc(_more("made", LEXEME_MASKS.made))
        metrics.GRAMMARS_KEPT.set(info.size)
        metrics.MASK_BYTES.labels(what="lexeme_masks").set(LEXEME_MASKS.bytes_kept)
        metrics.MASK_BYTES.labels(what="tables").set(TABLES.bytes_kept)
    finally:
        _lock.release()


def _more(what: str, count: int) -> int:
    """How many have come since the last look. A cache that was cleared counts from zero."""
    more = count - _known[what] if count >= _known[what] else count
    _known[what] = count
    return more
