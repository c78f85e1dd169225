"""Instances of real schemas as three tokenizers write them: valid ones are allowed to their end, invalid ones are not.

This is a slice. The whole file is ``latticework bench masks --engines lattice --schemas 609 --tokenizer
llama3,qwen3,smollm2``; docs/benchmarks.md quotes its result.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from latticework.bench.cases import read_cases
from latticework.bench.engines.registry import build
from latticework.bench.masks.plan import prepare
from latticework.bench.tokenizers import find_tokenizer
from latticework.bench.workers.protocol import Clock, Status, case_result_from
from latticework.bench.workers.worker import Bench
from latticework.structured.errors import LatticeworkError

TOKENIZERS = ("llama3", "qwen3", "smollm2")
#: Every schema out of so many; each tokenizer gets others.
EVERY = 24


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_instances_of_real_schemas(tokenizer: str, data_directory: Path, tmp_path: Path) -> None:
    try:
        vocabulary = find_tokenizer(tokenizer, tmp_path).vocabulary()
    except LatticeworkError as error:
        pytest.skip(str(error))
    cases = read_cases(data_directory / "jsonschema" / "dev.jsonl.gz")[TOKENIZERS.index(tokenizer) * 8 :: EVERY]
    bench = Bench(build("lattice", vocabulary, assert_formats=True), Clock.WALL)
    wrong, refused, judged = [], [], [0, 0]
    for case, instances in zip(cases, prepare(cases, vocabulary), strict=True):
        assert len(instances) == len(case.instances), "every instance can be spelled"
        result = case_result_from(case.name, case.family, bench.case(case.schema, instances))
        if result.status is Status.REFUSED:
            refused.append((case.name, result.reason))
            continue
        assert result.status is Status.COMPILED, (case.name, result.reason)
        wrong += [(case.name, number, each) for number, each in enumerate(result.instances) if not each.right]
        for each in result.instances:
            judged[each.valid] += 1
    assert wrong == []
    assert len(refused) <= 1
    assert min(judged) > 20
