"""``latticework bench serve`` against a real server: two arms, what it counts, and what it says of a bad one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from integration.server import Server

pytestmark = [pytest.mark.engine, pytest.mark.capability("benchmark")]

SCHEMA = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
RECORDS = [
    {"id": "plain", "messages": [{"role": "user", "content": "Count from one to ten, twice."}]},
    {"id": "json", "messages": [{"role": "user", "content": "Which city?"}], "json_schema": SCHEMA},
]


def bench(server: Server, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    records = folder / "records.jsonl"
    records.write_text("\n".join(map(json.dumps, RECORDS)))
    command = [str(Path(sys.executable).with_name("latticework")), "bench", "serve", "--url", server.url]
    command += ["--prompts", str(records), "--max-tokens", "24", "--warm-up", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_arms_are_measured_on_the_same_requests(server, tmp_path):
    arms = ("--arm", "off,lw_drafter=off", "--arm", "fixed,lw_drafter=auto,lw_drafter_budget=4")
    done = bench(server, tmp_path, *arms, "--rounds", "2", "--concurrency", "2", "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    saved = json.loads((tmp_path / "out.json").read_text())
    off, fixed = saved["rows"]
    assert saved["whole"]
    assert off["answers"] == fixed["answers"] == 4
    assert off["ratio"] == 1.0
    assert off["tokens_per_step"] == pytest.approx(1.0, abs=0.15)
    assert fixed["tokens_per_step"] > 1.1
    assert fixed["same"] == 1.0, "greedy answers in float32"
    assert all(0 < row["first_seconds"][0] <= row["answer_seconds"][0] for row in saved["rows"])
    assert "tokens/s" in done.stdout


def test_a_refused_arm_is_told(server, tmp_path):
    done = bench(server, tmp_path, "--arm", "off,lw_drafter=off", "--arm", "bad,lw_drafter=nonsense")
    assert done.returncode == 1
    assert "nonsense" in done.stderr
