"""The proposer and the processors inside real engines: one engine a arm, the same requests, compared answer by answer.

Sampled claims are statistical. Seeds are fixed, so a result repeats on one machine; on a new one each comparison raises
a false alarm with probability at most :data:`FALSE_ALARM`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.conftest import ServerPool
from integration.model import model_path
from integration.server import engine_slot
from integration.tests.distributions import compare
from integration.tests.vllm_worker_run import FORCED, MIXED, SAMPLED, SCHEMA

pytestmark = [pytest.mark.engine, pytest.mark.long]

Answers = dict[str, Any]

FALSE_ALARM = 0.001
HERE = Path(__file__).parent
RUN_SECONDS = 600
NAMES = [name for name, *_ in MIXED]


def _run(arm: str, out: Path) -> Answers:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE / "worker_plugins"), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    command = [sys.executable, str(HERE / "vllm_worker_run.py"), arm, str(out), str(model_path())]
    log = out.with_suffix(".log")
    with log.open("w") as stream:
        status = subprocess.run(command, env=environment, stdout=stream, stderr=stream, timeout=RUN_SECONDS)
    if status.returncode:
        pytest.fail(f"the {arm} engine failed:\n{log.read_text()[-4000:]}")
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def arms(server_pool: ServerPool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Answers]]:
    """What each arm answered."""
    server_pool.stop()
    folder = tmp_path_factory.mktemp("arms")
    with engine_slot():
        yield {arm: _run(arm, folder / f"{arm}.json") for arm in ("plain", "proposer")}


@pytest.fixture(scope="module")
def plain(arms: dict[str, Answers]) -> Answers:
    return arms["plain"]


@pytest.fixture(scope="module")
def proposer(arms: dict[str, Answers]) -> Answers:
    return arms["proposer"]


def _accepted(counters: dict[str, float]) -> float:
    return counters.get("vllm:spec_decode_num_accepted_tokens", 0.0)


def _drafted(counters: dict[str, float]) -> float:
    return counters.get("vllm:spec_decode_num_draft_tokens", 0.0)


def _errors(counters: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in counters.items() if name.startswith("latticework_errors_total")}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["alone", "batch"])
def test_greedy_output_is_the_same_with_and_without_the_proposer(
    plain: Answers, proposer: Answers, name: str, where: str
) -> None:
    assert proposer[where][name]["tokens"] == plain[where][name]["tokens"]


def test_the_proposer_drafted_and_was_judged(proposer: Answers) -> None:
    """Otherwise every equality above would be empty."""
    assert _accepted(proposer["counters"]) > 100
    assert _drafted(proposer["counters"]) > _accepted(proposer["counters"])


def test_constrained_answers_are_valid(proposer: Answers) -> None:
    import re

    import jsonschema

    batch = proposer["batch"]
    patterns = {name: constraint["regex"] for name, _, constraint, _ in MIXED if "regex" in constraint}
    for name, pattern in patterns.items():
        assert re.fullmatch(pattern, batch[name]["text"])
    assert batch["choice"]["text"] in ("positive review", "negative review")
    jsonschema.validate(json.loads(batch["json"]["text"]), SCHEMA)


#: Name of a processed request, and of the same one without the processor.
PROCESSED = [
    ("no_repeat", "story_unprocessed"),
    ("fsd_repetition", "list_unprocessed"),
    ("letters_no_repeat", "letters"),
    ("letters_fsd", "letters"),
]


@pytest.mark.parametrize(("name", "unprocessed"), PROCESSED)
def test_processed_output_is_the_same_under_speculation(
    plain: Answers, proposer: Answers, name: str, unprocessed: str
) -> None:
    assert proposer[name]["tokens"] == plain[name]["tokens"]
    assert plain[name]["tokens"] != plain[unprocessed]["tokens"], "a processor that does nothing proves nothing"


@pytest.mark.parametrize("name", ["letters_no_repeat", "letters_fsd"])
def test_rows_behind_accepted_tokens_were_processed(proposer: Answers, name: str) -> None:
    """Their history is more than the committed tokens: what the equality above is about."""
    assert _accepted(proposer[name]["counters"]) > 10


def test_a_failing_drafter_changes_nothing_but_its_counter(plain: Answers, proposer: Answers) -> None:
    assert proposer["drafter_fails"]["tokens"] == plain["list_unprocessed"]["tokens"]
    assert _errors(proposer["drafter_fails"]["counters"]) == {
        "latticework_errors_total{plugin=explode,role=drafter}": 1.0
    }


@pytest.mark.parametrize("arm", ["plain", "proposer"])
def test_a_failing_processor_changes_nothing_but_its_counter(arms: dict[str, Answers], arm: str) -> None:
    answer = arms[arm]["processor_fails"]
    assert answer["tokens"] == arms[arm]["list_unprocessed"]["tokens"]
    assert _errors(answer["counters"]) == {"latticework_errors_total{plugin=explode,role=processor}": 1.0}


@pytest.mark.parametrize("name", [name for name, *_ in FORCED])
def test_forced_tokens_are_all_accepted(plain: Answers, proposer: Answers, name: str) -> None:
    counters = proposer[name]["counters"]
    assert proposer[name]["tokens"] == plain[name]["tokens"]
    assert _drafted(counters) >= len(proposer[name]["tokens"]) / 2
    assert _accepted(counters) == _drafted(counters)


def test_a_request_may_end_at_the_end_of_the_context(plain: Answers, proposer: Answers) -> None:
    assert plain["long_prompt"]["finish"] == "length"
    assert proposer["long_prompt"]["tokens"] == plain["long_prompt"]["tokens"]


def test_preempted_requests_go_on_where_they_were(plain: Answers, proposer: Answers) -> None:
    assert proposer["pressure"]["counters"].get("vllm:num_preemptions", 0) > 0
    for with_drafts, without in zip(proposer["pressure"]["answers"], plain["pressure"]["answers"], strict=True):
        assert with_drafts["tokens"] == without["tokens"]


def test_no_session_outlives_its_request(plain: Answers, proposer: Answers) -> None:
    assert plain["open_sessions"] == [0]
    assert proposer["open_sessions"] == [0]
    assert proposer["after_abort"]["tokens"] == plain["after_abort"]["tokens"]


def test_nothing_failed_that_was_not_meant_to(arms: dict[str, Answers]) -> None:
    for answers in arms.values():
        assert all("plugin=explode" in name for name in _errors(answers["counters"]))


@pytest.mark.parametrize("name", [name for name, *_ in SAMPLED])
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_sampled_output_has_the_same_distribution(plain: Answers, proposer: Answers, name: str, length: int) -> None:
    first, second = plain[f"sampled_{name}"]["draws"]
    (speculated,) = proposer[f"sampled_{name}"]["draws"]
    noise = compare(first, second, length)
    observed = compare([*first, *second], speculated, length)
    assert noise.p_value > FALSE_ALARM, "two runs without speculation already differ: the comparison means nothing"
    assert observed.p_value > FALSE_ALARM, f"distance {observed.distance:.3f}, noise floor {noise.distance:.3f}"


@pytest.mark.parametrize("name", [name for name, *_ in SAMPLED])
def test_samples_were_speculated(proposer: Answers, name: str) -> None:
    """Both outcomes of a verification must have occurred for its distribution to be judged."""
    counters = proposer[f"sampled_{name}"]["counters"]
    assert 0 < _accepted(counters) < _drafted(counters)
