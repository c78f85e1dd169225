"""A real nginx on the loopback interface, for tests, with the configuration of the manual: Debian's package."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = ROOT / "docs" / "deployment" / "nginx.conf"


def executable() -> str | None:
    """Where the program is; ``None``: not installed (Debian: ``apt-get install nginx-light``)."""
    return shutil.which("nginx")


def localised(text: str, replicas: Sequence[str], port: int, folder: Path) -> str:
    """The configuration with other addresses and folders, and nothing else changed.

    Args:
        text: The configuration.
        replicas: ``host:port``, as many as it names.
        port: Where nginx listens, on the loopback interface.
        folder: For files, in place of ``/tmp`` and ``/etc/nginx``.

    Raises:
        ValueError: It names another number of replicas.
    """
    named = re.findall(r"server (engine-\d+\.engine:8000)", text)
    if len(named) != len(replicas):
        raise ValueError(f"the configuration has {len(named)} replicas, not {len(replicas)}")
    for name, replica in zip(named, replicas, strict=True):
        text = text.replace(f"server {name}", f"server {replica}")
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}")
    return text.replace(" /tmp/", f" {folder}/").replace("/etc/nginx/", f"{folder}/")


@contextmanager
def nginx(replicas: Sequence[str], folder: Path, groups: str = "") -> Iterator[str]:
    """A server in front of ``replicas``; its address.

    Args:
        replicas: ``host:port`` of each.
        folder: For its files.
        groups: Which keys are of which group, as lines of a ``map``.
    """
    program = executable()
    if program is None:
        raise FileNotFoundError("nginx")
    port = free_port()
    (folder / "groups").mkdir()
    (folder / "groups" / "test.conf").write_text(groups)
    path = folder / "nginx.conf"
    path.write_text(localised(CONFIGURATION.read_text(), replicas, port, folder))
    log = folder / "log"
    with log.open("wb") as output:
        command = [program, "-p", str(folder), "-c", str(path), "-g", "daemon off;"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(port, process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"nginx ended: {log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.1)
    raise RuntimeError("nginx did not become ready")


def free_port() -> int:
    """A port of the loopback interface that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
