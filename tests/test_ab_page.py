"""The page of ``latticework ab report`` in a real browser: it shows what it should, runs nothing and loads nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, browser
from test_ab_analysis import record, write
from typer.testing import CliRunner

from latticework.adapters.cli.main import app

TELEPHONE = 380
SECONDS = {"control": 1.0, "fast": 0.5, "slow & <b>bold</b>": 1.6}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    records = [
        record(n, arm, seconds=SECONDS[arm] * (1 + n % 7 / 10), given={"share": 1 / 3, "source": "user"})
        for n, arm in enumerate(list(SECONDS)[n % 3] for n in range(900))
    ]
    page = folder / "report.html"
    log = write(folder / "log", records)
    command = ["ab", "report", "x", "--since", "2020-01-01", "--log", str(log), "--html", str(page)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return page


@pytest.fixture(scope="module")
def window(report: Path) -> Iterator[Browser]:
    with browser(report.parent / "profile") as found:
        found.open(report)
        yield found


def rows(window: Browser) -> list[list[str]]:
    """The texts of the cells of every row."""
    script = "[...document.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    found: list[list[str]] = window.evaluate(script)
    return found


def scrolls_sideways(window: Browser) -> bool:
    return bool(window.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def test_every_arm_has_its_rows(window: Browser) -> None:
    found = rows(window)
    for arm in SECONDS:
        assert [arm, "300", "300", "33.3%", "33.3%"] in found
        assert sum(row[1:2] == [arm] for row in found) >= 5, "a row a metric"
    assert any(row[1:2] == ["fast"] and row[-1] == "better" for row in found)


def test_verdicts_come_first(window: Browser) -> None:
    text = window.evaluate("document.body.innerText")
    assert text.index("fast: better in time of a request") < text.index("planned")


def test_plots_are_drawn_in_the_colour_of_the_page(window: Browser) -> None:
    assert len(window.visible("svg")) >= 4
    colours = "[...new Set([...document.querySelectorAll('svg text')].map(text => getComputedStyle(text).fill))]"
    assert window.evaluate(colours) == [window.evaluate("getComputedStyle(document.body).color")]


def test_nothing_runs_and_nothing_is_loaded(window: Browser, report: Path) -> None:
    assert set(window.requests) == {report.as_uri()}
    assert window.complaints == []
    assert window.evaluate("document.scripts.length") == 0


def test_nothing_but_wide_tables_scrolls_sideways_on_a_telephone(window: Browser, report: Path) -> None:
    window.open(report, width=TELEPHONE)
    assert not scrolls_sideways(window)


def test_a_page_that_runs_or_loads_something_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<img src="http://127.0.0.1:9/x.png"><p style="width: 900px">wide</p>'
        '<script>console.error("oh"); missing()</script>'
    )
    with browser(tmp_path / "profile") as other:
        other.open(page, width=TELEPHONE)
        assert "http://127.0.0.1:9/x.png" in other.requests
        assert len(other.complaints) == 2
        assert scrolls_sideways(other)
