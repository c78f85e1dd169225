"""Masks do not get dearer unnoticed: trie nodes, configurations and answers are counted, not timed.

After a change that is meant to cost more, or that costs less, ``python -m latticework.bench.masks.counts
tests/mask_counts.json --write`` writes the bounds anew.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from latticework.bench.masks.counts import growth

BOUNDS = Path(__file__).with_name("mask_counts.json")


def test_no_count_has_grown() -> None:
    """In a process of its own, where no other test has warmed anything up."""
    command = [sys.executable, "-m", "latticework.bench.masks.counts", str(BOUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_growth_is_told() -> None:
    bounds = {"builtin": {"one": {"nodes": 1000, "answers": 3}}}
    assert growth(bounds, bounds) == []
    assert growth({"builtin": {"one": {"nodes": 1119, "answers": 23}}}, bounds) == []
    assert growth({"builtin": {"one": {"nodes": 1121, "answers": 3}}}, bounds) == [
        "builtin: one: 1121 nodes, at most 1000 expected"
    ]
    assert growth({"builtin": {"two": {"nodes": 1}}}, bounds) == ["builtin: two has no bounds"]
