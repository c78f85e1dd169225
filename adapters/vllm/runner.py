"""Hooks in vLLM's model runners: when a request begins and ends, a last look at its logits, and who a row belongs to.

Model Runner V1 (``GPUModelRunner``, of which the CPU runner is a subclass), one step in order:

    _update_states            requests begin and end: :meth:`RunnerSessions.update`
    (forward pass)
    sample_tokens             logits ``float[rows, V]`` before the grammar's mask: :meth:`RunnerSessions.look`
    (grammar mask)
    _sample                   logits ``float[rows, V]``, one row a verified position: :meth:`RunnerSessions.process`
    _input_fits_in_drafter    may anyone draft? Our proposer runs no model, so always
    propose_draft_token_ids   the proposer is told whose rows it will see; then vLLM calls it
    take_draft_token_ids      what is to be known of the drafts of traced requests goes to the scheduler with them

Model Runner V2 has an interface for logits processors that fits: :mod:`latticework.adapters.vllm.v2` joins its list.

A server on which no request asks for anything pays one comparison a new request and one a step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from latticework.adapters.vllm import tenants, tracing
from latticework.adapters.vllm.processors import committed_tokens, request_rows
from latticework.adapters.vllm.seams import on_import, wrap
from latticework.adapters.vllm.showing import rows_shown
from latticework.plugins.base import Role
from latticework.plugins.draft_counts import arm_label
from latticework.plugins.guard import Guard, report
from latticework.plugins.options import RequestOptions
from latticework.plugins.requests import LOG_ID, options_of
from latticework.plugins.session import SessionTable
from latticework.plugins.settings import load_settings
from latticework.speculative.draft import Draft
from latticework.speculative.drafter import VerifiedRows
from latticework.structured.errors import LatticeworkError

if TYPE_CHECKING:
    import torch

    from latticework.adapters.vllm.proposer import Proposer
    from latticework.adapters.vllm.trees import Trees

logger = logging.getLogger("latticework.vllm")

V1_RUNNER = "vllm.v1.worker.gpu_model_runner"
V2_RUNNER = "vllm.v1.worker.gpu.model_runner"

#: Name in counters and logs for a failure of this glue itself, as opposed to one of a plugin.
ADAPTER = "vllm-adapter"

#: Where a runner keeps its :class:`RunnerSessions`.
_ATTRIBUTE = "latticework_sessions"


def install() -> None:
    """Have both runners hooked when their modules are first imported. Other processes never import them."""
    on_import(V1_RUNNER, _hook_v1)
    on_import(V2_RUNNER, _hook_v2)


def hooked() -> bool:
    """Whether the V1 runner of this process carries the hooks."""
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    return hasattr(GPUModelRunner.propose_draft_token_ids, "__latticework__")


def open_sessions(runner: Any) -> int:
    """How many requests a runner keeps a session for."""
    sessions: RunnerSessions | None = getattr(runner, _ATTRIBUTE, None)
    return sessions.table.live() if sessions is not None else 0


class RunnerSessions:
    """One V1 model runner's requests: who drafts for them, and whose logits are processed.

    Attributes:
        table: The sessions.
        processed: Ids of the requests with a logits processor.
        shown: What the target held likely in this step, for the drafters that learn from it, by request.
        trees: Where trees are verified, if they are.
        branching: Ids of the requests for which they can be.
    """

    def __init__(self, runner: Any) -> None:
        self._proposer = _proposer(runner)
        adaptive = self._proposer is None or not self._proposer.alike
        self.table = SessionTable(runner.model_config.get_vocab_size(), adaptive=adaptive)
        self.processed: set[str] = set()
        self.shown: dict[str, VerifiedRows] = {}
        self.trees = _trees(runner)
        self.branching: set[str] = set()
        self._runner = runner
        self._defaults = RequestOptions.parse(None)
        self._others_need_output_ids = runner.input_batch.logitsprocs_need_output_token_ids

    def update(self, scheduler_output: Any) -> None:
        """Begin and end sessions as the scheduler says, before the runner does the same."""
        if self._proposer is not None:
            self._announce(scheduler_output)
        for request_id in scheduler_output.finished_req_ids:
            self._end(request_id)
        for new in scheduler_output.scheduled_new_reqs:
            if new.sampling_params is not None:
                with Guard(Role.DRAFTER, ADAPTER, f"request {new.req_id} goes without latticework"):
                    self._begin(new)
        if self._runner.use_async_scheduling:
            # vLLM brings sampled ids to the host only if somebody says that they are needed.
            needed = self._others_need_output_ids or bool(self.processed)
            self._runner.input_batch.logitsprocs_need_output_token_ids = needed

    def look(self, logits: torch.Tensor, metadata: Any) -> None:
        """Keep what drafters that learn want to see of ``logits``, ``float[rows, V]``, not masked yet."""
        self.shown = {}
        if self.table.live():
            trees = self.trees.now if self.trees is not None else {}
            self.shown = rows_shown(self._runner, self.table, logits, metadata, trees)

    def process(self, logits: torch.Tensor, metadata: Any) -> None:
        """Let the processors change their rows of ``logits``, ``float[rows, V]``, in place."""
        if self._runner.use_async_scheduling:
            self._runner.input_batch.update_async_output_token_ids()
        for rows in request_rows(self._runner, metadata):
            if rows.request_id not in self.processed:
                continue
            processor = None
            with Guard(Role.PROCESSOR, ADAPTER, f"it is off for request {rows.request_id}"):
                self.table.sync(rows.request_id, committed_tokens(self._runner, rows.index))
                processor = self.table.processor_for(rows.request_id)
                if processor is not None:
                    processor.apply_over(Draft.chain(rows.drafted), logits[rows.first :])
            if processor is None:
                self.processed.discard(rows.request_id)

    def request_id(self, row: int) -> str:
        """The request at a row of the batch."""
        request_id: str = self._runner.input_batch.req_ids[row]
        return request_id

    def room(self, row: int) -> int:
        """How many drafted tokens the request at ``row`` could use: a step writes one token more than is accepted."""
        batch = self._runner.input_batch
        length = int(batch.num_tokens_no_spec[row])
        room: int = self._runner.max_model_len - length
        max_tokens = self._runner.requests[batch.req_ids[row]].sampling_params.max_tokens
        if max_tokens is not None:
            room = min(room, int(batch.num_prompt_tokens[row]) + max_tokens - length)
        return max(room - 1, 0)

    def _announce(self, scheduler_output: Any) -> None:
        """Tell the budgets what the step that begins computes."""
        batch, drafts = len(scheduler_output.num_scheduled_tokens), scheduler_output.scheduled_spec_decode_tokens
        nodes = sum(map(len, drafts.values()))
        if self.trees is not None:
            self.trees.begin_step(drafts)
        if scheduler_output.total_num_scheduled_tokens == batch + nodes > 0:
            self.table.budgets.verifying(batch, nodes)
        else:  # prompts are read
            self.table.budgets.interrupted()

    def _begin(self, new: Any) -> None:
        """A request was scheduled for the first time, or a streaming one with a longer prompt."""
        self._end(new.req_id)
        options = options_of(new.sampling_params.extra_args, self._defaults)
        if options.processor is None and (self._proposer is None or options.drafter is None):
            return
        if new.prompt_token_ids is None:
            if options.processor is not None:
                error = ValueError("a prompt of embeddings has no token ids")
                report(Role.PROCESSOR, options.processor.name, error, f"it is off for request {new.req_id}")
            return
        grammar = None
        if self._proposer is not None and options.drafter is not None:
            grammar = self._proposer.grammars.of(new.sampling_params, options)
        tenant, constraint = tenants.tenant_of(new.sampling_params), tenants.constraint_of(new.sampling_params)
        prompt = np.asarray(new.prompt_token_ids, np.int32)
        extra = new.sampling_params.extra_args or {}
        arm, log_id = arm_label(extra), extra.get(LOG_ID, "")
        self.table.begin(new.req_id, options, prompt, grammar, tenant, constraint, arm, log_id)
        if options.processor is not None:
            self.processed.add(new.req_id)
        elif self.trees is not None and self.trees.eligible(new.sampling_params):
            self.branching.add(new.req_id)

    def _end(self, request_id: str) -> None:
        self.processed.discard(request_id)
        self.branching.discard(request_id)
        self.table.end(request_id)


def _hook_v1(module: ModuleType) -> None:
    runner = module.GPUModelRunner
    wrap(runner, "_update_states", _around_update_states)
    wrap(runner, "sample_tokens", _around_sample_tokens)
    wrap(runner, "_sample", _around_sample)
    wrap(runner, "_input_fits_in_drafter", _around_input_fits)
    wrap(runner, "propose_draft_token_ids", _around_propose)
    wrap(runner, "take_draft_token_ids", _around_take)
    if _trees_wanted():
        from latticework.adapters.vllm import tree_hooks

        tree_hooks.install(runner)


def _hook_v2(module: ModuleType) -> None:
    from latticework.adapters.vllm.v2 import around_build

    wrap(module, "build_custom_logits_processors", around_build)


def _trees_wanted() -> bool:
    """Whether the operator has switched trees on. Wrong settings are told where they are needed."""
    try:
        return load_settings().drafter.trees
    except LatticeworkError:
        return False


def _trees(runner: Any) -> Trees | None:
    """Where this runner verifies trees, if it does."""
    if not _trees_wanted():
        return None
    from latticework.adapters.vllm import tree_hooks

    trees = tree_hooks.trees_of(runner)
    if trees is None:
        logger.warning("drafter.trees: trees need CPU attention and our proposer; chains are verified")
    return trees


def _proposer(runner: Any) -> Proposer | None:
    """The runner's proposer, if it is ours."""
    drafter = getattr(runner, "drafter", None)
    return drafter if hasattr(drafter, "attend") else None


