"""The metrics reference, the dashboard and the alert rules name what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from integration.metrics_page import (
    MONITORING,
    PAGE,
    labels_by_sample,
    named_in,
    page,
    sample_names,
)


def expressions() -> Iterator[str]:
    dashboard: dict[str, Any] = json.loads((MONITORING / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    rules = (MONITORING / "alerts.yml").read_text()
    yield from re.findall(r"expr: (.*(?:\n {10}.*)*)", rules)


def test_the_page_is_written_from_the_code() -> None:
    assert PAGE.read_text() == page(), "run: python -m integration.metrics_page"


def test_dashboard_and_alerts_name_metrics_that_exist() -> None:
    found = [named for expression in expressions() for named in named_in(expression)]
    assert len(found) > 40
    assert set(found) <= sample_names()


def test_dashboard_and_alerts_name_labels_that_exist() -> None:
    labels = labels_by_sample()
    for expression in expressions():
        for name, matchers in re.findall(r"(latticework_[a-z_]+)\{([^}]*)\}", expression):
            assert set(re.findall(r"([a-z_]+)(?:=~|!=|=)", matchers)) <= labels[name], expression
        known = set().union(*(labels[name] for name in named_in(expression)))
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in grouped.split(",")} <= known | {"instance"}, expression


def test_prometheus_reads_the_rules() -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("needs promtool (Debian: apt-get install prometheus)")
    done = subprocess.run([program, "check", "rules", str(MONITORING / "alerts.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
