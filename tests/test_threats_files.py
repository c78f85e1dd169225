"""What hostile texts can do to logs, and hostile files to settings: docs/threats.md."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from latticework.plugins import request_log as request_logs
from latticework.plugins.ab.facts import MAX_NAME, RequestFacts
from latticework.plugins.ab.front import FrontEnd
from latticework.plugins.ab.live import LiveSettings
from latticework.plugins.ab.tripped import TrippedArms
from latticework.plugins.base import Role
from latticework.plugins.guard import report
from latticework.plugins.requests import LOG_ID
from latticework.plugins.settings import MAX_FILE, read_settings
from latticework.structured.engines.select import clear_cache, compile_grammar
from latticework.structured.errors import LatticeworkError, one_line
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

BYTES = Vocabulary([bytes([i]) for i in range(256)] + [b""], eos_ids=[256])


# Logs


SMUGGLED = "x\n2026-01-01 ERROR root: all is lost\r\x1b[2J\u2028"


def test_what_clients_write_begins_no_line_of_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clear_cache()
    schema = {"properties": {SMUGGLED: {"contentSchema": {}, "format": "idn-hostname"}}}
    with suppress(LatticeworkError):
        compile_grammar(GrammarSpec.json_schema(schema), BYTES)
    report(Role.DRAFTER, "smuggled", ValueError(SMUGGLED), f"request {SMUGGLED} is not drafted for")
    assert len(caplog.records) >= 1
    for record in caplog.records:
        assert record.getMessage().isprintable()
    assert len(one_line("\n" * 100_000)) <= 2 * 2000
    assert one_line("größer") == "größer"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of a deployment."""
    found = tmp_path / "settings.json"
    monkeypatch.setenv("LATTICEWORK_CONFIG", str(found))
    return found


def test_a_client_writes_one_line_of_the_request_log_and_little_of_it(path: Path) -> None:
    log = path.with_name("log.jsonl")
    path.write_text(json.dumps({"telemetry": {"request_log": str(log)}}))
    front = FrontEnd()
    long = SMUGGLED + "y" * 1_000_000
    facts = RequestFacts(
        long, endpoint=long, model=long, user=long, session=long, headers={"authorization": "Bearer secret"}
    )
    ticket = front.admit(facts, lambda extra: None)
    assert ticket is not None
    assert len(ticket.extra[LOG_ID]) <= MAX_NAME
    ticket.refused(LatticeworkError("prompt", "secret text of the client"))
    assert front.log is not None
    front.log.close()
    lines = log.read_bytes().split(b"\n")
    assert lines[1:] == [b""]
    assert len(lines[0]) < 4000
    record = json.loads(lines[0])
    assert record["id"] == long[:MAX_NAME]
    assert record["error"] == {"type": "LatticeworkError", "field": "prompt"}
    assert b"secret" not in lines[0]


def test_lines_that_wait_for_a_slow_disk_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, written = threading.Event(), []
    monkeypatch.setattr(request_logs, "QUEUE_BYTES", 10_000)
    monkeypatch.setattr(request_logs.RequestLog, "_open", lambda self: slow.wait())
    monkeypatch.setattr(os, "write", lambda file, line: written.append(line))
    log = request_logs.RequestLog(str(tmp_path / "log"))
    before = REGISTRY.get_sample_value("latticework_request_log_dropped_total") or 0.0
    for _ in range(100):
        log.write({"text": "x" * 1000})
    dropped = (REGISTRY.get_sample_value("latticework_request_log_dropped_total") or 0.0) - before
    assert 89 <= dropped <= 91
    slow.set()
    log.close()
    assert len(written) == 100 - dropped


# Settings


GOOD = {"switch": {"off": ["drafter"]}}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def off(live: LiveSettings, clock: Clock) -> tuple[Role, ...]:
    clock.now += 2.0
    router = live.current()
    assert router is not None
    return router.settings.switch.off


HOSTILE: dict[str, bytes] = {
    "nested JSON": b'{"ab":' * 50_000,
    "nested lists": b"[" * 100_000,
    "not text": b"\xff\xfe\x00\x01",
    "too large": b'{"switch": {}' + b" " * MAX_FILE + b"}",
    "no object": b"[]",
    "weights without end": json.dumps(
        {"ab": {"experiments": {"x": {"arms": {name: {"weight": 1.7e308} for name in ("control", "a", "b")}}}}}
    ).encode(),
    "a name that ends a line": json.dumps(
        {"ab": {"experiments": {"x\n": {"arms": {"control": {}, "a": {}}}}}}
    ).encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_settings_file_keeps_the_last_good_state(path: Path, name: str) -> None:
    path.write_text(json.dumps(GOOD))
    clock = Clock()
    live = LiveSettings(clock=clock)
    new = path.with_name("new")
    new.write_bytes(HOSTILE[name])
    new.replace(path)
    for _ in range(3):
        assert off(live, clock) == (Role.DRAFTER,)
    assert REGISTRY.get_sample_value("latticework_settings_broken") == 1
    with pytest.raises(LatticeworkError) as caught:
        read_settings()
    assert caught.value.field


def test_what_is_no_file_is_not_waited_for(path: Path) -> None:
    path.write_text(json.dumps(GOOD))
    clock = Clock()
    live = LiveSettings(clock=clock)
    path.unlink()
    os.mkfifo(path)
    assert off(live, clock) == (Role.DRAFTER,)
    path.unlink()
    path.mkdir()
    assert off(live, clock) == (Role.DRAFTER,)


def test_nested_toml_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = path.with_suffix(".toml")
    file.write_text("a = " + "[" * 50_000)
    monkeypatch.setenv("LATTICEWORK_CONFIG", str(file))
    with pytest.raises(LatticeworkError, match=r"nested too deeply|neither TOML"):
        read_settings()


def test_a_file_that_is_being_written_is_left_alone(path: Path) -> None:
    """An empty JSON object is a settings file, and so is the first half of most TOML files."""
    path.write_text(json.dumps(GOOD))
    clock = Clock()
    live = LiveSettings(clock=clock)

    def write(text: str, ago: float) -> None:
        path.write_text(text)
        os.utime(path, (time.time() - ago,) * 2)

    write("{}", -3600)
    assert off(live, clock) == (Role.DRAFTER,)
    write("{                        }", -3600)
    assert off(live, clock) == (Role.DRAFTER,)
    write(json.dumps({"switch": {"off": ["search", "drafter"]}}), -3600)
    assert off(live, clock) == (Role.DRAFTER,)
    assert off(live, clock) == (Role.SEARCH, Role.DRAFTER), "a second look finds it unchanged"
    write(json.dumps({"switch": {"off": ["search"]}}), 60)
    assert off(live, clock) == (Role.SEARCH,), "nobody has written it for long"


def test_a_failure_of_ours_keeps_the_last_settings_in_force(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(json.dumps({"access": {"options": []}}))
    clock = Clock()
    front = FrontEnd(LiveSettings(clock=clock), clock)
    facts = RequestFacts("r", extra={"lw_engine": "auto"})
    for _ in range(2):
        with pytest.raises(LatticeworkError, match="access"):
            front.admit(facts, lambda extra: None)
        monkeypatch.setattr(LiveSettings, "current", lambda self: 1 // 0)


def test_a_hostile_file_of_tripped_arms_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "tripped.json"
    for text in ("[" * 100_000, '{"x/a": 3}', '{"x/a": {"reset": 0}}', "[]", "\0"):
        file.write_text(text)
        assert TrippedArms(str(file)).active({}) == {}
