"""Model Runner V2 without a GPU: our processor against vLLM's installed interface, loader and batch layout.

No V2 runner can be built on a CPU. What is real here: the abstract class, the context, the loader and the module whose
function is hooked. The device buffers are CPU tensors of the documented shapes.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("vllm")

from vllm import SamplingParams
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext, LogitsProcessor, LogitsProcRequestState
from vllm.v1.worker.gpu.sample.logits_processor.loader import _load_v2_logitsprocs_by_fqcns

from latticework.adapters.vllm.v2 import LatticeworkLogitsProcessor
from latticework.plugins import metrics
from latticework.plugins.base import Role
from latticework.plugins.registry import registry

SLOTS, LENGTH, V = 6, 64, 40
PLUGINS = Path(__file__).parent / "worker_plugins"
NO_REPEAT = SamplingParams(temperature=0.0, extra_args={"lw_processor": "no_repeat"})
PLAIN = SamplingParams(temperature=0.0)


@pytest.fixture(autouse=True)
def test_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The processors of a third-party distribution, as installed ones are found."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    registry.cache_clear()
    yield
    registry.cache_clear()


class Batch:
    """The buffers of a V2 runner, and the layout of one step."""

    def __init__(self) -> None:
        self.tokens = torch.zeros(SLOTS, LENGTH, dtype=torch.int32)
        self.total = torch.zeros(SLOTS, dtype=torch.int32)
        self.prompt = np.zeros(SLOTS, np.int32)
        state: Any = SimpleNamespace
        self.states = LogitsProcRequestState(
            device=torch.device("cpu"),
            max_num_reqs=SLOTS,
            vocab_size=V,
            all_token_ids=state(gpu=self.tokens),
            prompt_len=state(np=self.prompt),
            prefill_len=state(np=self.prompt),
            total_len=state(gpu=self.total),
        )

    def admit(self, slot: int, prompt: list[int], output: list[int]) -> None:
        self.prompt[slot] = len(prompt)
        self.total[slot] = 0
        self.commit(slot, prompt + output)

    def commit(self, slot: int, tokens: list[int]) -> None:
        start = int(self.total[slot])
        self.tokens[slot, start : start + len(tokens)] = torch.tensor(tokens, dtype=torch.int32)
        self.total[slot] += len(tokens)

    def history(self, slot: int) -> list[int]:
        return self.tokens[slot, : int(self.total[slot])].tolist()

    def context(self, drafts: dict[int, list[int]], reading: tuple[int, ...] = ()) -> LogitsContext:
        """A step of the slots in ``drafts``, in that order; those in ``reading`` are not at their prompt's end."""
        slots, offsets, inputs, positions = [], [], [], []
        for slot, drafted in drafts.items():
            last = int(self.total[slot]) - 1 - (3 if slot in reading else 0)
            for offset, token in enumerate([int(self.tokens[slot, last]), *drafted]):
                slots.append(slot)
                offsets.append(offset)
                inputs.append(token)
                positions.append(last + offset)
        order = np.array(list(drafts), np.int32)
        return LogitsContext(
            expanded_idx_mapping=torch.tensor(slots, dtype=torch.int32),
            idx_mapping=torch.from_numpy(order),
            idx_mapping_np=order,
            expanded_local_pos=torch.tensor(offsets, dtype=torch.int32),
            input_ids=torch.tensor(inputs, dtype=torch.int32),
            pos=torch.tensor(positions, dtype=torch.int64),
            seq_lens_upper_bound_np=np.zeros(len(order), np.int32),
        )


def _expected(rows: torch.Tensor, history: list[int], drafted: list[int]) -> torch.Tensor:
    """Each row processed by a processor that is new and has read exactly what comes before it."""
    processor = registry().factory(Role.PROCESSOR, "no_repeat").create(None)
    expected = rows.clone()
    for row in range(len(rows)):
        processor.begin(history + drafted[:row]).apply(expected[row])
    return expected


@pytest.fixture
def batch() -> Batch:
    return Batch()


@pytest.fixture
def processor(batch: Batch) -> LatticeworkLogitsProcessor:
    return LatticeworkLogitsProcessor(None, batch.states)


@pytest.mark.parametrize("method", ["__init__", "validate_params", "add_request", "apply_staged_writes", "apply"])
def test_every_method_has_the_signature_of_the_interface(method: str) -> None:
    ours, theirs = getattr(LatticeworkLogitsProcessor, method), getattr(LogitsProcessor, method)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


def test_v2_loads_the_class() -> None:
    name = "latticework.adapters.vllm.v2:LatticeworkLogitsProcessor"
    assert _load_v2_logitsprocs_by_fqcns([name]) == [LatticeworkLogitsProcessor]


def test_nothing_is_registered_where_both_runners_would_load_it() -> None:
    points = entry_points(group="vllm.logits_processors")
    assert not [point.value for point in points if point.value.startswith("latticework")]


