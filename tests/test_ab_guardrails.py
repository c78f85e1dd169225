"""Sliding windows, and what takes an arm back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.plugins.ab.guardrails import SLICES, Watch, Window
from latticework.plugins.ab.outcome import Outcome, Result
from latticework.plugins.ab.settings import Experiment, Guardrails
from latticework.plugins.ab.tripped import Trip, TrippedArms

GOOD = Outcome(Result.OK, seconds=1.0, first_token=0.1, tokens=100)
BAD = Outcome(Result.ERROR, seconds=1.0)


def experiment(reset: int = 0, **rails: float) -> Experiment:
    guardrails = Guardrails(**{"min_requests": 10, "window_seconds": 100.0, **rails})
    return Experiment.model_validate({"arms": {"control": {}, "a": {}}, "guardrails": guardrails, "reset": reset})


def feed(watch: Watch, arm: str, outcomes: list[Outcome], now: float = 0.0) -> str | None:
    """The first guardrail that breaks."""
    breaches = [watch.add(arm, outcome, now) for outcome in outcomes]
    return next((breach.guardrail for breach in breaches if breach is not None), None)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=60), st.floats(1, 50))
def test_a_window_holds_the_last_seconds_to_within_a_slice(times: list[float], seconds: float) -> None:
    window, now = Window(seconds), max(times)
    for time in sorted(times):
        window.at(time).add(BAD)
    held, slice_ = window.total(now).requests, seconds / SLICES
    at_least = sum(time > now - seconds + slice_ * 1.001 for time in times)
    at_most = sum(time >= now - seconds - slice_ * 0.001 for time in times)
    assert at_least <= held <= at_most


@pytest.mark.parametrize(
    ("rails", "good", "bad"),
    [
        ({"error_rate": 0.1}, GOOD, BAD),
        ({"refused_rate": 0.1}, GOOD, Outcome(Result.REFUSED, 0.0)),
        ({"ttft_seconds": 0.3}, GOOD, Outcome(Result.OK, 1.0, first_token=5.0, tokens=100)),
        ({"tokens_per_second": 60}, GOOD, Outcome(Result.OK, 10.0, tokens=10)),
        (
            {"invalid_rate": 0.1},
            Outcome(Result.OK, 1.0, constrained=True),
            Outcome(Result.OK, 1.0, constrained=True, complete=False),
        ),
    ],
)
def test_each_guardrail_trips_on_what_it_watches_and_on_nothing_else(
    rails: dict[str, float], good: Outcome, bad: Outcome
) -> None:
    assert feed(Watch(experiment(**rails)), "a", [good] * 100) is None
    assert feed(Watch(experiment(**rails)), "a", [good] * 20 + [bad] * 20) == next(iter(rails))
    assert feed(Watch(experiment(**rails)), "a", [bad] * 9) is None, "too few to judge"
    assert feed(Watch(experiment(**rails)), "control", [bad] * 100) is None, "there is nowhere else to go"
    assert feed(Watch(experiment()), "a", [bad] * 100) is None, "nothing is watched"


@pytest.mark.parametrize(
    ("rails", "slow"),
    [
        ({"ttft_ratio": 1.5}, Outcome(Result.OK, 1.0, first_token=0.2, tokens=100)),
        ({"speed_ratio": 0.8}, Outcome(Result.OK, 2.0, first_token=0.1, tokens=100)),
    ],
)
def test_ratios_are_to_control_so_that_load_trips_nothing(rails: dict[str, float], slow: Outcome) -> None:
    watch = Watch(experiment(**rails))
    assert feed(watch, "a", [slow] * 50) is None, "nothing to compare with"
    assert feed(watch, "control", [slow] * 50) is None
    assert feed(watch, "a", [slow] * 50) is None, "both are slow"
    watch = Watch(experiment(**rails))
    feed(watch, "control", [GOOD] * 50)
    assert feed(watch, "a", [GOOD] * 50) is None
    assert feed(watch, "a", [slow] * 200) == next(iter(rails))


def test_accept_rates_are_judged_by_tokens() -> None:
    watch = Watch(experiment(accept_rate=0.3))
    assert watch.add_drafts("a", 9, 0, 0.0) is None
    assert watch.add_drafts("a", 91, 40, 0.0) is None
    breach = watch.add_drafts("a", 100, 0, 0.0)
    assert breach is not None
    assert breach.reason == "0.2 over 200 drafted tokens, at least 0.3"


def test_what_is_long_ago_is_forgotten() -> None:
    watch = Watch(experiment(error_rate=0.1))
    feed(watch, "a", [BAD] * 9)
    assert feed(watch, "a", [GOOD] * 50, now=120.0) is None


def test_clients_that_leave_say_nothing() -> None:
    watch = Watch(experiment(error_rate=0.0))
    assert feed(watch, "a", [Outcome(Result.CANCELLED, 1.0)] * 100) is None


class TestTripped:
    KEY, TRIP = ("x", "a"), Trip(0, "error_rate", "too many", "2026-01-01T00:00:00+00:00")

    def test_they_stay_until_the_number_is_raised(self) -> None:
        tripped = TrippedArms()
        tripped.add(self.KEY, self.TRIP)
        assert tripped.active({"x": experiment()}) == {self.KEY: self.TRIP}
        assert tripped.active({"x": experiment(reset=1)}) == {}
        assert tripped.active({}) == {}

    def test_a_file_keeps_them_over_restarts_and_tells_others(self, tmp_path: Path) -> None:
        path = str(tmp_path / "tripped.json")
        one, two = TrippedArms(path), TrippedArms(path)
        one.add(self.KEY, self.TRIP)
        two.refresh()
        assert two.active({"x": experiment()}) == {self.KEY: self.TRIP}
        two.add(("x", "control"), self.TRIP)
        assert set(TrippedArms(path).active({"x": experiment()})) == {self.KEY, ("x", "control")}
        assert [file.name for file in tmp_path.iterdir() if not file.name.endswith(".lock")] == ["tripped.json"]

    @pytest.mark.parametrize("text", ["", "[]", '{"x/a": 3}', '{"x/a": {"no": 1}}', "\x00"])
    def test_a_broken_file_changes_nothing(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "tripped.json"
        tripped = TrippedArms(str(path))
        tripped.add(self.KEY, self.TRIP)
        path.write_text(text)
        tripped.refresh()
        assert tripped.active({"x": experiment()}) == {self.KEY: self.TRIP}

    def test_a_file_that_cannot_be_written_does_not_keep_the_arm_running(self, tmp_path: Path) -> None:
        tripped = TrippedArms(str(tmp_path / "missing" / "tripped.json"))
        tripped.add(self.KEY, self.TRIP)
        assert tripped.active({"x": experiment()}) == {self.KEY: self.TRIP}

    def test_the_file_is_for_people_too(self, tmp_path: Path) -> None:
        path = tmp_path / "tripped.json"
        TrippedArms(str(path)).add(self.KEY, self.TRIP)
        assert json.loads(path.read_text())["x/a"]["guardrail"] == "error_rate"
