"""One line of JSON for each request, appended to a file that several processes may share.

Lines are written by a thread of their own, so that a slow disk delays no request; what does not fit into its queue is
counted and dropped. Each line is one write to a file opened for appending, which POSIX keeps whole. A file that was
moved away (``logrotate``) is opened anew.

No prompt and no answer is ever in it unless the settings ask for them. The fields are described in docs/metrics.md.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from latticework.plugins import metrics
from latticework.plugins.settings import load_settings

logger = logging.getLogger("latticework.plugins")

#: Lines that may wait to be written, and their bytes together.
QUEUE, QUEUE_BYTES = 10_000, 64 << 20
#: Characters kept of a prompt or an answer.
MAX_TEXT = 100_000


class RequestLog:
    """Appends to a file. Safe to use from any thread; never raises.

    Args:
        path: The file. Its folder must exist.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1
        self._failed = False
        self._lines: queue.Queue[bytes | None] = queue.Queue(QUEUE)
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="latticework-request-log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, record: Mapping[str, Any]) -> None:
        """Append ``record``, soon."""
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str)
        line = text.encode("utf-8", "surrogatepass") + b"\n"
        try:
            if self._waiting + len(line) > QUEUE_BYTES:
                raise queue.Full
            self._lines.put_nowait(line)
        except queue.Full:
            metrics.REQUEST_LOG_DROPPED.inc()
        else:
            self._count(len(line))

    def close(self) -> None:
        """Write what waits, and stop."""
        atexit.unregister(self.close)
        with suppress(queue.Full):
            self._lines.put(None, timeout=10)
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            self._count(-len(line))
            try:
                self._open()
                os.write(self._file, line)
                self._failed = False
            except OSError as error:
                metrics.REQUEST_LOG_DROPPED.inc()
                if not self._failed:
                    logger.error("cannot write the request log %s: %s", self._path, error)
                self._failed = True
        if self._file >= 0:
            os.close(self._file)

    def _count(self, size: int) -> None:
        with self._lock:
            self._waiting += size

    def _open(self) -> None:
        """Have the file open that the path names now."""
        if self._file >= 0:
            ours = os.fstat(self._file)
            try:
                there = os.stat(self._path)
                if (ours.st_ino, ours.st_dev) == (there.st_ino, there.st_dev):
                    return
            except FileNotFoundError:
                pass
            os.close(self._file)
            self._file = -1
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


@lru_cache(maxsize=1)
def request_log() -> RequestLog | None:
    """The log that the settings named when this process began; front ends follow the settings instead."""
    path = load_settings().telemetry.request_log
    return RequestLog(path) if path else None


# A forked process has the log but not its thread: what it wrote would wait for ever.
os.register_at_fork(after_in_child=request_log.cache_clear)