@pytest.mark.engine  # imports vLLM once more, in a process of its own
def test_the_hook_joins_the_list_of_the_real_runner_module() -> None:
    """In a fresh process, as vLLM does it: plugins first, then the runner."""
    code = """
from types import SimpleNamespace
from vllm.plugins import load_general_plugins
load_general_plugins()
import vllm.v1.worker.gpu.model_runner as runner
import vllm.v1.worker.gpu_model_runner as v1
fields = ("device", "max_num_reqs", "vocab_size", "all_token_ids", "prompt_len", "prefill_len", "total_len")
states = SimpleNamespace(**dict.fromkeys(fields))
print([type(p).__name__ for p in runner.build_custom_logits_processors(None, states, False, ())])
print(runner.build_custom_logits_processors(None, states, True, ()))
print(hasattr(v1.GPUModelRunner._sample, "__latticework__"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-3:] == ["['LatticeworkLogitsProcessor']", "[]", "True"]


@pytest.mark.engine  # imports vLLM once more, in a process of its own
def test_a_worker_can_start_where_numba_is_loaded_already() -> None:
    """vLLM's CPU platform scans all modules; llvmlite's would stop it."""
    code = """
import numba
from vllm.plugins import load_general_plugins
load_general_plugins()
from vllm.platforms import current_platform
current_platform.register_triton_kernel_overrides()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_rows_are_processed_with_their_drafted_history(batch: Batch, processor: LatticeworkLogitsProcessor) -> None:
    """Random steps of a mixed batch, accepted drafts and all, against processors that read each history anew."""
    generator = np.random.default_rng(7)
    processed = {1, 4}
    for slot in (1, 2, 4):
        batch.admit(slot, generator.integers(0, V, 5).tolist(), [])
        assert processor.add_request(slot, NO_REPEAT if slot in processed else PLAIN) is (slot in processed)
    for _ in range(40):
        order = generator.permutation([1, 2, 4]).tolist()
        drafts = {slot: generator.integers(0, V, generator.integers(0, 5)).tolist() for slot in order}
        context = batch.context(drafts)
        logits = torch.from_numpy(generator.normal(size=(len(context.pos), V)).astype(np.float32))
        before = logits.clone()
        assert processor.apply(logits, context) is logits
        first = 0
        for slot, drafted in drafts.items():
            rows = slice(first, first + 1 + len(drafted))
            first = rows.stop
            expected = _expected(before[rows], batch.history(slot), drafted) if slot in processed else before[rows]
            assert torch.equal(logits[rows], expected)
            if len(batch.history(slot)) < LENGTH - 6:
                batch.commit(slot, [*drafted[: generator.integers(0, len(drafted) + 1)], int(generator.integers(0, V))])


def test_a_prompt_that_is_still_being_read_is_left_alone(batch: Batch, processor: LatticeworkLogitsProcessor) -> None:
    batch.admit(0, [1, 2, 3, 4, 5, 6], [])
    processor.add_request(0, NO_REPEAT)
    logits = torch.zeros(1, V)
    processor.apply(logits, batch.context({0: []}, reading=(0,)))
    assert not logits.any()
    processor.apply(logits, batch.context({0: []}))
    assert logits.any()


def test_a_recycled_slot_knows_nothing_of_its_last_request(batch: Batch, processor: LatticeworkLogitsProcessor) -> None:
    batch.admit(3, [1, 2], [3, 4])
    processor.add_request(3, NO_REPEAT)
    processor.apply(torch.zeros(1, V), batch.context({3: []}))
    batch.admit(3, [30, 31], [32])  # resumed after preemption, or another request
    processor.add_request(3, NO_REPEAT)
    logits = torch.zeros(1, V)
    processor.apply(logits, batch.context({3: []}))
    assert torch.equal(logits, _expected(torch.zeros(1, V), [30, 31, 32], []))
    assert processor.add_request(3, PLAIN) is False
    untouched = torch.zeros(1, V)
    processor.apply(untouched, batch.context({3: []}))
    assert not untouched.any()


def test_placeholders_in_a_draft_end_it(batch: Batch, processor: LatticeworkLogitsProcessor) -> None:
    batch.admit(0, [1, 2, 3], [])
    processor.add_request(0, NO_REPEAT)
    logits = torch.zeros(4, V)
    processor.apply(logits, batch.context({0: [7, -1, -1]}))
    assert torch.equal(logits[:2], _expected(torch.zeros(2, V), [1, 2, 3], [7]))
    assert not logits[2:].any()


def test_off_is_free(processor: LatticeworkLogitsProcessor, batch: Batch) -> None:
    """Without a processed request the context is not even looked at, beyond the host's list of slots."""
    processor.add_request(0, PLAIN)
    context: Any = SimpleNamespace(idx_mapping_np=np.array([0, 1], np.int32))
    logits = torch.zeros(2, V)
    assert processor.apply(logits, context) is logits


def test_a_failing_processor_leaves_the_row_as_it_was(batch: Batch, processor: LatticeworkLogitsProcessor) -> None:
    errors = metrics.ERRORS.labels(role="processor", plugin="explode")
    count = errors._value.get()
    batch.admit(0, [1, 2, 3], [])
    processor.add_request(0, SamplingParams(extra_args={"lw_processor": "explode"}))
    logits = torch.ones(3, V)
    for _ in range(2):
        processor.apply(logits, batch.context({0: [4, 5]}))
        assert torch.equal(logits, torch.ones(3, V))
    assert errors._value.get() == count + 1
