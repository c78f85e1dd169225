"""``lw_trace`` in vLLM's scheduler, where what was verified, what was kept and what was legal meet.

The scheduler lives in the engine's process, drafts are made in a worker's. What only the worker knows of a draft, who
made it and how sure they were, goes along with the drafted ids (:data:`NOTED`). Without it, the request's drafter
stands for all.

A server on which no request is traced pays one look at a new request and one or two a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latticework.adapters.vllm.options import has_proposer
from latticework.adapters.vllm.seams import on_import, wrap
from latticework.plugins.requests import TRACE_OPTION

if TYPE_CHECKING:
    from latticework.plugins.legal_counts import CountingEnforcement
    from latticework.plugins.trace_record import TraceRecord
    from latticework.speculative.draft import Draft

#: Name in counters and logs for a failure of this glue itself.
ADAPTER = "vllm-adapter"

#: The attribute of vLLM's ``DraftTokenIds`` that carries the worker's notes to the scheduler.
NOTED = "latticework_noted"

#: What is traced now: vLLM's own requests, by id.
_live: dict[str, Any] = {}


def install() -> None:
    """Arrange for the hooks; applied when the scheduler's module is first imported."""
    on_import("vllm.v1.core.sched.scheduler", _hook_scheduler)


def _hook_scheduler(module: ModuleType) -> None:
    wrap(module.Scheduler, "add_request", _beginning)
    wrap(module.Scheduler, "update_draft_token_ids", _noting)
    wrap(module.Scheduler, "update_from_output", _stepping)
    wrap(module.Scheduler, "finish_requests", _ending)


def _beginning(original: Callable[..., None]) -> Callable[..., None]:
    def add_request(self: Any, request: Any) -> None:
        original(self, request)
        if request.sampling_params is not None and TRACE_OPTION in (request.sampling_params.extra_args or ()):
            from latticework.plugins.guard import Area, Guard

            with Guard(Area.TRACES, ADAPTER, f"request {request.request_id} is not traced"):
                _begin(self, request)

    return add_request


def _noting(original: Callable[..., None]) -> Callable[..., None]:
    def update_draft_token_ids(self: Any, draft_token_ids: Any) -> None:
        for request_id, noted in getattr(draft_token_ids, NOTED, {}).items():
            if (record := _record(request_id)) is not None:
                record.note(noted)
        original(self, draft_token_ids)

    return update_draft_token_ids


def _stepping(original: Callable[..., Any]) -> Callable[..., Any]:
    def update_from_output(self: Any, scheduler_output: Any, model_runner_output: Any) -> Any:
        outputs = original(self, scheduler_output, model_runner_output)
        if _live:
            _step(scheduler_output)
            _end_finished()
        return outputs

    return update_from_output


def _ending(original: Callable[..., Any]) -> Callable[..., Any]:
    def finish_requests(self: Any, request_ids: Any, finished_status: Any) -> Any:
        finished = original(self, request_ids, finished_status)
        if _live:
            _end_finished()
        return finished

    return finish_requests


def _begin(scheduler: Any, request: Any) -> None:
    from latticework.plugins.options import RequestOptions
    from latticework.plugins.trace_record import Traced
    from latticework.plugins.traces import recorder
    from latticework.plugins.vocabularies import vocabulary_of

    options, found = RequestOptions.parse(request.sampling_params.extra_args), recorder()
    if not options.trace or found is None:
        return
    tokenizer = getattr(scheduler.structured_output_manager, "tokenizer", None)
    width = scheduler.vllm_config.model_config.get_vocab_size()
    traced = Traced(
        request.request_id,
        "vllm",
        request.num_prompt_tokens,
        _drafter(scheduler.vllm_config.speculative_config, options.drafter.name if options.drafter else None),
        lambda: vocabulary_of(tokenizer, width) if tokenizer is not None else None,
    )
    if found.begin(traced) is not None:
        _live[request.request_id] = request


def _drafter(config: Any, ours: str | None) -> str | None:
    """Who drafts for a request: our proposer's drafter, or the method of vLLM's own."""
    if config is None:
        return None
    return ours if has_proposer(config) else str(config.method)


def _step(scheduler_output: Any) -> None:
    from latticework.plugins.guard import Area, Guard

    scheduled = scheduler_output.num_scheduled_tokens
    with Guard(Area.TRACES, ADAPTER, "a step of the traced requests is not recorded"):
        for request_id, request in _live.items():
            if (record := _record(request_id)) is not None and request_id in scheduled:
                tokens = scheduler_output.scheduled_spec_decode_tokens.get(request_id, ())
                draft = _verified(record, [token for token in tokens if token >= 0])
                record.step(request.output_token_ids, draft, _counts(request), len(scheduled))


def _end_finished() -> None:
    from latticework.plugins.guard import Area, Guard
    from latticework.plugins.traces import recorder

    for request_id, request in list(_live.items()):
        if request.is_finished():
            del _live[request_id]
            with Guard(Area.TRACES, ADAPTER, f"the trace of request {request_id} is lost"):
                if (found := recorder()) is not None:
                    found.end(request_id, str(request.get_finished_reason()))


def _record(request_id: str) -> TraceRecord | None:
    """The trace of a request, if it is being recorded."""
    from latticework.plugins.traces import recorder

    found = recorder()
    return found.live.get(request_id) if found is not None else None


def _verified(record: TraceRecord, tokens: Sequence[int]) -> Draft:
    """What was verified: the scheduled ``tokens``, as much as is left of the draft that is known of.

    Where trees may be scheduled, tokens alone do not say which follows which.
    """
    from latticework.plugins.settings import load_settings
    from latticework.speculative.draft import EMPTY_DRAFT, Draft
    from latticework.speculative.tree_paths import paths_of

    noted = record.noted
    if noted is not None and len(tokens):
        as_sent = paths_of(noted, len(noted)).draft.within(len(tokens), len(noted))
        if as_sent.token.tolist() == list(tokens):
            return as_sent
    return EMPTY_DRAFT if load_settings().drafter.trees else Draft.chain(tokens)


def _counts(request: Any) -> CountingEnforcement | None:
    """The request's grammar, if it is ours."""
    constraint = request.structured_output_request
    counting: CountingEnforcement | None = getattr(constraint and constraint.grammar, "counting", None)
    return counting
