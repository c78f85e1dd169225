"""Trees against plain attention, without an engine: vLLM's CPU kernel over divided metadata sees ancestors only."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("vllm")

from vllm import _custom_ops as ops
from vllm.v1.attention.backends.cpu_attn import _get_attn_isa

from latticework.adapters.vllm.trees import SCRATCH_BLOCKS, Trees, enlarged
from latticework.speculative.draft import ROOT, Draft

HEADS, KV_HEADS, WIDTH, BLOCK = 4, 2, 64, 32
LAYERS = 2


@dataclass
class Common:
    """What of vLLM's attention metadata is divided."""

    query_start_loc: torch.Tensor
    seq_lens: torch.Tensor
    num_reqs: int
    block_table_tensor: torch.Tensor
    slot_mapping: torch.Tensor


@dataclass
class Cache:
    """A worker's key-value cache, and what a runner would hold beside it."""

    blocks: int = 12
    layers: list[torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.blocks + SCRATCH_BLOCKS, KV_HEADS, BLOCK, 2 * WIDTH)
        self.layers = [torch.zeros(shape) for _ in range(LAYERS)]

    def halves(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        cache = self.layers[layer]
        return cache.view(len(cache), KV_HEADS, 2 * BLOCK, -1).chunk(2, dim=2)

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor) -> None:
        isa = _get_attn_isa(torch.float32, BLOCK, WIDTH)
        ops.cpu_attn_reshape_and_cache(keys, values, *self.halves(layer), slots, isa)

    def attend(self, layer: int, queries: torch.Tensor, common: Any) -> torch.Tensor:
        isa = _get_attn_isa(torch.float32, BLOCK, WIDTH)
        plan = ops.cpu_attn_get_scheduler_metadata(
            num_reqs=common.num_reqs,
            num_heads=HEADS,
            num_kv_heads=KV_HEADS,
            head_dim=WIDTH,
            seq_lens=common.seq_lens,
            dtype=torch.float32,
            query_start_loc=common.query_start_loc,
            causal=True,
            sliding_window_size=-1,
            isa=isa,
            enable_kv_split=True,
        )
        out = torch.empty_like(queries)
        ops.cpu_attention_with_kv_cache(
            query=queries,
            key_cache=self.halves(layer)[0],
            value_cache=self.halves(layer)[1],
            output=out,
            query_start_loc=common.query_start_loc,
            seq_lens=common.seq_lens,
            scale=WIDTH**-0.5,
            causal=True,
            alibi_slopes=None,
            sliding_window=-1,
            block_table=common.block_table_tensor,
            softcap=0,
            scheduler_metadata=plan,
            s_aux=None,
        )
        return out


