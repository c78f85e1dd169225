"""``lw_processor`` on Model Runner V1: our turn between the grammar's mask and vLLM's own sampling.

Layout of the logits, ``float[rows, V]``: requests in batch order, for each one row after its last committed token and
one after each drafted token. Row ``j`` of a request must be processed with its committed output and ``drafted[:j]`` as
history, whether the draft will be accepted or not.

vLLM's own ``LogitsProcessor`` plugins are no way in: they are refused or dropped under speculative decoding, and have
no notion of a drafted history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from latticework.speculative.drafter import TokenArray

#: vLLM's placeholder for a token that the host has not seen yet.
UNKNOWN_TOKEN = -1


@dataclass(frozen=True)
class RequestRows:
    """The logits of one request in this step.

    Attributes:
        index: Its place in the batch.
        request_id: Its id.
        first: Its first row; it has ``1 + len(drafted)``.
        drafted: The drafted tokens whose rows follow.
    """

    index: int
    request_id: str
    first: int
    drafted: Sequence[int]


def request_rows(runner: Any, metadata: Any) -> Iterator[RequestRows]:
    """The rows of every request that samples in this step, in order; those still in their prompt are left out.

    Args:
        runner: vLLM's ``GPUModelRunner``.
        metadata: Its ``SpecDecodeMetadata``, or ``None`` when nothing was drafted for anyone.
    """
    batch = runner.input_batch
    counts = metadata.num_draft_tokens if metadata is not None else [0] * batch.num_reqs
    first = 0
    for index, (request_id, count) in enumerate(zip(batch.req_ids, counts, strict=True)):
        if not runner.discard_request_mask.np[index]:
            yield RequestRows(index, request_id, first, batch.spec_token_ids[index][:count])
        first += 1 + count


def committed_tokens(runner: Any, index: int) -> TokenArray:
    """``int32[n]``: prompt and committed output of the request at ``index`` of the batch.

    Raises:
        RuntimeError: Scheduling is asynchronous and vLLM has not brought all sampled ids to the host.
    """
    batch = runner.input_batch
    if not runner.use_async_scheduling:
        tokens: TokenArray = batch.token_ids_cpu[index, : batch.num_tokens_no_spec[index]]
        return tokens
    # The batch's own array keeps placeholders under asynchronous scheduling; the lists are repaired before sampling.
    state = runner.requests[batch.req_ids[index]]
    if UNKNOWN_TOKEN in state.output_token_ids[-1:]:
        raise RuntimeError("asynchronous scheduling has not delivered the last sampled token")
    return np.array([*state.prompt_token_ids, *state.output_token_ids], np.int32)
