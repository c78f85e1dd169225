"""``latticework ab``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_ab_analysis import record, write
from typer.testing import CliRunner

from latticework.adapters.cli.main import app

RUNNER = CliRunner(env={"COLUMNS": "160"})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    arms = ("a" if number % 2 else "control" for number in range(400))
    return write(tmp_path / "log", [record(n, arm, seconds=0.5 + (arm == "a") + n % 7) for n, arm in enumerate(arms)])


def report(*arguments: str, since: str = "2020-01-01") -> tuple[int, str]:
    done = RUNNER.invoke(app, ["ab", "report", "x", "--since", since, *arguments])
    return done.exit_code, " ".join((done.stdout + done.stderr).split())


def test_a_report_as_a_table_as_data_and_as_a_page(log: Path, tmp_path: Path) -> None:
    status, text = report("--log", str(log), "--html", str(tmp_path / "page.html"))
    assert status == 0
    assert "control 200 200 50.0% 50.0%" in text
    assert "worse" in text
    page = (tmp_path / "page.html").read_text()
    assert "<svg" in page
    assert "<script" not in page
    status, text = report("--log", str(log), "--json")
    data = json.loads(text)
    assert (status, data["mismatched"], data["unit"]) == (0, False, "request")
    assert next(one for one in data["comparisons"] if one["arm"] == "a")["ratio"]["low"] is not None


def test_names_of_clients_do_not_become_markup(tmp_path: Path) -> None:
    records = [record(n, "<b>a" if n % 2 else "control") for n in range(100)]
    report("--log", str(write(tmp_path / "log", records)), "--html", str(tmp_path / "page.html"))
    assert "<b>a" not in (tmp_path / "page.html").read_text()


def test_a_mismatch_is_told_first_and_by_the_status(tmp_path: Path) -> None:
    log = write(tmp_path / "log", [record(n, "a" if n % 3 else "control") for n in range(2000)])
    status, text = report("--log", str(log))
    assert status == 1
    assert "mismatch" in text


@pytest.mark.parametrize(
    ("arguments", "since", "reason"),
    [
        ([], "7d", "name either"),
        (["--log", "missing"], "7d", "cannot be read"),
        (["--prometheus", "http://x", "--log", "y"], "7d", "name either"),
        (["--log", "{log}"], "yesterday", "neither a time"),
        (["--log", "{log}"], "1h", "no request"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(log: Path, arguments: list[str], since: str, reason: str) -> None:
    status, text = report(*(argument.format(log=log) for argument in arguments), since=since)
    assert status == 2
    assert reason in text


def test_unknown_experiments_are_told_the_known(log: Path) -> None:
    done = RUNNER.invoke(app, ["ab", "report", "y", "--log", str(log)])
    assert done.exit_code == 2
    assert "experiments there: x" in done.stderr


def test_a_simulation_as_a_table_and_as_data() -> None:
    command = ["ab", "simulate", "--requests", "1000", "--runs", "20", "--effect", "0.5"]
    done = RUNNER.invoke(app, command)
    assert done.exit_code == 0
    assert "time metric" in done.stdout
    data = json.loads(RUNNER.invoke(app, [*command, "--json"]).stdout)
    assert data["found"][0]["power"] == 1.0
