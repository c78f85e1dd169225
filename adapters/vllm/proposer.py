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
from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.drafter import DraftBudget

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from vllm.config import VllmConfig


class Proposer:
    """Drafts for each request with the drafter that it asks for.

    Attributes:
        grammars: What the requests' constraints compile to, in this process.

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
        self.grammars = WorkerGrammars(vllm_config)

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
        with Guard(Role.DRAFTER, ADAPTER, "nothing is drafted for the rest of this batch in this step"):
            for row, sampled in enumerate(sampled_token_ids):
                request_id = sessions.request_id(row)
                if sampled and request_id in sessions.table:
                    tokens = token_ids_cpu[row, : num_tokens_no_spec[row]]
                    budget = min(self._limit, sessions.room(row))
                    sessions.table.sync(request_id, tokens)
                    drafts[row] = chain_of(sessions.table.draft(request_id, DraftBudget(budget, budget)))
        return drafts


def chain_of(draft: Draft) -> list[int]:
    """The path of first choices through a draft, which is all that vLLM can verify; a chain is its own."""
    chain: list[int] = []
    tip = ROOT
    for node, (token, parent) in enumerate(zip(draft.token.tolist(), draft.parent.tolist(), strict=True)):
        if parent == tip:
            chain.append(token)
            tip = node
    return chain
