"""Verifying trees with vLLM's own sampler: it is shown main paths only, and what it ends with may go on in a branch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from latticework.adapters.vllm.trees import Trees
from latticework.speculative.draft import ROOT
from latticework.speculative.tree_paths import TreePaths

_NOTHING = -1
#: As vLLM has it: below, a request is greedy.
_GREEDY = 1e-5


def sample(runner: Any, trees: Trees, original: Callable[..., Any], logits: torch.Tensor, metadata: Any) -> Any:
    """What ``GPUModelRunner._sample`` returns, for a step in which ``trees.now`` holds trees.

    Args:
        runner: vLLM's ``GPUModelRunner``.
        trees: Its trees.
        original: ``_sample`` itself.
        logits: ``float[rows, V]``, a row for each pending token and each node.
        metadata: vLLM's ``SpecDecodeMetadata``.
    """
    names = runner.input_batch.req_ids
    mains = [trees.now[n].main if n in trees.now else d for n, d in zip(names, metadata.num_draft_tokens, strict=True)]
    firsts = np.cumsum([0, *(count + 1 for count in metadata.num_draft_tokens)])[:-1].tolist()
    kept = np.concatenate([np.arange(first, first + 1 + main) for first, main in zip(firsts, mains, strict=True)])
    with _main_paths_only(runner.input_batch, mains):
        output = original(runner, logits[torch.from_numpy(kept)], _reduced(metadata, mains, kept))
    if output.logprobs_tensors is not None:  # somebody's are laid out by what the sampler wrote: main paths only
        return output
    written = [[t for t in row if t != _NOTHING] for row in output.sampled_token_ids.tolist()]
    for index, (name, first) in enumerate(zip(names, firsts, strict=True)):
        if (paths := trees.now.get(name)) is not None and written[index]:
            accepted = _go_on(runner.input_batch, index, paths, written[index], logits[first:])
            trees.commit(name, accepted)
    width = max(map(len, written))
    padded = [row + [_NOTHING] * (width - len(row)) for row in written]
    return replace(output, sampled_token_ids=torch.tensor(padded, dtype=output.sampled_token_ids.dtype))


def _go_on(batch: Any, index: int, paths: TreePaths, written: list[int], logits: torch.Tensor) -> list[int]:
    """Extend ``written`` while its last token is a node's; returns the nodes that were kept.

    Args:
        batch: vLLM's ``InputBatch``.
        index: The request's place in it.
        paths: Its tree.
        written: Kept tokens of the main path, and one of the target's own.
        logits: ``float[1 + nodes, V]``, rows of its pending token and its nodes.
    """
    edges = list(zip(paths.draft.parent.tolist(), paths.draft.token.tolist(), strict=True))
    accepted = list(range(len(written) - 1))
    while (edge := (accepted[-1] if accepted else ROOT, written[-1])) in edges:
        accepted.append(edges.index(edge))
        written.append(_choose(batch, index, logits[accepted[-1] + 1]))
    return accepted


def _choose(batch: Any, index: int, row: torch.Tensor) -> int:
    """The target's own token at one row, ``float[V]``, by the parameters that requests with trees may have."""
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p, random_sample

    temperature = float(batch.temperature_cpu[index])
    if temperature < _GREEDY:
        return int(row.argmax())
    metadata = batch.sampling_metadata
    here = slice(index, index + 1)
    scaled = (row.float() / temperature)[None]
    k = metadata.top_k[here] if metadata.top_k is not None else None
    p = metadata.top_p[here] if metadata.top_p is not None else None
    generator = metadata.generators.get(index)
    probabilities = apply_top_k_top_p(scaled, k, p).softmax(-1, dtype=torch.float32)
    return int(random_sample(probabilities, {0: generator} if generator is not None else {}))


def _reduced(metadata: Any, mains: list[int], kept: np.ndarray) -> Any:
    """vLLM's metadata of a step that verifies the rows ``kept``, ``int[rows]``: main paths."""
    counts = np.array(mains, np.int32)
    ends = np.cumsum(counts + 1, dtype=np.int32)
    bonus = ends - 1
    targets = np.setdiff1d(np.arange(int(ends[-1]), dtype=np.int32), bonus)
    # Drafted tokens lie without the pending ones in between: node j of request i is behind i pending ones.
    requests = np.repeat(np.arange(len(mains)), counts + 1)
    drafted = np.delete(kept - requests - 1, np.concatenate(([0], ends[:-1])))
    return type(metadata)(
        draft_token_ids=metadata.draft_token_ids[torch.from_numpy(drafted)],
        num_draft_tokens=list(mains),
        cu_num_draft_tokens=torch.from_numpy(np.cumsum(counts, dtype=np.int32)),
        cu_num_sampled_tokens=torch.from_numpy(ends),
        target_logits_indices=torch.from_numpy(targets),
        bonus_logits_indices=torch.from_numpy(bonus),
        logits_indices=metadata.logits_indices[torch.from_numpy(kept)],
    )


class _main_paths_only:  # noqa: N801 (a context manager)
    """While vLLM's sampler works, its batch holds no more drafted tokens than it is shown."""

    def __init__(self, batch: Any, mains: list[int]) -> None:
        self._batch, self._metadata = batch, batch.sampling_metadata
        tokens = self._metadata.spec_token_ids
        if tokens is not None:
            tokens = [row[:main] for row, main in zip(tokens, mains, strict=False)]
        self._reduced = replace(self._metadata, spec_token_ids=tokens)

    def __enter__(self) -> None:
        self._batch.sampling_metadata = self._reduced

    def __exit__(self, *error: object) -> None:
        self._batch.sampling_metadata = self._metadata
