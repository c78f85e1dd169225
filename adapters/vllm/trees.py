"""Trees in vLLM's CPU runner: every path of a tree is computed as a text of its own, with vLLM's own causal kernel.

vLLM verifies what it takes for a chain. A tree is sent as one: its main path, then its branches
(:class:`~latticework.speculative.tree_paths.TreePaths`). In a step, for a request with ``L`` tokens in the cache:

    rows                pending, main path, branch 1, branch 2, ...   their own cache slots are ``L, L + 1, ...``
    positions           ``L`` plus their depths in the tree
    attention           a request for the pending token and the main path, and one for each branch: its block table is
                        the request's, but its last blocks are scratch ones that hold copies of what precedes the
                        branch in its block, and are written its ancestors' keys and values, and its own, in each layer
    verification        vLLM's sampler verifies the main path; where the token it ends with begins a branch, the branch
                        goes on by a draw from its own row (sample and match: the law is the target's)
    commit              if a branch was taken, its scratch blocks are copied over the request's

Scratch blocks lie behind those that the scheduler knows. Copies are of whole blocks, in all layers at once, so their
inner layout does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from latticework.speculative.draft import Draft
from latticework.speculative.tree_paths import TreePaths, paths_of

#: Blocks behind the scheduler's; a branch needs at most two.
SCRATCH_BLOCKS = 32


@dataclass(frozen=True)
class _Branch:
    """Where the copies for a branch lie.

    Attributes:
        nodes: Its nodes in the tree.
        block: The first of the request's blocks, by place in its text, that the scratch blocks stand for.
        scratch: Their ids.
    """

    nodes: range
    block: int
    scratch: range


class _Divided:
    """The attention of a step while it is put together: queries, each a run of rows behind what it sees.

    Attributes:
        starts: First row of each query, and the number of rows.
        ends: Tokens that each query's last row sees.
        tables: Block table of each query.
        copies: Blocks to copy first, ``(from, to)``.
        rows: Rows whose keys and values are written once more,
        slots: and where to.
    """

    def __init__(self, block_size: int, scratch: int) -> None:
        self._block_size, self._scratch = block_size, scratch
        self.starts, self.ends = [0], list[int]()
        self.tables: list[torch.Tensor] = []
        self.copies: list[tuple[int, int]] = []
        self.rows: list[int] = []
        self.slots: list[int] = []

    def add(self, rows: int, end: int, table: torch.Tensor) -> None:
        """A query of the next ``rows`` rows."""
        self.starts.append(self.starts[-1] + rows)
        self.ends.append(end)
        self.tables.append(table)

    def add_branch(self, paths: TreePaths, nodes: range, first: int, cached: int, table: torch.Tensor) -> _Branch:
        """A query of a branch, in a request that begins with row ``first`` and has ``cached`` tokens in the cache."""
        size = self._block_size
        line = [first, *(first + 1 + node for node in (*paths.ancestors(nodes[0]), *nodes))]
        block, last = cached // size, (cached + len(line) - 1) // size
        branch = _Branch(nodes, block, range(self._scratch, self._scratch + last - block + 1))
        self._scratch = branch.scratch.stop
        if cached % size:
            self.copies.append((int(table[block]), branch.scratch[0]))
        self.rows += line
        places = range(cached, cached + len(line))
        self.slots += [branch.scratch[place // size - block] * size + place % size for place in places]
        changed = table.clone()
        changed[block : last + 1] = torch.tensor(list(branch.scratch), dtype=changed.dtype)
        self.add(len(nodes), cached + len(line), changed)
        return branch


class Trees:
    """The trees of one runner.

    Attributes:
        now: Those of this step, by request.
    """

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._block_size: int = runner.cache_config.block_size
        self._offered: dict[str, TreePaths] = {}
        self.now: dict[str, TreePaths] = {}
        self._branches: dict[str, list[_Branch]] = {}
        self._written: tuple[torch.Tensor, torch.Tensor] | None = None
        self._lengths: dict[str, int] = {}

    @staticmethod
    def eligible(params: Any) -> bool:
        """Whether a request's tokens follow from its own logits by temperature, top-k and top-p alone."""
        return (
            params.structured_outputs is None
            and params.logprobs is None
            and params.repetition_penalty == 1
            and not any((params.presence_penalty, params.frequency_penalty, params.min_p, params.min_tokens))
            and not any((params.logit_bias, params.bad_words, params.allowed_token_ids))
        )

    def offer(self, drafts: Mapping[str, Draft]) -> dict[str, list[int]]:
        """What to have verified for each request, as the chain that vLLM takes it for."""
        self._offered = {}
        left = SCRATCH_BLOCKS // 2
        for request_id, draft in drafts.items():
            self._offered[request_id] = paths = paths_of(draft, left)
            left -= len(paths.branches)
        return {request_id: paths.draft.token.tolist() for request_id, paths in self._offered.items()}

    def begin_step(self, scheduled: Mapping[str, list[int]]) -> None:
        """``scheduled`` is what the scheduler left of the offers. What has no branch left is a chain like any other."""
        self.now, self._branches, self._written = {}, {}, None
        for request_id, tokens in scheduled.items():
            paths = self._offered.get(request_id)
            if paths is None or len(tokens) <= paths.main:
                continue
            paths = paths.first(len(tokens))
            if paths.draft.token.tolist() == list(tokens):
                self.now[request_id] = paths

    def place(self, positions: torch.Tensor) -> None:
        """Give the rows of trees (``int64[rows]``, in their order) the positions of their depths."""
        starts = self._runner.query_start_loc.np
        for index, request_id in enumerate(self._runner.input_batch.req_ids):
            if (paths := self.now.get(request_id)) is not None:
                first = int(starts[index])
                depths = torch.from_numpy(paths.draft.depth.astype(np.int64))
                positions[first + 1 : first + 1 + len(depths)] = positions[first] + depths

    def divide(self, common: Any) -> Any:
        """``common``, vLLM's metadata of a step's attention, with each branch as a request of its own."""
        bounds, lengths = common.query_start_loc.tolist(), common.seq_lens.tolist()
        names = self._runner.input_batch.req_ids
        divided = _Divided(self._block_size, self._first_scratch)
        for index in range(common.num_reqs):
            table = common.block_table_tensor[index]
            paths = self.now.get(names[index]) if index < len(names) else None
            if paths is None:
                divided.add(bounds[index + 1] - bounds[index], lengths[index], table)
                continue
            cached = self._lengths[names[index]] = lengths[index] - 1 - len(paths.draft)
            divided.add(1 + paths.main, cached + 1 + paths.main, table)
            self._branches[names[index]] = [
                divided.add_branch(paths, nodes, bounds[index], cached, table) for nodes in paths.branches
            ]
        self._copy(divided.copies)
        self._written = torch.tensor(divided.rows), torch.tensor(divided.slots, dtype=common.slot_mapping.dtype)
        return replace(
            common,
            num_reqs=len(divided.ends),
            query_start_loc=torch.tensor(divided.starts, dtype=common.query_start_loc.dtype),
            seq_lens=torch.tensor(divided.ends, dtype=common.seq_lens.dtype),
            block_table_tensor=torch.stack(divided.tables),
        )

    @property
    def written(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Rows whose keys and values are written once more, and where to; ``None`` in a step without trees."""
        return self._written

    def commit(self, request_id: str, accepted: list[int]) -> None:
        """The ``accepted`` nodes of a request's tree were kept: have the cache hold what it would without a tree."""
        branch = next((b for b in self._branches[request_id] if accepted and accepted[-1] in b.nodes), None)
        if branch is None:
            return
        cached = self._lengths[request_id]
        count = (cached + len(accepted)) // self._block_size - branch.block + 1
        index = self._runner.input_batch.req_id_to_index[request_id]
        own = self._runner.input_batch.block_table[0].block_table.cpu[index, branch.block : branch.block + count]
        self._copy(list(zip(branch.scratch, own.tolist(), strict=False)))

    @property
    def _first_scratch(self) -> int:
        return int(self._runner.kv_caches[0].shape[0]) - SCRATCH_BLOCKS

    def _copy(self, blocks: list[tuple[int, int]]) -> None:
        """Copy blocks in all layers, ``(from, to)`` each."""
        for source, target in blocks:
            for cache in self._runner.kv_caches:
                cache[target].copy_(cache[source])


def enlarged(config: Any) -> Any:
    """vLLM's configuration of the key-value cache, with the scratch blocks.

    Raises:
        RuntimeError: The cache of this model is not one plain tensor a layer.
    """
    (tensor, *more), (group, *others) = config.kv_cache_tensors, config.kv_cache_groups
    plain = not more and not others and type(group.kv_cache_spec).__name__ == "FullAttentionSpec"
    if not plain or tensor.layer_stride != tensor.block_stride * config.num_blocks:
        raise RuntimeError("trees need a model whose layers all have full attention; set drafter.trees to false")
    blocks = config.num_blocks + SCRATCH_BLOCKS
    stride = tensor.block_stride * blocks
    return replace(
        config,
        num_blocks=blocks,
        kv_cache_tensors=[replace(tensor, size=stride * len(tensor.layers), layer_stride=stride)],
    )
