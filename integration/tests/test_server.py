"""The helper that starts servers: it must never leave one behind."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from integration import launch, server
from integration.server import ENGINES, ServerConfig, ServerError, serve
from integration.tests.client import answer
from integration.vllm_server import VLLM

ROOT = Path(server.__file__).parents[1]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A small HTTP server in place of the vllm command, with a child like vLLM's engine process."""
    program = tmp_path / "program.py"
    program.write_text(
        "import http.server, subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n"
    )
    monkeypatch.setattr(VLLM, "command", lambda self, config, port: [sys.executable, str(program), str(port)])
    monkeypatch.setattr(ServerConfig, "folder", tmp_path)
    monkeypatch.setattr(VLLM, "check_installation", lambda self: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # its own engine lock
    return tmp_path


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def gone(pid: int) -> bool:
    return any(not alive(pid) or time.sleep(0.1) for _ in range(100))


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_the_whole_process_group_is_gone_afterwards(stand_in, error):
    with suppress(KeyboardInterrupt, RuntimeError), serve() as running:
        assert running.healthy()
        child = int((stand_in / "child").read_text())
        assert alive(child)
        if error is not None:
            raise error
    assert not alive(running.pid)
    assert gone(child)


def test_sigterm_is_a_clean_end(stand_in):
    pids = []

    def run_and_be_terminated():
        with serve() as running:
            pids.append(running.pid)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    with pytest.raises(SystemExit):
        run_and_be_terminated()
    assert not alive(pids[0])


def test_server_that_ends_at_start_is_reported_with_its_log(stand_in, monkeypatch):
    monkeypatch.setattr(
        VLLM, "command", lambda self, config, port: [sys.executable, "-c", "print('no such flag'); exit(3)"]
    )
    with pytest.raises(ServerError, match=r"status 3\n.*no such flag"), serve():
        pass


def test_server_that_hangs_is_given_up(stand_in, monkeypatch):
    monkeypatch.setattr(
        VLLM, "command", lambda self, config, port: [sys.executable, "-c", "import time; time.sleep(600)"]
    )
    with pytest.raises(ServerError, match="not healthy after 1 s"), serve(startup_seconds=1):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_killed_parent_takes_the_server_along(tmp_path):
    code = (
        "import subprocess, sys, time; from integration.server import _die_with_parent;"
        "p = subprocess.Popen([*_die_with_parent(), sys.executable, '-c',"
        " 'print(1, flush=True); import time; time.sleep(600)'], stdout=subprocess.PIPE);"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    assert gone(child)


def test_one_engine_at_a_time(stand_in):
    code = (
        "import fcntl, sys\nf = open(sys.argv[1], 'w')\n"
        "try: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept BlockingIOError: sys.exit(9)"
    )
    lock = stand_in / "latticework" / "engine.lock"
    with serve():
        assert subprocess.run([sys.executable, "-c", code, str(lock)], check=False).returncode == 9
    assert subprocess.run([sys.executable, "-c", code, str(lock)], check=False).returncode == 0


PLUGINS = {"vllm": "VLLM_PLUGINS", "sglang": "SGLANG_PLUGINS"}


@pytest.mark.parametrize("name", ENGINES)
def test_stock_configuration_keeps_latticework_out(tmp_path, name, monkeypatch):
    monkeypatch.delenv(PLUGINS[name], raising=False)
    environment = server._environment(ENGINES[name].stock, tmp_path)
    assert "latticework" not in environment[PLUGINS[name]].split(",")


@pytest.mark.parametrize("name", ENGINES)
def test_own_variables_come_last(tmp_path, name, monkeypatch):
    monkeypatch.setenv("SOME_VARIABLE", "inherited")
    config = replace(ENGINES[name].lattice, environment=(("SOME_VARIABLE", "own"),))
    assert server._environment(config, tmp_path)["SOME_VARIABLE"] == "own"


@pytest.mark.parametrize("name", ENGINES)
def test_engine_that_is_nowhere_is_named(tmp_path, name, monkeypatch):
    monkeypatch.setattr(ENGINES[name], "distribution", "no-such-distribution")
    monkeypatch.setattr(launch, "ROOT", tmp_path)
    with pytest.raises(ServerError, match="make setup"):
        ENGINES[name].check_installation()


@pytest.mark.engine
@pytest.mark.capability("default precision")
def test_the_server_of_make_serve_keeps_constraints_and_drafts(engine, default_server):
    accepted = default_server.metric(engine.metrics.accepted)
    text = answer(default_server, constraint=("regex", r"The sky is (blue|grey), and so is the sea\."))
    assert text in {f"The sky is {colour}, and so is the sea." for colour in ("blue", "grey")}
    assert default_server.metric(engine.metrics.accepted) > accepted
