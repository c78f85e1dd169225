"""The worker's side without an engine, on vLLM's own batch: who a row belongs to, and what its history is.

vLLM's CPU platform never schedules asynchronously, so the repair of placeholders is tested here and nowhere else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("vllm")

from vllm import SamplingParams
from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.worker.gpu_input_batch import CachedRequestState, InputBatch

from integration.model import model_path
from latticework.adapters.vllm.processors import RequestRows, committed_tokens, request_rows
from latticework.adapters.vllm.runner import RunnerSessions

CONTEXT = 32


def _batch(*, keep_output_ids: bool = False) -> InputBatch:
    return InputBatch(
        max_num_reqs=8,
        max_model_len=CONTEXT,
        max_num_batched_tokens=64,
        device=torch.device("cpu"),
        vocab_size=100,
        block_sizes=[16],
        max_num_blocks_per_req=[2],
        logitsprocs=LogitsProcessors(),
        logitsprocs_need_output_token_ids=keep_output_ids,
        num_spec_tokens=4,
    )


def _runner(*requests: CachedRequestState, asynchronous: bool = False, **batch: Any) -> Any:
    """What of a ``GPUModelRunner`` our code reads; the batch is vLLM's own."""
    runner = SimpleNamespace(
        input_batch=_batch(**batch),
        requests={request.req_id: request for request in requests},
        discard_request_mask=SimpleNamespace(np=np.zeros(8, bool)),
        use_async_scheduling=asynchronous,
        max_model_len=CONTEXT,
        model_config=SimpleNamespace(get_vocab_size=lambda: 100),
    )
    for request in requests:
        runner.input_batch.add_request(request)
    runner.input_batch.refresh_metadata()
    return runner


def _request(request_id: str, prompt: list[int], output: list[int], **sampling: Any) -> CachedRequestState:
    return CachedRequestState(
        req_id=request_id,
        prompt_token_ids=prompt,
        mm_features=[],
        sampling_params=SamplingParams(**sampling),
        generator=None,
        block_ids=([0, 1],),
        num_computed_tokens=len(prompt),
        output_token_ids=output,
    )


def test_importing_the_package_imports_no_engine() -> None:
    code = "import sys, latticework.adapters.vllm; assert not {'torch', 'vllm', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_rows_follow_the_batch_and_its_drafts() -> None:
    requests = [_request(name, [1, 2], [3]) for name in "abc"]
    runner = _runner(*requests)
    drafts = {"a": [5, 6], "c": [7]}
    for request in requests:
        runner.input_batch.update_req_spec_token_ids(request, drafts)
    runner.discard_request_mask.np[1] = True  # still in its prompt
    metadata = SimpleNamespace(num_draft_tokens=[2, 0, 1])
    assert list(request_rows(runner, metadata)) == [RequestRows(0, "a", 0, [5, 6]), RequestRows(2, "c", 4, [7])]
    assert [rows.first for rows in request_rows(runner, None)] == [0, 2]


def test_history_is_prompt_and_output_without_the_draft() -> None:
    request = _request("a", [1, 2], [3, 4])
    runner = _runner(request)
    runner.input_batch.update_req_spec_token_ids(request, {"a": [9, 9]})
    assert committed_tokens(runner, 0).tolist() == [1, 2, 3, 4]


def test_placeholders_of_asynchronous_scheduling_are_filled_in() -> None:
    """As vLLM does it: a step leaves ``-1``, its sampled ids are on their way, the next step brings them home."""
    request = _request("a", [1, 2], [3, -1])
    runner = _runner(request, asynchronous=True, keep_output_ids=True)
    batch = runner.input_batch
    batch.prev_req_id_to_index = {"a": 0}
    batch.set_async_sampled_token_ids(torch.tensor([[8]]), SimpleNamespace(synchronize=lambda: None))
    batch.update_async_output_token_ids()
    assert committed_tokens(runner, 0).tolist() == [1, 2, 3, 8]


