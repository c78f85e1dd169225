"""``lw_processor`` in SGLang: our turn after the grammar's mask and before sampling, for plain decoding and prefills.

SGLang's own custom logit processors are no way in: they are code that clients send, behind a flag that allows it; one
that cannot be loaded ends the scheduler; and they see no drafted history. Ours are named, and speculative verification
applies them at every node (:mod:`latticework.adapters.sglang.worker`).

Two hooks: the target worker's forward pass notes which rows belong to a request with a processor, and the sampler
processes them. With overlap scheduling the last sampled token is not in ``output_ids`` yet; it is the row's input.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latticework.adapters.hooks import on_import, wrap

if TYPE_CHECKING:
    from latticework.plugins.processing import GuardedProcessor

#: Name in counters and logs for a failure of this glue itself, as opposed to one of a plugin.
ADAPTER = "sglang-adapter"

_ROWS = "latticework_rows"


def install() -> None:
    """Arrange for the hooks; applied when the modules are first imported, in the scheduler process."""
    on_import("sglang.srt.managers.tp_worker", _hook_worker)
    on_import("sglang.srt.layers.sampler", _hook_sampler)


def _hook_worker(module: ModuleType) -> None:
    wrap(module.TpModelWorker, "forward_batch_generation", _noting)


def _hook_sampler(module: ModuleType) -> None:
    wrap(module.Sampler, "_preprocess_logits", _processing)


def _noting(original: Callable[..., Any]) -> Callable[..., Any]:
    def forward_batch_generation(self: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
        if batch is not None and not kwargs.get("is_verify") and batch.sampling_info is not None and batch.reqs:
            from latticework.plugins.base import Role
            from latticework.plugins.guard import Guard

            with Guard(Role.PROCESSOR, ADAPTER, "the logits of this step are not processed"):
                setattr(batch.sampling_info, _ROWS, _rows(self, batch))
        return original(self, batch, *args, **kwargs)

    return forward_batch_generation


def _processing(original: Callable[..., Any]) -> Callable[..., Any]:
    def _preprocess_logits(self: Any, logits: Any, sampling_info: Any) -> Any:
        logits = original(self, logits, sampling_info)
        for row, processor in getattr(sampling_info, _ROWS, ()):
            processor.apply(logits[row])
        return logits

    return _preprocess_logits


def _rows(worker: Any, batch: Any) -> list[tuple[int, GuardedProcessor]]:
    """The rows of a batch to process, each with its processor at the end of its tokens.

    Args:
        worker: SGLang's ``TpModelWorker``.
        batch: Its ``ScheduleBatch``, inputs resolved; row ``i`` of the logits is the next token of ``batch.reqs[i]``.
    """
    from latticework.adapters.sglang.sessions import sessions_of

    sessions = sessions_of(worker)
    found: list[tuple[int, GuardedProcessor]] = []
    for row, req in enumerate(batch.reqs):
        tokens = sessions.tokens(req)
        if tokens is None or sessions.table.processor_for(req.rid) is None:
            continue
        if batch.forward_mode.is_decode() and len(tokens) < (length := int(batch.seq_lens[row])):
            tokens = _with_last(tokens, length, int(batch.input_ids[row]))
        sessions.table.sync(req.rid, tokens)
        processor = sessions.table.processor_for(req.rid)
        if processor is not None:
            found.append((row, processor))
    return found


def _with_last(tokens: Any, length: int, last: int) -> Any:
    """``tokens`` and the one that is still on the device. Raises ``RuntimeError`` if more are missing."""
    import numpy as np

    if len(tokens) != length - 1:
        raise RuntimeError(f"{length - len(tokens)} sampled tokens are not on the host")
    return np.append(tokens, np.int32(last))
