"""A real Prometheus on the loopback interface, for tests: Debian's package, or any ``prometheus`` on the path."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Prometheus:
    """A server that answers at ``url``."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        return self._get(f"/api/v1/query?query={urllib.parse.quote(expression)}")["result"]

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with their health."""
        return [rule for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return json.loads(response.read())["data"]


def executable(name: str = "prometheus") -> str | None:
    """Where the program is; ``None``: not installed (Debian: ``apt-get install prometheus``)."""
    return shutil.which(name)


@contextmanager
def prometheus(targets: Mapping[str, Sequence[str]], rules: Sequence[Path] = ()) -> Iterator[Prometheus]:
    """A server that scrapes every second.

    Args:
        targets: ``host:port`` of what is scraped, by job.
        rules: Files of rules.
    """
    program = executable()
    if program is None:
        raise FileNotFoundError("prometheus")
    with tempfile.TemporaryDirectory(prefix="latticework-prometheus-") as folder:
        jobs = [{"job_name": job, "static_configs": [{"targets": list(hosts)}]} for job, hosts in targets.items()]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "scrape_configs": jobs,
            "rule_files": [str(path.resolve()) for path in rules],
        }
        path = Path(folder) / "prometheus.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        address = f"127.0.0.1:{_free_port()}"
        command = [
            *(program, f"--config.file={path}", f"--storage.tsdb.path={folder}/data"),
            *(f"--web.listen-address={address}", "--log.level=warn"),
        ]
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            try:
                server = Prometheus(f"http://{address}")
                _wait_until_ready(server, process, log)
                yield server
            finally:
                process.terminate()
                process.wait(20)


def _wait_until_ready(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"prometheus ended: {log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{server.url}/-/ready") as ok:
            if ok.status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("prometheus did not become ready")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
