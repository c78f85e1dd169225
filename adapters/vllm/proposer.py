"""The proposer, vLLM's ``custom_class`` speculative method with the model ``latticework.adapters.vllm.Proposer``.

vLLM calls :meth:`Proposer.propose` after each step with what was sampled, one list a batch row, and schedules the
returned ids to be verified in the next step. Which request a row is, it does not say: the hook around
``GPUModelRunner.propose_draft_token_ids`` gives the runner's sessions to :meth:`Proposer.attend` just before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from latticework.adapters.vllm.runner import ADAPTER, RunnerSessions, hooked
from latticework.adapters.vllm.worker_grammars import WorkerGrammars
from latticework.plugins.base import Role
from latticework.plugins.guard import Guard

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from vllm.config import VllmConfig


class Proposer:
    """Drafts for each request with the drafter that it asks for.

    Attributes:
        grammars: What the requests' constraints compile to, in this process.
        alike: Ranks that each have a scheduler of their own must draft alike.

    Raises:
        RuntimeError: At start, if drafting could not work in this vLLM; the message says why.
    """

    def __init__(self, vllm_config: VllmConfig) -> None:
        if not hooked():
            raise RuntimeError(
                "latticework's hooks are not in place in this vLLM, so its proposer cannot know its requests. "
                "Run `latticework doctor`; if VLLM_PLUGINS is set, it must name latticework."
            )
        if vllm_config.scheduler_config.async_scheduling:
            raise RuntimeError(
                "latticework's proposer needs the sampled tokens on the host: start with --no-async-scheduling."
            )
        self._limit = vllm_config.num_speculative_tokens
        self._sessions: RunnerSessions | None = None
        self.alike = vllm_config.parallel_config.distributed_executor_backend == "external_launcher"
        self.grammars = WorkerGrammars(vllm_config, wait=self.alike)

    def load_model(self, model: Any) -> None:
        """There is no draft model; the time is used to prepare for grammars."""
        self.grammars.warm_up()

    def attend(self, sessions: RunnerSessions, num_scheduled: int) -> None:
        """The next :meth:`propose` is about this runner's batch, with at most ``num_scheduled`` tokens a request."""
        self._sessions = sessions
        self._limit = num_scheduled

    def propose(
        self,
        sampled_token_ids: Sequence[Sequence[int]],
        num_tokens_no_spec: npt.NDArray[np.int32],
        token_ids_cpu: npt.NDArray[np.int32],
        slot_mappings: object = None,
    ) -> list[list[int]]:
        """Draft for every row of the batch.

        Args:
            sampled_token_ids: What each row's request was just given; empty while its prompt is being read.
            num_tokens_no_spec: ``int32[rows]``, lengths of prompt and committed output.
            token_ids_cpu: ``int32[rows, max_model_len]``, prompt and committed output, the sampled ids included.
            slot_mappings: Unused; vLLM passes it to all proposers.

        Returns:
            One list of drafted ids a row, possibly empty.
        """
        drafts: list[list[int]] = [[] for _ in sampled_token_ids]
        sessions = self._sessions
        if sessions is None or not sessions.table.live():
            return drafts
        with Guard(Role.DRAFTER, ADAPTER, "nothing is drafted for this batch in this step"):
            rows: dict[str, int] = {}
            for row, sampled in enumerate(sampled_token_ids):
                request_id = sessions.request_id(row)
                if sampled and request_id in sessions.table:
                    tokens = token_ids_cpu[row, : num_tokens_no_spec[row]]
                    sessions.table.sync(request_id, tokens, sessions.shown.get(request_id))
                    rows[request_id] = row
            rooms = {request_id: min(self._limit, sessions.room(row)) for request_id, row in rows.items()}
            branching = sessions.branching
            chosen = sessions.table.draft_all(rooms, sum(map(bool, sampled_token_ids)), branching=branching)
            chains = {request_id: draft.token.tolist() for request_id, draft in chosen.items()}
            if sessions.trees is not None:
                chains = sessions.trees.offer(chosen)
            for request_id, chain in chains.items():
                drafts[rows[request_id]] = chain
        return drafts
