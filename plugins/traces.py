"""Recording the decode of single requests: what was drafted, what was kept, what was legal, how long it took.

    front end   checks `lw_trace` against the settings
    worker      its sessions note the drafts of traced requests
    scheduler   begins a trace, feeds it with notes and after every step, ends it      (an adapter)
    a thread    gives the tokens their texts and writes the file

A request that is not traced meets none of this.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from latticework.plugins import metrics
from latticework.plugins.guard import Area, isolatable, report
from latticework.plugins.settings import TraceSettings, load_settings
from latticework.plugins.trace_file import SUFFIX, file_name
from latticework.plugins.trace_record import Traced, TraceRecord


class TraceRecorder:
    """All traces of one process. ``begin`` and ``end`` belong to one thread. Nothing here raises.

    Attributes:
        live: Those in progress, by request id.
    """

    def __init__(self, settings: TraceSettings) -> None:
        self._settings = settings
        self._folder = Path(settings.directory)
        # Held from the beginning until the file is written, so that a slow disk bounds what is kept in memory.
        self._places = threading.BoundedSemaphore(settings.max_requests)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="latticework-traces")
        self.live: dict[str, TraceRecord] = {}

    def begin(self, request: Traced) -> TraceRecord | None:
        """A request that asks to be traced has arrived; ``None`` if as many as may be are traced already."""
        if request.id in self.live:
            return None
        if not self._places.acquire(blocking=False):
            metrics.TRACES.labels(outcome="busy").inc()
            return None
        self.live[request.id] = record = TraceRecord(request, self._settings.max_tokens)
        return record

    def end(self, request_id: str, finish: str) -> None:
        """It is over. Unknown ids are fine."""
        record = self.live.pop(request_id, None)
        if record is not None:
            self._thread.submit(self._write, request_id, record, finish)

    def close(self) -> None:
        """Write what waits."""
        self._thread.shutdown()

    def _write(self, request_id: str, record: TraceRecord, finish: str) -> None:
        try:
            text = record.as_trace(finish).model_dump_json()
            _write_whole(self._folder / file_name(request_id), text.encode())
            self._remove_oldest()
        except BaseException as error:
            if not isolatable(error):
                raise
            metrics.TRACES.labels(outcome="failed").inc()
            report(Area.TRACES, "writer", error, f"the trace of request {request_id} is lost")
        else:
            metrics.TRACES.labels(outcome="written").inc()
        finally:
            self._places.release()

    def _remove_oldest(self) -> None:
        """Keep the newest. Other processes may do the same."""
        ages = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(FileNotFoundError):
                ages.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(ages)[: -self._settings.max_files]:
            path.unlink(missing_ok=True)


def _write_whole(path: Path, data: bytes) -> None:
    """Whoever reads the file finds all of it or nothing."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(unfinished, flags, 0o640), "wb") as file:
        file.write(data)
    os.replace(unfinished, path)


@lru_cache(maxsize=1)
def recorder() -> TraceRecorder | None:
    """The recorder of this process; ``None`` where the settings allow no traces."""
    settings = load_settings().trace
    return TraceRecorder(settings) if settings.directory else None


# A forked process has the recorder but not its thread: what it traced would never be written.
os.register_at_fork(after_in_child=recorder.cache_clear)
