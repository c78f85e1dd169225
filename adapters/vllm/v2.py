"""``lw_processor`` on Model Runner V2, through V2's own interface for logits processors.

V2 reads the entry point group ``vllm.logits_processors`` and refuses to start over a class with V1's interface; V1
trips over one with V2's. So nothing is registered there: a hook around ``build_custom_logits_processors`` appends ours
to V2's list, and a V1 runner never hears of it.

V2 identifies requests by *slot*. Committed tokens and their number are on the device; the drafted ones are in
``ctx.input_ids``, where the first row of a request holds its last committed token and each further row a drafted one.
Nothing is read back from the device unless a request of the batch has a processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcessor, LogitsProcRequestState

from latticework.adapters.vllm.processors import UNKNOWN_TOKEN
from latticework.plugins.base import Role
from latticework.plugins.guard import Guard
from latticework.plugins.options import RequestOptions, Selection
from latticework.plugins.processing import GuardedProcessor
from latticework.plugins.registry import registry
from latticework.plugins.requests import options_of
from latticework.speculative.draft import Draft

if TYPE_CHECKING:
    import torch
    from vllm.config import VllmConfig
    from vllm.sampling_params import SamplingParams
    from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsContext

#: Name in counters and logs for a failure of this glue itself.
ADAPTER = "vllm-adapter-v2"


@dataclass
class _Slot:
    """A request with a processor: what it selected, and once its prompt is on the device, the running processor."""

    selection: Selection
    processor: GuardedProcessor | None = None
    advanced: int = 0  # output tokens the processor has seen


class LatticeworkLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    """Processes the rows of the requests that ask for it, in every verified position."""

    def __init__(self, vllm_config: VllmConfig, req_states: LogitsProcRequestState) -> None:
        super().__init__(vllm_config, req_states)
        self._states = req_states
        self._defaults = RequestOptions.parse(None)
        self._slots: dict[int, _Slot] = {}

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        """Whoever had the slot before is gone. ``True`` if the new request has a processor."""
        self._slots.pop(req_idx, None)
        with Guard(Role.PROCESSOR, ADAPTER, "it is off for one request"):
            selection = options_of(sampling_params.extra_args, self._defaults).processor
            if selection is not None:
                self._slots[req_idx] = _Slot(selection)
        return req_idx in self._slots

    def apply(self, logits: torch.Tensor, ctx: LogitsContext) -> torch.Tensor:
        """Process ``logits``, ``float32[rows, V]``, in place."""
        wanted = [slot for slot in ctx.idx_mapping_np.tolist() if slot in self._slots]
        if wanted:
            with Guard(Role.PROCESSOR, ADAPTER, "the logits of this step are not processed"):
                self._apply(logits, ctx, wanted)
        return logits

    def _apply(self, logits: torch.Tensor, ctx: LogitsContext, wanted: list[int]) -> None:
        """One transfer for the layout, then one a request for its new tokens."""
        layout = (ctx.expanded_idx_mapping, ctx.expanded_local_pos, ctx.input_ids, ctx.pos)
        slots, offsets, inputs, positions = (tensor.tolist() for tensor in layout)
        lengths = self._states.total_len.gpu.tolist()
        for slot in wanted:
            rows = [row for row, owner in enumerate(slots) if owner == slot]
            # A row of a prompt that is still being read samples nothing that counts.
            if not rows or offsets[rows[0]] or positions[rows[0]] + 1 < lengths[slot]:
                continue
            processor = self._at_end(slot, lengths[slot])
            if processor is None or not processor.active:
                self._slots.pop(slot)
                continue
            drafted = [inputs[row] for row in rows[1:]]
            if UNKNOWN_TOKEN in drafted:  # placeholders, to be rejected
                del drafted[drafted.index(UNKNOWN_TOKEN) :]
            processor.apply_over(Draft.chain(drafted), logits[rows[0] :])

    def _at_end(self, slot: int, length: int) -> GuardedProcessor | None:
        """The slot's processor at the end of its ``length`` committed tokens; ``None`` if it could not be made."""
        state = self._slots[slot]
        prompt_length = int(self._states.prompt_len.np[slot])
        tokens = self._states.all_token_ids.gpu[slot]
        if state.processor is None:
            chosen = state.selection
            with Guard(Role.PROCESSOR, chosen.name, "it is off for this request"):
                processor = registry().factory(Role.PROCESSOR, chosen.name).create(chosen.options)
                state.processor = GuardedProcessor(chosen.name, processor, tokens[:prompt_length].tolist())
        if state.processor is not None:
            output_length = length - prompt_length
            if output_length < state.advanced:
                state.processor.rollback(state.advanced - output_length)
            elif output_length > state.advanced:
                state.processor.advance(tokens[prompt_length + state.advanced : length].tolist())
            state.advanced = output_length
        return state.processor


def around_build(original: Callable[..., list[LogitsProcessor]]) -> Callable[..., list[LogitsProcessor]]:
    """Wrap V2's ``build_custom_logits_processors`` so that ours comes after those of the deployment."""

    def build_custom_logits_processors(
        vllm_config: VllmConfig, req_states: Any, is_pooling_model: bool, *args: Any, **kwargs: Any
    ) -> list[LogitsProcessor]:
        processors = original(vllm_config, req_states, is_pooling_model, *args, **kwargs)
        if not is_pooling_model:
            with Guard(Role.PROCESSOR, ADAPTER, "`lw_processor` has no effect on this server"):
                states = LogitsProcRequestState.from_request_state(req_states)
                processors.append(LatticeworkLogitsProcessor(vllm_config, states))
        return processors

    return build_custom_logits_processors
