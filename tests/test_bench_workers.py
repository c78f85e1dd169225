"""A worker that hangs, crashes, eats memory or prints costs one schema, and leaves no process behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from latticework.bench.tokenizers import BYTES, TokenizerSource
from latticework.bench.workers.protocol import CaseResult, Clock, InstanceResult, Status
from latticework.bench.workers.supervisor import Setup, Supervisor, WorkerLostError

#: Speaks the protocol, and does with a schema what the schema says.
FAKE = """
import json, os, sys, time
OPENED = {"version": "fake 1", "build_ms": 1.0, "warm_up_ms": 1.0, "clock_ns": 1, "base_rss": 1}
ANSWER = {"status": "compiled", "compile_ns": 1, "first_mask_ns": 2, "token_ns": [3], "instances": [], "rss": 4}
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "open":
        if request["engine"] == "broken":
            raise SystemExit("cannot start")
        answer = OPENED
    else:
        what = request["schema"]
        if what == "hang":
            time.sleep(60)
        if what == "compute":
            while True:
                pass
        if what == "die":
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(7)
        if what == "signal":
            os.abort()
        if what == "eat":
            hoard = bytearray(os.urandom(1) * (600 << 20))
            time.sleep(60)
        answer = ANSWER | {"reason": str(os.getpid())}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def setup(tmp_path, monkeypatch):
    (tmp_path / "fake_worker.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(**changes):
        options = {"clock": Clock.WALL, "case_seconds": 5.0, "open_seconds": 20.0, "module": "fake_worker", **changes}
        return Setup(options.pop("engine", "fake"), TokenizerSource(BYTES, None, ""), **options)

    return make


def ask(supervisor, schema):
    return supervisor.case("name", "family", schema, [])


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_cases_share_a_worker(setup):
    with Supervisor(setup()) as supervisor:
        first, second = ask(supervisor, "fine"), ask(supervisor, "fine")
    assert first.status is Status.COMPILED
    assert first.reason == second.reason
    assert not running(int(first.reason))


@pytest.mark.parametrize(
    ("schema", "status", "detail"),
    [
        ("hang", Status.TIMEOUT, "within 1 s"),
        ("die", Status.CRASH, "exit status 7; out of luck"),
        ("signal", Status.CRASH, "killed by signal 6"),
    ],
)
def test_a_lost_worker_costs_one_schema(setup, schema, status, detail):
    with Supervisor(setup(case_seconds=1.0)) as supervisor:
        before = ask(supervisor, "fine")
        lost = ask(supervisor, schema)
        after = ask(supervisor, "fine")
        assert lost.status is status
        assert detail in lost.reason
        assert after.status is Status.COMPILED
        assert after.reason != before.reason
        assert not running(int(before.reason))
    assert not running(int(after.reason))


@pytest.mark.parametrize("schema", ["hang", "compute"])
def test_time_is_computing_time_within_reason(setup, schema):
    with Supervisor(setup(clock=Clock.CPU, case_seconds=0.3)) as supervisor:
        assert ask(supervisor, schema).status is Status.TIMEOUT


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is watched through /proc")
def test_a_worker_that_eats_memory_is_ended(setup):
    with Supervisor(setup(case_seconds=30.0, memory=300 << 20)) as supervisor:
        begin = time.monotonic()
        lost = ask(supervisor, "eat")
        assert lost.status is Status.MEMORY
        assert time.monotonic() - begin < 25
        assert ask(supervisor, "fine").status is Status.COMPILED


def test_an_engine_that_cannot_start_says_so(setup):
    with Supervisor(setup(engine="broken")) as supervisor, pytest.raises(WorkerLostError, match="cannot start"):
        supervisor.open()


def test_no_worker_survives_an_interruption(setup):
    pids = []

    def interrupted():
        with Supervisor(setup()) as supervisor:
            pids.append(int(ask(supervisor, "fine").reason))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not running(pids[0])


def children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_ctrl_c_and_worse_leave_no_process_behind(number, status, tmp_path, monkeypatch):
    monkeypatch.setenv("LATTICEWORK_DATA", str(tmp_path))
    code = "from latticework.adapters.cli.main import app; app()"
    arguments = ["bench", "masks", "--engines", "llguidance", "--tokenizer", "bytes"]
    command = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (workers := children(command.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    command.send_signal(number)
    assert command.wait(timeout=30) == status
    while any(map(running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers
    assert not any(map(running, workers))


@pytest.mark.parametrize(
    ("valid", "accepted", "right", "false_accepts", "false_refusals"),
    [
        (True, True, True, 0, 0),
        (True, False, False, 0, 1),
        (True, None, False, 0, 1),
        (False, False, True, 0, 0),
        (False, True, False, 1, 0),
        (False, None, False, 0, 0),
    ],
)
def test_what_counts_as_right(valid, accepted, right, false_accepts, false_refusals):
    result = CaseResult("a", "b", Status.COMPILED, instances=[InstanceResult(valid, accepted)])
    assert (result.right, result.false_accepts, result.false_refusals) == (right, false_accepts, false_refusals)
    assert not CaseResult("a", "b", Status.REFUSED).right
