"""``lw_trace`` in SGLang's scheduler, where drafts, masks and accepted tokens are at hand together.

A trace begins when its request reaches the scheduler, is fed after every batch that the request was in, and ends when
the request does, or when SGLang drops it before it came to a batch. Of the processes that compute a model together the
first one writes.

A server on which no request is traced pays one look at a new request and one a batch.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latticework.adapters.hooks import on_import, wrap
from latticework.plugins.requests import TRACE_OPTION

if TYPE_CHECKING:
    from latticework.plugins.options import RequestOptions
    from latticework.plugins.trace_record import TraceRecord

#: Name in counters and logs for a failure of this glue itself.
ADAPTER = "sglang-adapter"

#: What is traced now, by SGLang's own request object.
_live: weakref.WeakKeyDictionary[Any, TraceRecord] = weakref.WeakKeyDictionary()


def install() -> None:
    """Arrange for the hooks; applied when the modules are first imported, in the scheduler process."""
    on_import("sglang.srt.constrained.grammar_manager", _hook_manager)
    on_import("sglang.srt.managers.scheduler", _hook_scheduler)


def _hook_manager(module: ModuleType) -> None:
    wrap(module.GrammarManager, "process_req_with_grammar", _beginning)
    wrap(module.GrammarManager, "get_ready_grammar_requests", _counting)


def _hook_scheduler(module: ModuleType) -> None:
    wrap(module.Scheduler, "process_batch_result", _stepping)


def _beginning(original: Callable[..., bool]) -> Callable[..., bool]:
    """Every request comes by here when it arrives."""

    def process_req_with_grammar(self: Any, req: Any) -> bool:
        waits = original(self, req)
        custom = req.sampling_params.custom_params
        if isinstance(custom, Mapping) and TRACE_OPTION in custom:
            from latticework.plugins.guard import Area, Guard

            with Guard(Area.TRACES, ADAPTER, f"request {req.rid} is not traced"):
                _begin(self.scheduler, req)
                _count(req)
        return waits

    return process_req_with_grammar


def _counting(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Requests whose constraints had to be compiled first."""

    def get_ready_grammar_requests(self: Any) -> list[Any]:
        ready = original(self)
        for req in ready if _live else ():
            _count(req)
        return ready

    return get_ready_grammar_requests


def _stepping(original: Callable[..., None]) -> Callable[..., None]:
    def process_batch_result(self: Any, batch: Any, result: Any) -> None:
        if not _live:
            original(self, batch, result)
            return
        reqs = list(batch.reqs)
        original(self, batch, result)
        from latticework.plugins.guard import Area, Guard

        with Guard(Area.TRACES, ADAPTER, "a step of the traced requests is not recorded"):
            _step(self.tp_worker, reqs)

    return process_batch_result


def _begin(scheduler: Any, req: Any) -> None:
    from sglang.srt.runtime_context import get_parallel

    from latticework.plugins.options import RequestOptions
    from latticework.plugins.trace_record import Traced
    from latticework.plugins.traces import recorder
    from latticework.plugins.vocabularies import vocabulary_of

    options, found = RequestOptions.parse(req.sampling_params.custom_params), recorder()
    if not options.trace or found is None or get_parallel().tp_rank:
        return
    tokenizer, width = scheduler.tokenizer, scheduler.model_config.vocab_size
    traced = Traced(
        req.rid,
        "sglang",
        len(req.origin_input_ids),
        _drafter(options),
        lambda: vocabulary_of(tokenizer, width) if tokenizer is not None else None,
    )
    record = found.begin(traced)
    if record is not None:
        _live[req] = record
        weakref.finalize(req, _abandoned, req.rid, record)


def _drafter(options: RequestOptions) -> str | None:
    """Who drafts for a request: our worker's drafter, or an algorithm of SGLang's own."""
    from latticework.adapters.sglang import speculation

    algorithm = speculation.algorithm()
    if algorithm == speculation.NAME:
        return options.drafter.name if options.drafter is not None else None
    return algorithm.lower() if algorithm is not None else None


def _abandoned(request_id: str, record: TraceRecord) -> None:
    """SGLang has dropped a request that no batch ended."""
    from latticework.plugins.traces import recorder

    found = recorder()
    if found is not None and found.live.get(request_id) is record:
        found.end(request_id, "abort")


def _count(req: Any) -> None:
    """Have the request's masks counted, if they are ours and ready."""
    from latticework.adapters.sglang.backend import LatticeworkGrammar

    if req in _live and isinstance(req.grammar, LatticeworkGrammar):
        req.grammar.count()


def _step(worker: Any, reqs: list[Any]) -> None:
    from latticework.adapters.sglang.backend import LatticeworkGrammar
    from latticework.adapters.sglang.sessions import sessions_of
    from latticework.plugins.traces import recorder
    from latticework.speculative.draft import EMPTY_DRAFT

    noted, found = sessions_of(worker).table.take_noted(), recorder()
    for req in reqs:
        if (record := _live.get(req)) is None:
            continue
        if req.rid in noted:
            record.note(noted[req.rid])
        counting = req.grammar.counting if isinstance(req.grammar, LatticeworkGrammar) else None
        record.step(req.output_ids_through_stop, record.noted or EMPTY_DRAFT, counting, len(reqs))
        if req.finished() and found is not None:
            del _live[req]
            found.end(req.rid, req.finished_reason.to_json()["type"])
