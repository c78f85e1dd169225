"""The page of ``latticework ab report`` in a real browser: it shows what it should, runs nothing and loads nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest
from test_ab_analysis import record, write
from typer.testing import CliRunner

from latticework.adapters.cli.main import app

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser (Debian: apt-get install chromium)")

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
#: A page around the page, as wide as a telephone: its script is not the page's own, and looks at what that has become.
PROBE = """<iframe id="f" style="width: 380px; height: 2000px" src="{address}"></iframe>
<script>onload = () => {{
    const frame = document.getElementById("f").contentWindow, page = frame.document.documentElement;
    const loaded = frame.performance.getEntriesByType("resource").map((entry) => entry.name);
    const found = {{loaded, wanted: page.scrollWidth, width: page.clientWidth, document: page.outerHTML}};
    document.body.textContent = JSON.stringify(found);
}};</script>"""


@dataclass
class Rendered:
    """A page in the browser.

    Attributes:
        document: What it has become.
        loaded: What else it has asked for.
        wanted, width: Pixels that it needs, and that it has.
        console: Messages of its scripts.
    """

    document: str
    loaded: list[str]
    wanted: int
    width: int
    console: list[str]


def render(page: Path) -> Rendered:
    probe = page.with_name("probe.html")
    probe.write_text(PROBE.format(address=page.as_uri()))
    command = [str(CHROMIUM), *FLAGS, "--allow-file-access-from-files", f"--user-data-dir={page.parent / 'profile'}"]
    command += ["--enable-logging=stderr", "--dump-dom", probe.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<body>(\{.*\})</body>", done.stdout, re.DOTALL)
    assert found, done.stdout[:2000]
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return Rendered(**json.loads(unescape(found[1])), console=console)


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
def rendered(report: Path) -> Rendered:
    return render(report)


def rows(document: str) -> list[list[str]]:
    """The cells of every row, without markup."""
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", document, re.DOTALL)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in found]


def test_every_arm_has_its_rows(rendered: Rendered) -> None:
    found = rows(rendered.document)
    for arm in ("control", "fast", "slow &amp; &lt;b&gt;bold&lt;/b&gt;"):
        assert [arm, "300", "300", "33.3%", "33.3%"] in found
        assert sum(row[1:2] == [arm] for row in found) >= 5, "a row a metric"
    assert any(row[1:2] == ["fast"] and row[-1] == "better" for row in found)


def test_verdicts_come_first(rendered: Rendered) -> None:
    text = re.sub(r"<[^>]+>", "", rendered.document[rendered.document.index("<body") :])
    assert text.index("fast: better in time of a request") < text.index("planned")


def test_plots_are_drawn_in_the_colour_of_the_page(rendered: Rendered) -> None:
    assert rendered.document.count("<svg") >= 4
    assert "fill: currentColor" in rendered.document or 'fill="currentColor"' in rendered.document
    assert "#010203" not in rendered.document


def test_nothing_runs_and_nothing_is_loaded(rendered: Rendered) -> None:
    assert rendered.console == []
    assert rendered.loaded == []
    assert "<script" not in rendered.document


def test_nothing_but_wide_tables_scrolls_sideways_on_a_telephone(rendered: Rendered) -> None:
    assert rendered.wanted <= rendered.width


def test_a_page_that_runs_or_loads_something_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<img src="http://127.0.0.1:9/x.png"><p style="width: 900px">wide</p>'
        '<script>console.error("oh"); missing()</script>'
    )
    found = render(page)
    assert found.loaded == ["http://127.0.0.1:9/x.png"]
    assert len(found.console) >= 2
    assert found.wanted > found.width
