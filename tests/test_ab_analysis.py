"""Reports out of logs: values, comparisons, units, and no more false alarms than stated."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latticework.plugins.ab.analysis import Comparison, Design, Report, analyse, compare
from latticework.plugins.ab.log_reading import experiments_in, read_logs
from latticework.plugins.ab.simulation import Plan, simulate
from latticework.plugins.ab.tables import Look
from latticework.structured.errors import LatticeworkError


def record(number: int, arm: str, **fields: Any) -> dict[str, Any]:
    assigned = {"arm": arm, "share": 0.5, "unit": f"u{number}", "source": "request", "why": "assigned"}
    return {
        "kind": "request",
        "time": datetime.fromtimestamp(1_700_000_000 + number, UTC).isoformat(),
        "id": f"r{number}",
        "arms": {"x": {**assigned, **fields.pop("given", {})}},
        "result": "ok",
        "constrained": True,
        "complete": True,
        "tokens": 10,
        "seconds": 1.0,
        "first_token": 0.1,
        **fields,
    }


def write(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def report(path: Path, records: Iterable[dict[str, Any]], **design: float) -> Report:
    return analyse(read_logs([write(path, records)], "x"), Design(**design))


def sum_of(look: Look) -> int:
    return int(sum(arm.requests for arm in look.arms.values()))


def of(found: Report, metric: str, arm: str = "a") -> Comparison:
    return next(one for one in found.comparisons if (one.metric, one.arm) == (metric, arm))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_values_and_ratios(log: Path) -> None:
    rng = np.random.default_rng(1)
    records = []
    for number in range(4000):
        arm = "a" if rng.random() < 0.5 else "control"
        seconds = math.exp(rng.normal(0, 0.3)) * (0.8 if arm == "a" else 1.0)
        complete = bool(rng.random() < (0.95 if arm == "a" else 0.85))
        records.append(record(number, arm, seconds=seconds, complete=complete))
    found = report(log, records)
    seconds, incomplete = of(found, "seconds"), of(found, "incomplete")
    assert seconds.own.estimate == pytest.approx(0.8, rel=0.05)
    assert seconds.own.low < 0.8 < seconds.own.high
    assert seconds.ratio is not None
    assert seconds.ratio.low < 0.8 < seconds.ratio.high < 1
    assert (seconds.verdict, of(found, "tokens_per_second").verdict) == ("better", "better")
    assert incomplete.ratio is not None
    assert incomplete.ratio.low < 1 / 3 < incomplete.ratio.high < 1
    assert incomplete.verdict == "better"
    assert of(found, "errors").verdict == ""
    assert of(found, "seconds", "control").ratio is None
    assert not found.mismatched
    assert found.ended - found.began < 4000
    assert found.notes == ()


def test_the_accept_rate_is_a_ratio_of_sums(log: Path) -> None:
    rng = np.random.default_rng(2)
    records = []
    for number in range(2000):
        arm = "a" if number % 2 else "control"
        drafted = int(rng.integers(1, 100))
        accepted = int(rng.binomial(drafted, 0.6 if arm == "a" else 0.5))
        records += [
            record(number, arm),
            {"kind": "drafts", "id": f"r{number}", "drafted": drafted, "accepted": accepted},
        ]
    found = of(report(log, records), "accept_rate")
    assert found.own.low < 0.6 < found.own.high
    assert found.own.high - found.own.low < 0.02
    assert found.ratio is not None
    assert found.ratio.low < 1.2 < found.ratio.high
    assert found.verdict == "better"


def test_what_does_not_count_is_left_out(log: Path) -> None:
    records = [record(number, "a" if number % 2 else "control") for number in range(100)]
    records += [record(200, "a", result="cancelled"), record(201, "a", given={"why": "forced"})]
    records += [record(202, "a", given={"why": "diverted"}), {"kind": "other"}, {**record(203, "a"), "arms": {}}]
    log.write_text("no json\n3\n")
    assert report(log, records).arms["a"] == (50, 50, 0.5)


def test_requests_of_one_user_are_one_observation(log: Path) -> None:
    """Five users with two hundred equal requests each are five observations, and prove nothing."""
    records = []
    for number in range(2000):
        user = number % 10
        arm = "a" if user % 2 else "control"
        given = {"unit": f"u{user}", "source": "user"}
        records.append(record(number, arm, seconds=0.5 + user, result="error" if number == 5 else "ok", given=given))
    found = report(log, records)
    assert (found.unit, found.arms["a"]) == ("user", (1000, 5, 0.5))
    assert of(found, "seconds").count == 5
    assert of(found, "seconds").verdict == ""
    assert of(found, "errors").own.estimate == pytest.approx(1 / 5)
    mean = math.exp(np.mean([math.log(0.5 + user) for user in (1, 3, 5, 7, 9)]))
    assert of(found, "seconds").own.estimate == pytest.approx(mean)


def test_a_sample_ratio_mismatch_is_told(log: Path) -> None:
    found = report(log, [record(number, "a" if number % 3 == 0 else "control") for number in range(3000)])
    assert found.mismatched
    assert found.mismatch < 1e-6


def test_shares_that_changed_are_told(log: Path) -> None:
    records = [record(n, "a" if n % 2 else "control", given={"share": 0.5 if n < 50 else 0.4}) for n in range(100)]
    assert "changed" in report(log, records).notes[0]
    assert analyse(read_logs([log], "x", since=1_700_000_050)).notes == ()


def test_several_logs_are_one(tmp_path: Path) -> None:
    records = [record(number, "a" if number % 2 else "control") for number in range(100)]
    paths = [write(tmp_path / "one", records[::2]), write(tmp_path / "two", records[1::2])]
    assert analyse(read_logs(paths, "x")).arms == {"a": (50, 50, 0.5), "control": (50, 50, 0.5)}
    assert experiments_in(paths) == ["x"]


def test_looks_are_the_report_as_it_would_have_been(log: Path) -> None:
    records = [record(number, "a" if number % 2 else "control", seconds=1 + number % 7) for number in range(600)]
    table = read_logs([write(log, records)], "x")
    for look in (table.looks[3], table.looks[-1]):
        requests = sum_of(look)
        again = read_logs([write(log, records[:requests])], "x").last
        assert again.arms == look.arms


def test_unknown_experiments_and_missing_files_are_named(log: Path, tmp_path: Path) -> None:
    write(log, [record(0, "a")])
    with pytest.raises(LatticeworkError, match="no request"):
        read_logs([log], "y")
    with pytest.raises(LatticeworkError, match="cannot be read"):
        read_logs([tmp_path / "missing"], "x")
    assert "nothing is known of the control" in analyse(read_logs([log], "x")).notes[0]


def test_remaining_time_shrinks_to_nothing(log: Path) -> None:
    rng = np.random.default_rng(4)
    records = [
        record(n, "a" if rng.random() < 0.5 else "control", seconds=math.exp(rng.normal(0, 0.5)), first_token=None)
        for n in range(8000)
    ]
    early, late = (report(log, records[:n], effect=0.05).remaining for n in (1000, 8000))
    assert early is not None
    assert late is not None
    assert 0 <= late < early
    assert early > 1000
    assert report(log, records[:1000], effect=0.5).remaining == 0


def test_simulated_experiments_keep_the_level_and_find_what_they_should() -> None:
    plan = Plan(requests=4000, runs=300, effect=0.1, rate=0.02, rate_ratio=3.0, seed=8)
    metric, event, mismatch = simulate(plan)
    bound = 0.05 + 3.9 * math.sqrt(0.05 * 0.95 / plan.runs)
    assert metric.alarms <= bound
    assert event.alarms <= bound
    assert mismatch.alarms <= 0.001 + 3.9 * math.sqrt(0.001 / plan.runs)
    assert metric.power is not None
    assert metric.power > 0.9
    assert metric.half is not None
    assert metric.half < 4000
    assert event.power is not None
    assert event.power > 0.8


def test_reports_of_simulated_aa_tests_raise_no_more_alarms_than_stated(log: Path) -> None:
    """The whole way, from log lines to verdicts, looked at after every 100 requests: 40 tests of two metrics."""
    alarms, runs = {"seconds": 0, "errors": 0}, 40
    for seed in range(runs):
        rng = np.random.default_rng(1000 + seed)
        records = [
            record(
                number,
                "a" if rng.random() < 0.5 else "control",
                seconds=math.exp(rng.normal(0, 0.5)),
                result="error" if rng.random() < 0.03 else "ok",
            )
            for number in range(1200)
        ]
        looks = read_logs([write(log, records)], "x").looks
        found = [compare(look, "control", Design(plan=1000)) for look in looks if sum_of(look) % 100 == 0]
        assert len(found) == 12
        seen = {one.metric for look in found for one in look if one.verdict and one.metric in alarms}
        for metric in seen:
            alarms[metric] += 1
    for count in alarms.values():
        assert count <= runs * 0.05 + 3.9 * math.sqrt(runs * 0.05 * 0.95)
