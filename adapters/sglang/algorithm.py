"""What SGLang asks an algorithm before any worker exists: which of its paths apply, and whether the flags fit.

SGLang 0.5.23 calls methods of its own algorithms that its base class for registered ones lacks; they are given here.
"""

from __future__ import annotations

import logging
from typing import Any

from sglang.srt.speculative.spec_info import SpeculativeAlgorithm
from sglang.srt.speculative.spec_registry import CustomSpecAlgo

from latticework.adapters.sglang import speculation

logger = logging.getLogger("latticework.sglang")

#: Verified tokens a request and step where the operator names no number: the pending one and seven drafted ones.
DEFAULT_TOKENS = 8
#: As of SGLang's own algorithms.
DEFAULT_RUNNING_REQUESTS = 48
# Anything above one makes attention backends read the tree's mask instead of assuming a chain.
_BRANCHES = 2


class LatticeworkAlgorithm(CustomSpecAlgo):  # type: ignore[misc]
    """See ``CustomSpecAlgo``. Drafts come from the host, so there is no draft model, cache or hidden state."""

    create_future_map = SpeculativeAlgorithm.create_future_map

    def carries_draft_hidden_states(self) -> bool:
        """There are none."""
        return False

    def need_topk(self) -> bool:
        """Drafts do not travel through SGLang's own buffers."""
        return False

    def has_draft_kv(self) -> bool:
        """There is no draft model."""
        return False

    def get_platform_worker_cls(self) -> None:
        """The worker is the same on every platform."""
        return

    def handle_server_args(self, server_args: Any) -> None:
        """Fill in what the operator left open."""
        if server_args.speculative_num_draft_tokens is None:
            server_args.speculative_num_draft_tokens = DEFAULT_TOKENS
        # SGLang reserves max(steps * topk, draft tokens) slots a request.
        server_args.speculative_eagle_topk = _BRANCHES
        server_args.speculative_num_steps = max(server_args.speculative_num_draft_tokens // _BRANCHES, 1)
        server_args.enable_mixed_chunk = False
        if server_args.max_running_requests is None:
            server_args.max_running_requests = DEFAULT_RUNNING_REQUESTS
        if not server_args.disable_overlap_schedule:
            logger.info("overlap scheduling is off: %s drafts from tokens that must be on the host", self.name)
            server_args.disable_overlap_schedule = True


def validate(server_args: Any) -> None:
    """Refuse to start where drafting could not work.

    Raises:
        ValueError: Says what to change.
    """
    tokens = server_args.speculative_num_draft_tokens
    if tokens is not None and tokens < 2:
        _refuse(f"--speculative-num-draft-tokens must be at least 2 (one is the pending token), not {tokens}")
    if server_args.pp_size > 1:
        _refuse("pipeline parallelism is not supported")
    if server_args.enable_dp_attention:
        _refuse("data-parallel attention is not supported")
    if server_args.disaggregation_mode != "null":
        _refuse("disaggregated prefill and decode are not supported")
    if getattr(server_args, "enable_watermark", False):
        _refuse("watermarks are not supported")
    if str(server_args.device).startswith("cuda") and server_args.cuda_graph_config.decode.backend != "disabled":
        # SGLang captures verifying graphs for its own algorithms only.
        _refuse("start with --cuda-graph-backend-decode=disabled")
    if (server_args.page_size or 1) > 1 and server_args.attention_backend != "flashinfer":
        _refuse("trees need --page-size 1, or --attention-backend flashinfer")


def register(algorithms: type[SpeculativeAlgorithm]) -> None:
    """Add the algorithm to SGLang's registry."""

    @algorithms.register(
        speculation.NAME, supports_overlap=True, validate_server_args=validate, spec_class=LatticeworkAlgorithm
    )
    def worker(server_args: Any) -> type:
        from latticework.adapters.sglang.worker import TreeWorker

        return TreeWorker


def _refuse(reason: str) -> None:
    raise ValueError(f"{speculation.FLAG}: {reason}")
