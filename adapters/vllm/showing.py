"""What the target held likely at verified positions, rejected ones included, for drafters that learn from it.

Taken from the logits between the forward pass and the grammar's mask: ``float[rows, V]``, for each request its pending
token's row and one a drafted token. Nothing is computed for requests whose drafter does not ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from latticework.adapters.vllm.processors import committed_tokens, request_rows
from latticework.plugins.session import SessionTable
from latticework.speculative.drafter import VerifiedRows
from latticework.speculative.tree_paths import TreePaths

if TYPE_CHECKING:
    import torch


def rows_shown(
    runner: Any, table: SessionTable, logits: torch.Tensor, metadata: Any, trees: Mapping[str, TreePaths]
) -> dict[str, VerifiedRows]:
    """For each request whose drafter learns: what the target showed in this step.

    Args:
        runner: vLLM's ``GPUModelRunner``.
        table: Its requests' sessions.
        logits: ``float[rows, V]``, before grammar masks.
        metadata: Its ``SpecDecodeMetadata``, or ``None`` when nothing was drafted for anyone.
        trees: The drafts of requests that are no chains.
    """
    wanted = [(rows, table.verified_top_k(rows.request_id)) for rows in request_rows(runner, metadata)]
    wanted = [(rows, count) for rows, count in wanted if count]
    if not wanted:
        return {}
    index = np.concatenate([np.arange(rows.first, rows.first + 1 + len(rows.drafted)) for rows, _ in wanted])
    chosen = logits if len(index) == len(logits) else logits[index]
    chosen = chosen.float()
    top = chosen.topk(max(count for _, count in wanted), dim=-1)
    ids = top.indices.cpu().numpy().astype(np.int32)
    logprobs = (top.values - chosen.logsumexp(-1, keepdim=True)).cpu().numpy()
    shown: dict[str, VerifiedRows] = {}
    first = 0
    for rows, count in wanted:
        here = slice(first, first + 1 + len(rows.drafted))
        pending = int(committed_tokens(runner, rows.index)[-1])
        token = np.array([pending, *rows.drafted], np.int32)
        parent = np.arange(-1, len(token) - 1, dtype=np.int32)
        if (paths := trees.get(rows.request_id)) is not None:
            parent[1:] = paths.draft.parent + 1
        shown[rows.request_id] = VerifiedRows(token, ids[here, :count], logprobs[here, :count], parent)
        first = here.stop
    return shown
