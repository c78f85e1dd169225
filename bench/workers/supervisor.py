"""The other end of a worker: starts it, waits for its answers with a time limit, and ends it if it must."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from latticework.bench.engines.registry import search_path
from latticework.bench.tokenizers import TokenizerSource
from latticework.bench.workers.protocol import (
    CaseResult,
    Clock,
    Opened,
    Status,
    case_result_from,
    opened_from,
)

_MODULE = "latticework.bench.workers.worker"
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
_POLL_SECONDS = 0.1
#: By how much more than its limit a process may let time pass before it is taken to be stuck and not just slow.
_PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is started with.

    Attributes:
        engine: Name of the engine.
        tokenizer: What texts are written in.
        clock: What times are taken with.
        assert_formats: Whether ``format`` is asserted, where the engine leaves the choice.
        core: The core that it runs on, ``None`` for any.
        open_seconds: Limit for starting it.
        case_seconds: Limit for one case, in the time of ``clock``; in passing time ten times as much.
        memory: Limit for its resident memory, in bytes.
        module: The module that it runs.
    """

    engine: str
    tokenizer: TokenizerSource
    clock: Clock = Clock.CPU
    assert_formats: bool = True
    core: int | None = None
    open_seconds: float = 600.0
    case_seconds: float = 60.0
    memory: int = 8 << 30
    module: str = _MODULE


class WorkerLostError(RuntimeError):
    """A worker died or was ended: ``status`` says how, ``detail`` what is known of it."""

    def __init__(self, status: Status, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(f"{status}: {detail}")


class Supervisor:
    """Runs cases in a worker, which is replaced when it is lost. A context manager: no process outlives it."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._process: _Process | None = None
        self.opened: Opened | None = None

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> Opened:
        """Start a worker if there is none. Raises :class:`WorkerLostError` if it does not get ready."""
        if self._process is None:
            setup = self._setup
            self._process = _Process(setup)
            request = {
                "op": "open",
                "engine": setup.engine,
                "tokenizer": setup.tokenizer.message(),
                "clock": setup.clock,
                "assert_formats": setup.assert_formats,
                "core": setup.core,
                "started": time.time(),
            }
            opened = opened_from(self._ask(request, setup.open_seconds, Clock.WALL))
            self.opened = self.opened or opened  # the first start is the one reported
        assert self.opened is not None
        return self.opened

    def case(self, name: str, family: str, schema: Any, instances: list[Mapping[str, Any]]) -> CaseResult:
        """One case. A worker that is lost on it is the result. Raises only if no worker can be started."""
        self.open()
        request = {"op": "case", "schema": schema, "instances": instances}
        try:
            return case_result_from(name, family, self._ask(request, self._setup.case_seconds, self._setup.clock))
        except WorkerLostError as lost:
            return CaseResult(name, family, lost.status, lost.detail)

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _ask(self, request: Mapping[str, Any], seconds: float, clock: Clock) -> dict[str, Any]:
        assert self._process is not None
        try:
            return self._process.ask(request, seconds, clock, self._setup.memory)
        except BaseException:
            self.close()
            raise


class _Process:
    """A worker and the pipes to it."""

    def __init__(self, setup: Setup) -> None:
        environment = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "TOKENIZERS_PARALLELISM": "false"}
        if (folder := search_path(setup.engine)) is not None:
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", setup.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = self._process.stdin
        self._answers = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._answers, selectors.EVENT_READ)
        self._read = bytearray()

    def ask(self, request: Mapping[str, Any], seconds: float, clock: Clock, memory: int) -> dict[str, Any]:
        """Send a request and wait for the answer. Raises :class:`WorkerLostError`; the process may still run then.

        On a busy machine a process gets a fraction of the time that passes, so a limit on computing is not one on that.
        """
        begin, computed = time.monotonic(), self._computed()
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except OSError:
            raise self._crash() from None
        while True:
            line, found, rest = self._read.partition(b"\n")
            if found:
                self._read = rest
                answer: dict[str, Any] = json.loads(line)
                return answer
            passed = time.monotonic() - begin
            used = self._computed() - computed if clock is Clock.CPU else passed
            if used > seconds or passed > _PATIENCE * seconds:
                raise WorkerLostError(Status.TIMEOUT, f"no answer within {seconds:g} s")
            if (resident := self._resident()) > memory:
                raise WorkerLostError(Status.MEMORY, f"{resident >> 20} MiB resident, {memory >> 20} MiB allowed")
            if self._selector.select(_POLL_SECONDS):
                piece = os.read(self._answers, 1 << 20)
                if not piece:
                    raise self._crash()
                self._read += piece

    def end(self) -> None:
        """Kill the process and release everything."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                # What was not yet flushed to a dead process is of no interest.
                with contextlib.suppress(OSError):
                    stream.close()

    def _computed(self) -> float:
        """Processor time of the process in seconds; the time that passes where there is no ``/proc``."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return time.monotonic()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _resident(self) -> int:
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0  # not Linux, or already gone
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _crash(self) -> WorkerLostError:
        code = self._process.wait(timeout=10)
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        end = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        return WorkerLostError(Status.CRASH, f"{end}; {said[-1][:300] if said else 'nothing was said'}")