def test_a_placeholder_that_stays_is_not_taken_for_a_token() -> None:
    """Had nobody told vLLM that output ids are needed, the history would silently be wrong."""
    runner = _runner(_request("a", [1, 2], [3, -1]), asynchronous=True)
    runner.input_batch.update_async_output_token_ids()
    with pytest.raises(RuntimeError, match="asynchronous scheduling"):
        committed_tokens(runner, 0)


def test_a_processed_request_tells_vllm_that_output_ids_are_needed() -> None:
    runner = _runner(asynchronous=True)
    sessions = RunnerSessions(runner)
    params = SamplingParams(temperature=0.0, extra_args={"lw_processor": "fsd"})
    new = SimpleNamespace(req_id="a", sampling_params=params, prompt_token_ids=[1, 2])
    sessions.update(SimpleNamespace(finished_req_ids=set(), scheduled_new_reqs=[new]))
    assert runner.input_batch.logitsprocs_need_output_token_ids
    sessions.update(SimpleNamespace(finished_req_ids={"a"}, scheduled_new_reqs=[]))
    assert not runner.input_batch.logitsprocs_need_output_token_ids
    assert sessions.table.live() == 0


@pytest.mark.parametrize(
    ("prompt", "output", "max_tokens", "room"),
    [
        (2, 1, 10, 8),  # ten may be written, one is, and a step with d drafts writes up to d + 1
        (2, 9, 10, 0),
        (20, 5, 1000, 6),  # 25 of 32 are there
        (20, 11, 1000, 0),
        (20, 12, 1000, 0),
        (2, 1, None, 28),
    ],
)
def test_no_more_is_drafted_than_can_be_written(prompt: int, output: int, max_tokens: int | None, room: int) -> None:
    runner = _runner(_request("a", [1] * prompt, [1] * output, max_tokens=max_tokens))
    assert RunnerSessions(runner).room(0) == room


@pytest.mark.engine  # imports vLLM once more, in a process of its own
def test_the_proposer_refuses_to_start_without_its_hooks() -> None:
    code = "from latticework.adapters.vllm import Proposer; Proposer(None)"
    environment = {"VLLM_PLUGINS": "", "PATH": "", "HOME": "/nonexistent"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "latticework's hooks are not in place" in done.stderr


@pytest.mark.engine  # imports vLLM once more, in a process of its own
def test_the_proposer_refuses_asynchronous_scheduling() -> None:
    """vLLM refuses the combination itself today; should it be allowed one day, we would have to look again."""
    code = """
from types import SimpleNamespace
from vllm.plugins import load_general_plugins
load_general_plugins()
from latticework.adapters.vllm import Proposer
Proposer(SimpleNamespace(scheduler_config=SimpleNamespace(async_scheduling=True)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "--no-async-scheduling" in done.stderr


@pytest.mark.engine  # imports vLLM once more, in a process of its own
def test_vllm_does_not_schedule_asynchronously_with_a_custom_proposer() -> None:
    """Refused when asked for, otherwise switched off."""
    code = f"""
from vllm.engine.arg_utils import EngineArgs
speculation = {{"method": "custom_class", "model": "latticework.adapters.vllm.Proposer", "num_speculative_tokens": 4}}
def configured(asynchronous):
    arguments = EngineArgs({str(model_path())!r}, speculative_config=speculation, async_scheduling=asynchronous)
    return arguments.create_engine_config()
assert configured(None).scheduler_config.async_scheduling is False
try:
    configured(True)
except ValueError as error:
    assert "async scheduling is only supported" in str(error)
else:
    raise AssertionError("vLLM allows it now")
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_custom_proposer_makes_vllm_use_model_runner_v1() -> None:
    from vllm.config import VllmConfig

    config: Any = SimpleNamespace(
        speculative_config=SimpleNamespace(method="custom_class", parallel_drafting=False),
        parallel_config=SimpleNamespace(
            distributed_executor_backend="mp", pipeline_parallel_size=1, use_ubatching=False
        ),
    )
    assert VllmConfig._get_v2_model_runner_unsupported_features(config) == ["speculative method 'custom_class'"]
