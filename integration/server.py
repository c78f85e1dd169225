"""A real server of vLLM or SGLang on the loopback interface, for tests, benchmarks and the demo.

    with serve(ENGINES["sglang"].lattice) as server:
        httpx.post(f"{server.url}/v1/chat/completions", json={"model": server.model, ...})

Only one engine runs at a time: a file lock is held while a server lives, because two engines on one machine
spoil each other's measurements and memory. The server is a process group of its own and is gone when the block
ends, whether by success, exception, Ctrl-C or ``SIGTERM``; if this process is killed outright, the kernel ends the
server.

``python -m integration.server`` starts one that stays until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rich.console import Console

from integration.launch import Engine, ServerConfig, ServerError
from integration.model import cache_directory
from integration.sglang_server import SGLang
from integration.vllm_server import STRUCTURED_OUTPUTS, VLLM, proposer

__all__ = [
    "ENGINES",
    "INSTALLED",
    "LATTICE",
    "STOCK",
    "STRUCTURED_OUTPUTS",
    "Server",
    "ServerConfig",
    "ServerError",
    "engine_slot",
    "proposer",
    "serve",
]

STARTUP_SECONDS = 300.0
SHUTDOWN_SECONDS = 20.0

ENGINES: dict[str, Engine] = {engine.name: engine for engine in (VLLM(), SGLang())}

# vLLM's, for whatever compares configurations of one engine.
STOCK = VLLM.stock
INSTALLED = VLLM.installed
LATTICE = VLLM.lattice


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        url: Where, without a trailing slash and without ``/v1``.
        model: The model name that requests must give.
        log: Its stdout and stderr.
        pid: Process id, also the id of its process group.
        engine: What it is a server of.
    """

    url: str
    model: str
    log: Path
    pid: int
    engine: Engine

    def is_idle(self) -> bool:
        """Whether it has no request left."""
        names = self.engine.metrics
        return self.metric(names.running) == self.metric(names.waiting) == 0

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of a metric on ``/metrics`` whose labels include ``labels``; 0.0 if there are none.

        Args:
            name: Sample name, with the suffix (``_total``, ``_count``) that the text format shows.
            labels: Label values to match.
        """
        return sum(
            sample.value for sample in self.samples() if sample.name == name and labels.items() <= sample.labels.items()
        )

    def samples(self) -> list[Sample]:
        """All samples on ``/metrics``."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as response:
            text = response.read().decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def healthy(self) -> bool:
        """Whether it answers its health check now."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=10) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError, http.client.HTTPException):
            return False


@contextmanager
def serve(
    config: ServerConfig = INSTALLED,
    *,
    port: int | None = None,
    log: Path | None = None,
    startup_seconds: float = STARTUP_SECONDS,
    console: Console | None = None,
    exclusive: bool = True,
) -> Iterator[Server]:
    """Start a server, wait until it is healthy, and stop it at the end of the block.

    Args:
        config: What to start.
        port: TCP port on the loopback interface; a free one if ``None``.
        log: File for its output; a temporary one, removed at the end, if ``None``.
        startup_seconds: How long it may take to become healthy.
        console: Where to show the progress; stderr if ``None``.
        exclusive: Hold the machine's one engine place; ``False`` for a caller that holds :func:`engine_slot`.

    Raises:
        ServerError: It did not become healthy.
    """
    console = console or Console(stderr=True)
    engine = ENGINES[config.engine]
    engine.check_installation()
    port = port or _free_port()
    slot = engine_slot(console) if exclusive else contextlib.nullcontext()
    with slot, tempfile.TemporaryDirectory(prefix="latticework-server-") as scratch:
        folder = Path(scratch)
        log = log or folder / "server.log"
        command = engine.command(config, port)
        with log.open("wb") as output, _terminate_as_exception():
            process = subprocess.Popen(
                [*_die_with_parent(), *command],
                env=_environment(config, folder),
                cwd=folder,  # not the repository: the engine must see latticework only as installed
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                server = Server(f"http://127.0.0.1:{port}", config.folder.name, log, process.pid, engine)
                _wait_until_healthy(server, process, startup_seconds, console)
                yield server
            finally:
                _stop(process)


@contextmanager
def engine_slot(console: Console | None = None) -> Iterator[None]:
    """Hold the machine's one place for an engine; waits for it. Not reentrant."""
    path = cache_directory().parent / "engine.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (console or Console(stderr=True)).print(f"waiting for another engine to end ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _environment(config: ServerConfig, folder: Path) -> Mapping[str, str]:
    variables = ENGINES[config.engine].environment(config, folder)
    return {"HF_HUB_OFFLINE": "1", **os.environ, **variables, **dict(config.environment)}


def _die_with_parent() -> list[str]:
    """A prefix to a command: the kernel sends it SIGTERM when this process dies (Linux only)."""
    if sys.platform != "linux":
        return []
    code = (
        "import ctypes, os, signal, sys; PR_SET_PDEATHSIG = 1;"
        "ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM); os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", code]


@contextmanager
def _terminate_as_exception() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does. Without effect outside the main thread."""

    def leave(signum: int, frame: object) -> NoReturn:
        raise SystemExit(128 + signum)

    try:
        previous = signal.signal(signal.SIGTERM, leave)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _wait_until_healthy(server: Server, process: subprocess.Popen[bytes], seconds: float, console: Console) -> None:
    began, title = time.monotonic(), server.engine.title
    with console.status(f"starting {title}") as progress:
        while not server.healthy():
            elapsed = time.monotonic() - began
            if process.poll() is not None:
                raise ServerError(f"{title} ended with status {process.returncode}\n{log_tail(server.log)}")
            if elapsed > seconds:
                raise ServerError(f"{title} was not healthy after {seconds:.0f} s\n{log_tail(server.log)}")
            progress.update(f"starting {title} ({elapsed:.0f} s): {_last_line(server.log)}")
            time.sleep(0.5)
    console.print(f"{title} is up at {server.url} after {time.monotonic() - began:.0f} s")


def log_tail(log: Path, lines: int = 40) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _last_line(log: Path) -> str:
    lines = log_tail(log, 1)
    return lines[-80:].replace("[", "(")  # brackets are markup to rich


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, then make it: the engine processes are children of the server."""
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(SHUTDOWN_SECONDS)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Start a server and print how it was started, until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m integration.server", description="Start an engine with latticework until Ctrl-C."
    )
    parser.add_argument("--engine", choices=list(ENGINES), default="vllm")
    parser.add_argument("--stock", action="store_true", help="the engine without latticework")
    parser.add_argument("--model", default="", help="folder of a model (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--port", type=int, default=8000)
    arguments, flags = parser.parse_known_args()
    engine = ENGINES[arguments.engine]
    base = engine.stock if arguments.stock else engine.lattice
    config = replace(base, model=arguments.model, dtype=arguments.dtype).with_flags(*flags)
    console = Console(stderr=True)
    try:
        console.print(shlex.join(engine.command(config, arguments.port)), soft_wrap=True, markup=False)
        log = Path(tempfile.gettempdir()) / f"latticework-serve-{os.getpid()}.log"
        with serve(config, port=arguments.port, log=log, console=console) as server:
            console.print(f"model {server.model}, log {log}; Ctrl-C stops it", markup=False)
            while server.healthy():
                time.sleep(2)
        console.print(f"the server went away\n{log_tail(log)}", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("stopped")
        return 0
    except ServerError as error:
        console.print(f"error: {error}", markup=False, style="red")
        return 1


if __name__ == "__main__":
    sys.exit(main())
