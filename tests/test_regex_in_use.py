"""Patterns as they are in use: the official suite's, and those of the sampled schemas of JSONSchemaBench."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latticework.bench.walks.ecma import ecma_search
from latticework.structured.automata.moore import Moore
from latticework.structured.automata.regex_machine import regex_machine

DATA = Path(__file__).parents[2] / "shared" / "data"
SUITE = DATA / "json-schema-test-suite" / "tests"
BENCH = DATA / "jsonschema" / "dev.jsonl.gz"
PLAIN = {"$schema", "type", "pattern"}


def suite_cases() -> Iterator[tuple[str, str, bool]]:
    for path in sorted(SUITE.glob("*/**/*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            schema = group["schema"]
            if isinstance(schema, dict) and "pattern" in schema and schema.keys() <= PLAIN:
                for test in group["tests"]:
                    if isinstance(test["data"], str):
                        yield schema["pattern"], test["data"], test["valid"]


@pytest.mark.skipif(not SUITE.is_dir(), reason="the JSON Schema test suite is not beside the repository")
def test_the_official_suite() -> None:
    cases = set(suite_cases())
    assert len(cases) > 50
    for pattern, text, valid in cases:
        assert (regex_machine(pattern, field="pattern", search=True).read(text) == 1) == valid, (pattern, text)


def patterns_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        if isinstance(schema.get("patternProperties"), dict):
            yield from schema["patternProperties"]
        for part in schema.values():
            yield from patterns_in(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from patterns_in(part)


def walks(machine: Moore, rng: random.Random, count: int) -> Iterator[str]:
    """Texts along transitions, most of them away from states that nothing leads out of."""
    loops = (machine.delta == np.arange(len(machine.delta))[:, None]).all(axis=1)
    examples: list[str] = [""] * machine.delta.shape[1]
    for cut, kind in zip(machine.cuts.tolist(), machine.kinds.tolist(), strict=True):
        if not 0xD800 <= cut <= 0xDFFF and (not examples[kind] or chr(cut).isprintable()):
            examples[kind] = chr(cut)
    for _ in range(count):
        state, text = 0, ""
        for _ in range(rng.randrange(24)):
            row = machine.delta[state]
            open_kinds = [kind for kind in range(len(row)) if not loops[row[kind]] and examples[kind]]
            kinds = open_kinds if open_kinds and rng.random() < 0.95 else [k for k, e in enumerate(examples) if e]
            kind = rng.choice(kinds)
            text += examples[kind]
            state = int(row[kind])
            if machine.label[state] and rng.random() < 0.3:
                break
        yield text


@pytest.mark.skipif(not BENCH.exists(), reason="the sample of JSONSchemaBench is not beside the repository")
def test_every_pattern_of_the_sampled_schemas_agrees_with_the_regex_package() -> None:
    with gzip.open(BENCH, "rt", encoding="utf-8") as lines:
        patterns = sorted({pattern for line in lines for pattern in patterns_in(json.loads(line))})
    assert len(patterns) > 250
    rng = random.Random(7)
    verdicts = [0, 0]
    for pattern in patterns:
        machine = regex_machine(pattern, field="pattern", search=True)
        for text in walks(machine, rng, 12):
            verdict = machine.read(text) == 1
            verdicts[verdict] += 1
            assert verdict == ecma_search(pattern, text), (pattern, text)
    assert min(verdicts) > 200