def expected(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attention of one row, ``[HEADS, WIDTH]``, to ``[n, KV_HEADS, WIDTH]``."""
    shared = HEADS // KV_HEADS
    keys, values = keys.repeat_interleave(shared, 1), values.repeat_interleave(shared, 1)
    weights = (torch.einsum("hd,nhd->hn", query, keys) * WIDTH**-0.5).softmax(-1)
    return torch.einsum("hn,nhd->hd", weights, values)


def tree_of(parents: list[int], tokens: list[int] | None = None) -> Draft:
    depths: list[int] = []
    for parent in parents:
        depths.append(1 if parent == ROOT else depths[parent] + 1)
    arrays = (np.array(values, np.int32) for values in (tokens or range(len(parents)), parents, depths))
    return Draft(*arrays)


BUSHY = [ROOT, ROOT, ROOT, 0, 0, 1, 3, 5, 7]


@pytest.mark.parametrize("cached", [1, 5, 31, 32, 60, 63])
def test_every_node_sees_its_ancestors_and_nothing_else(cached: int) -> None:
    """Two requests, a tree and a chain, around the bounds of blocks; then the tree's branch is committed."""
    torch.manual_seed(cached)
    cache = Cache()
    runner = SimpleNamespace(
        cache_config=SimpleNamespace(block_size=BLOCK),
        kv_caches=cache.layers,
        input_batch=SimpleNamespace(
            req_ids=["tree", "chain"],
            req_id_to_index={"tree": 0, "chain": 1},
            block_table=[SimpleNamespace(block_table=SimpleNamespace(cpu=torch.tensor([[3, 7, 1], [4, 2, 9]])))],
        ),
    )
    trees = Trees(runner)
    chain = Draft.chain([50, 51])
    sent = trees.offer({"tree": tree_of(BUSHY), "chain": chain})
    trees.begin_step(sent)
    paths = trees.now["tree"]
    assert set(trees.now) == {"tree"}
    lengths = [cached, 10]
    rows = [1 + len(paths.draft), 1 + len(chain)]
    tables = runner.input_batch.block_table[0].block_table.cpu.to(torch.int32)
    slots = [
        [int(table[place // BLOCK]) * BLOCK + place % BLOCK for place in range(length, length + count)]
        for table, length, count in zip(tables, lengths, rows, strict=True)
    ]
    common = Common(
        query_start_loc=torch.tensor([0, rows[0], sum(rows)], dtype=torch.int32),
        seq_lens=torch.tensor([length + count for length, count in zip(lengths, rows, strict=True)], dtype=torch.int32),
        num_reqs=2,
        block_table_tensor=tables,
        slot_mapping=torch.tensor([*slots[0], *slots[1]], dtype=torch.int64),
    )
    past = [[torch.randn(length, KV_HEADS, WIDTH) for length in lengths] for _ in range(2 * LAYERS)]
    for layer in range(LAYERS):
        for table, length, keys, values in zip(tables, lengths, past[2 * layer], past[2 * layer + 1], strict=True):
            where = torch.tensor([int(table[p // BLOCK]) * BLOCK + p % BLOCK for p in range(length)])
            cache.write(layer, keys, values, where)
    divided = trees.divide(common)
    new = [(torch.randn(sum(rows), KV_HEADS, WIDTH), torch.randn(sum(rows), KV_HEADS, WIDTH)) for _ in range(LAYERS)]
    for layer, (keys, values) in enumerate(new):
        queries = torch.randn(sum(rows), HEADS, WIDTH)
        cache.write(layer, keys, values, common.slot_mapping)
        assert trees.written is not None
        again, where = trees.written
        cache.write(layer, keys[again], values[again], where)
        out = cache.attend(layer, queries, divided)
        for row in range(rows[0]):
            line = [0] if row == 0 else [0, *(node + 1 for node in (*paths.ancestors(row - 1), row - 1))]
            seen = [torch.cat((past[2 * layer + part][0], new[layer][part][line])) for part in range(2)]
            torch.testing.assert_close(out[row], expected(queries[row], *seen), atol=1e-5, rtol=1e-4)
        last = [torch.cat((past[2 * layer + part][1], new[layer][part][rows[0] :])) for part in range(2)]
        torch.testing.assert_close(out[-1], expected(queries[-1], *last), atol=1e-5, rtol=1e-4)
    deepest = paths.branches[-1][-1] if len(paths.branches[-1]) > 1 else paths.branches[0][-1]
    accepted = [*paths.ancestors(deepest), deepest]
    trees.commit("tree", accepted)
    line = [0, *(node + 1 for node in accepted)]
    after = Common(
        query_start_loc=torch.tensor([0, 1], dtype=torch.int32),
        seq_lens=torch.tensor([cached + len(line)], dtype=torch.int32),
        num_reqs=1,
        block_table_tensor=tables[:1],
        slot_mapping=torch.tensor([0]),
    )
    for layer in range(LAYERS):
        query = torch.randn(1, HEADS, WIDTH)
        seen = [torch.cat((past[2 * layer + part][0], new[layer][part][line])) for part in range(2)]
        torch.testing.assert_close(
            cache.attend(layer, query, after)[0], expected(query[0], *seen), atol=1e-5, rtol=1e-4
        )


def test_a_tree_that_the_scheduler_cut_is_one_still() -> None:
    trees = Trees(SimpleNamespace(cache_config=SimpleNamespace(block_size=BLOCK)))
    sent = trees.offer({"a": tree_of(BUSHY)})["a"]
    main = trees._offered["a"].main
    trees.begin_step({"a": sent[: main + 1]})
    assert [len(run) for run in trees.now["a"].branches] == [1]
    for chain in (sent[:main], sent[:1], [99] * len(sent)):
        trees.begin_step({"a": chain})
        assert trees.now == {}


def test_branches_are_no_more_than_scratch_blocks_allow() -> None:
    trees = Trees(SimpleNamespace(cache_config=SimpleNamespace(block_size=BLOCK)))
    star = tree_of([ROOT] * 12)
    trees.offer({"a": star, "b": star})
    assert sum(len(paths.branches) for paths in trees._offered.values()) == SCRATCH_BLOCKS // 2


def test_only_plain_caches_are_enlarged() -> None:
    @dataclass
    class FullAttentionSpec:
        pass

    @dataclass
    class Tensor:
        size: int
        layers: list[str]
        layer_stride: int
        block_stride: int

    @dataclass
    class Group:
        kv_cache_spec: object

    @dataclass
    class Config:
        num_blocks: int
        kv_cache_tensors: list[Tensor]
        kv_cache_groups: list[Group]

    plain = Config(10, [Tensor(2 * 10 * 64, ["a", "b"], 10 * 64, 64)], [Group(FullAttentionSpec())])
    larger = enlarged(plain)
    assert larger.num_blocks == 10 + SCRATCH_BLOCKS
    assert larger.kv_cache_tensors[0].size == 2 * (10 + SCRATCH_BLOCKS) * 64
    with pytest.raises(RuntimeError, match="set drafter"):
        enlarged(Config(10, plain.kv_cache_tensors, [*plain.kv_cache_groups] * 2))
