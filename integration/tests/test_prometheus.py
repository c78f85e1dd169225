"""Reports out of a real Prometheus, which scrapes a page of metrics that this test controls."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from typer.testing import CliRunner

from integration.prometheus import Prometheus, executable, prometheus
from integration.tests.client import wait_until
from latticework.adapters.cli.main import app
from latticework.plugins.ab.prometheus_reading import growth

needs_prometheus = pytest.mark.skipif(
    executable() is None, reason="needs a Prometheus server (Debian: apt-get install prometheus)"
)


class Replica:
    """One server's metrics of the experiment ``x``, from zero."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["experiment", "arm"]

        def counter(name: str, *more: str) -> Counter:
            return Counter(f"latticework_{name}_total", "x", [*labels, *more], registry=self.registry)

        self.requests, self.answers = counter("ab_requests", "result"), counter("ab_answers", "complete")
        self.moments = [counter(f"ab_measure_{name}", "measure") for name in ("count", "sum", "squares")]
        drafts = ("draft_tokens", "draft_accepted_tokens")
        self.drafts = [
            Counter(f"latticework_{n}_total", "x", ["drafter", "arm"], registry=self.registry) for n in drafts
        ]
        self.share = Gauge("latticework_ab_share", "x", labels, registry=self.registry)

    def serve(self, arm: str, requests: int, failed: int) -> None:
        self.share.labels("x", arm).set(0.5)
        self.requests.labels("x", arm, "ok").inc(requests - failed)
        self.requests.labels("x", arm, "error").inc(failed)
        self.answers.labels("x", arm, "yes").inc(requests - failed)
        logarithm = 13.0 if arm == "a" else 14.0
        for counter, value in zip(self.moments, (1.0, logarithm, logarithm**2 + 0.1), strict=True):
            counter.labels("x", arm, "seconds").inc((requests - failed) * value)
        for counter, tokens in zip(self.drafts, (10, 6 if arm == "a" else 5), strict=True):
            counter.labels("fusion", f"x/{arm}+y/b").inc(requests * tokens)


@contextmanager
def page(text: Callable[[], bytes]) -> Iterator[str]:
    """A web server of one page; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text())

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()


def scraped(server: Prometheus, expected: float) -> bool:
    found = server.query('sum(latticework_ab_requests_total{experiment="x"})')
    return bool(found) and float(found[0]["value"][1]) == expected


def report(server: Prometheus, *arguments: str) -> dict[str, Any]:
    command = ["ab", "report", "x", "--prometheus", server.url, "--since", "1h", "--json", *arguments]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_prometheus
def test_a_report_counts_what_was_counted_over_replicas_and_restarts(tmp_path: Path) -> None:
    replicas = [Replica(), Replica()]

    def first() -> bytes:
        return generate_latest(replicas[0].registry)

    def second() -> bytes:
        return generate_latest(replicas[1].registry)

    with page(first) as one, page(second) as two, prometheus({"engines": [one, two]}) as server:
        assert wait_until(lambda: len(server.query("up == 1")) == 2, 20)
        replicas[0].serve("a", 1000, 10)
        replicas[0].serve("control", 1000, 10)
        replicas[1].serve("a", 500, 5)
        assert wait_until(lambda: scraped(server, 2500), 20)
        time.sleep(1.5)
        replicas[0] = Replica()  # a restart: everything begins at zero
        replicas[0].serve("a", 40, 0)
        replicas[0].serve("control", 560, 0)
        assert wait_until(lambda: scraped(server, 1100), 20)
        time.sleep(1.5)
        html = tmp_path / "report.html"
        found = report(server, "--html", str(html))
        unknown = CliRunner().invoke(app, ["ab", "report", "other", "--prometheus", server.url])
    assert found["arms"] == {"a": [1540.0, 1540.0, 0.5], "control": [1560.0, 1560.0, 0.5]}
    by_name = {(one["metric"], one["arm"]): one for one in found["comparisons"]}
    assert by_name["errors", "a"]["own"]["estimate"] == pytest.approx(15 / 1540)
    assert by_name["seconds", "a"]["count"] == 1525
    assert by_name["seconds", "a"]["own"]["estimate"] == pytest.approx(np.exp(13.0) * 1e-6)
    assert by_name["seconds", "a"]["ratio"]["estimate"] == pytest.approx(np.exp(-1.0))
    assert by_name["seconds", "a"]["verdict"] == "better"
    assert by_name["accept_rate", "a"]["own"]["estimate"] == pytest.approx(0.6)
    assert by_name["accept_rate", "a"]["ratio"]["estimate"] == pytest.approx(1.2)
    text = html.read_text()
    assert text.count("<svg") > 2
    assert "http://" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ), "the page loads nothing"
    assert unknown.exit_code == 2
    assert "it knows: x" in unknown.stderr


def test_servers_that_are_none_are_named() -> None:
    for address, reason in (("http://127.0.0.1:9", "does not answer"), ("file:///etc/passwd", "no http address")):
        done = CliRunner().invoke(app, ["ab", "report", "x", "--prometheus", address])
        assert done.exit_code == 2
        assert reason in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([(0, 5), (100, 5), (200, 7), (300, 7)], [0, 0, 2, 2]),
        ([(30, 5), (130, 6)], [0, 0, 1, 1]),
        ([(100, 4), (200, 9)], [0, 4, 9, 9]),
        ([(0, 8), (100, 9), (200, 3), (300, 4)], [0, 1, 4, 5]),
        ([], [0, 0, 0, 0]),
    ],
    ids=["there before", "first scraped a little later", "born since", "restarted", "absent"],
)
def test_growth(samples: list[tuple[float, float]], expected: list[float]) -> None:
    values = [(float(time), str(value)) for time, value in samples]
    assert growth(values, np.arange(4.0) * 100).tolist() == expected
