"""Keeps a seeded request from ending the engine on CPU.

While a long prompt is read in chunks, vLLM samples after each chunk, throws the token away and rewinds the request's
generator by an offset. CPU generators have no offset: the call raises and takes the engine down. Here the state of such
a generator is kept before sampling and put back afterwards, so that a seed gives the same text however its prompt was
cut.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np
import torch

_SAVED = "latticework_vllm_cpu_states"


def needed() -> bool:
    """Whether this torch's CPU generators cannot be rewound by an offset."""
    try:
        torch.Generator(device="cpu").get_offset()
    except RuntimeError:
        return True
    return False


def guard(module: ModuleType) -> None:
    """Wrap the model runner of ``module`` (``vllm.v1.worker.gpu_model_runner``). Idempotent; nothing if not needed."""
    runner = module.GPUModelRunner
    if hasattr(runner._sample, "guarded") or not needed():
        return
    sample, bookkeeping = runner._sample, runner._bookkeeping_sync

    @functools.wraps(sample)
    def _sample(self: Any, *args: Any, **kwargs: Any) -> Any:
        states = {row: generator.get_state() for row, generator in _discarded(self).items()}
        setattr(self, _SAVED, states)
        return sample(self, *args, **kwargs)

    @functools.wraps(bookkeeping)
    def _bookkeeping_sync(self: Any, *args: Any, **kwargs: Any) -> Any:
        generators, discarded = self.input_batch.generators, _discarded(self)
        for row, generator in discarded.items():
            if (state := getattr(self, _SAVED, {}).get(row)) is not None:
                generator.set_state(state)
            del generators[row]  # hidden from vLLM's own rewinding
        try:
            return bookkeeping(self, *args, **kwargs)
        finally:
            generators.update(discarded)

    _sample.guarded = sample  # type: ignore[attr-defined]
    runner._sample, runner._bookkeeping_sync = _sample, _bookkeeping_sync


def _discarded(runner: Any) -> dict[int, torch.Generator]:
    """The CPU generators, by row, of requests whose token of this step is thrown away."""
    batch = runner.input_batch
    if not batch.generators:
        return {}
    rows = np.flatnonzero(runner.discard_request_mask.np[: batch.num_reqs]).tolist()
    return {row: batch.generators[row] for row in rows if row in batch.generators and _is_cpu(batch.generators[row])}


def _is_cpu(generator: torch.Generator) -> bool:
    return generator.device.type == "cpu"