def _sessions(runner: Any) -> RunnerSessions:
    sessions: RunnerSessions | None = runner.__dict__.get(_ATTRIBUTE)
    if sessions is None:
        sessions = RunnerSessions(runner)
        setattr(runner, _ATTRIBUTE, sessions)
    return sessions


def _around_update_states(original: Callable[..., Any]) -> Callable[..., Any]:
    def _update_states(self: Any, scheduler_output: Any) -> Any:
        if not self.is_pooling_model:
            with Guard(Role.DRAFTER, ADAPTER, "the requests of this step go without latticework"):
                _sessions(self).update(scheduler_output)
        return original(self, scheduler_output)

    return _update_states


def _around_sample_tokens(original: Callable[..., Any]) -> Callable[..., Any]:
    def sample_tokens(self: Any, grammar_output: Any) -> Any:
        state = self.execute_model_state
        if state is not None and state.logits is not None and _proposer(self) is not None:
            with Guard(Role.DRAFTER, ADAPTER, "drafters do not learn from this step"):
                _sessions(self).look(state.logits, state.spec_decode_metadata)
        return original(self, grammar_output)

    return sample_tokens


def _around_sample(original: Callable[..., Any]) -> Callable[..., Any]:
    def _sample(self: Any, logits: Any, spec_decode_metadata: Any) -> Any:
        sessions: RunnerSessions | None = self.__dict__.get(_ATTRIBUTE)
        if sessions is not None and sessions.processed and logits is not None:
            with Guard(Role.PROCESSOR, ADAPTER, "the logits of this step are not processed"):
                sessions.process(logits, spec_decode_metadata)
        if sessions is not None and sessions.trees is not None and sessions.trees.now:
            from latticework.adapters.vllm import tree_sampling

            return tree_sampling.sample(self, sessions.trees, original, logits, spec_decode_metadata)
        return original(self, logits, spec_decode_metadata)

    return _sample


def _around_input_fits(original: Callable[..., Any]) -> Callable[..., Any]:
    def _input_fits_in_drafter(self: Any, common_attn_metadata: Any) -> Any:
        if common_attn_metadata is not None and _proposer(self) is not None:
            return True
        return original(self, common_attn_metadata)

    return _input_fits_in_drafter


def _around_propose(original: Callable[..., Any]) -> Callable[..., Any]:
    def propose_draft_token_ids(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        if (proposer := _proposer(self)) is not None:
            proposer.attend(_sessions(self), scheduler_output.num_spec_tokens_to_schedule)
        return original(self, scheduler_output, *args, **kwargs)

    return propose_draft_token_ids


def _around_take(original: Callable[..., Any]) -> Callable[..., Any]:
    def take_draft_token_ids(self: Any) -> Any:
        taken = original(self)
        sessions: RunnerSessions | None = self.__dict__.get(_ATTRIBUTE)
        if taken is not None and sessions is not None and (noted := sessions.table.take_noted()):
            setattr(taken, tracing.NOTED, noted)
        return taken

    return take_draft_token_ids
