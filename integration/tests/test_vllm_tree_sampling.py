"""Verifying trees without an engine: vLLM's own rejection sampler, against the walk that the rule describes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("vllm")

from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.rejection_sampler import RejectionSampler
from vllm.v1.sample.sampler import Sampler
from vllm.v1.spec_decode.metadata import SpecDecodeMetadata

from latticework.adapters.vllm.tree_sampling import sample
from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.tree_paths import TreePaths, paths_of
from latticework.speculative.verify import match

VOCABULARY = 12


@pytest.fixture(autouse=True, scope="module")
def _cpu_kernels() -> None:
    """As vLLM's CPU worker does when it starts."""
    from vllm.platforms.cpu import CpuPlatform

    from latticework.adapters.vllm import scanning

    scanning.install()
    CpuPlatform.register_triton_kernel_overrides()


def random_tree(chance: np.random.Generator, size: int) -> Draft:
    """Siblings have different tokens."""
    parents: list[int] = []
    tokens: list[int] = []
    depths: list[int] = []
    for node in range(size):
        parent = int(chance.integers(ROOT, node))
        taken = {token for token, other in zip(tokens, parents, strict=True) if other == parent}
        tokens.append(int(chance.choice([token for token in range(VOCABULARY) if token not in taken])))
        parents.append(parent)
        depths.append(1 if parent == ROOT else depths[parent] + 1)
    return Draft(*(np.array(values, np.int32) for values in (tokens, parents, depths)))


class Step:
    """One step of a batch: its drafts as vLLM takes them, random logits, and who was committed."""

    def __init__(self, drafts: list[Draft], logits: torch.Tensor, temperature: float) -> None:
        self.names = [f"r{i}" for i in range(len(drafts))]
        self.paths = {name: paths_of(draft, 8) for name, draft in zip(self.names, drafts, strict=True)}
        self.now: dict[str, TreePaths] = {name: paths for name, paths in self.paths.items() if paths.branches}
        self.committed: dict[str, list[int]] = {}
        self.logits = logits
        count = len(drafts)
        greedy = temperature == 0.0
        metadata = SamplingMetadata(
            temperature=None if greedy else torch.full((count,), temperature),
            all_greedy=greedy,
            all_random=not greedy,
            top_p=None,
            top_k=None,
            generators={},
            max_num_logprobs=None,
            no_penalties=True,
            prompt_token_ids=None,
            frequency_penalties=torch.zeros(count),
            presence_penalties=torch.zeros(count),
            repetition_penalties=torch.ones(count),
            output_token_ids=[[] for _ in drafts],
            allowed_token_ids_mask=None,
            bad_words_token_ids={},
            logitsprocs=LogitsProcessors(),
            spec_token_ids=[self.paths[name].draft.token.tolist() for name in self.names],
        )
        batch = SimpleNamespace(
            req_ids=self.names, temperature_cpu=np.full(count, temperature), sampling_metadata=metadata
        )
        self.runner = SimpleNamespace(input_batch=batch, rejection_sampler=RejectionSampler(Sampler()))

    def commit(self, name: str, accepted: list[int]) -> None:
        self.committed[name] = accepted

    def run(self) -> list[list[int]]:
        tokens = [self.paths[name].draft.token.tolist() for name in self.names]
        metadata = SpecDecodeMetadata.make_dummy(tokens, torch.device("cpu"))
        counts = [len(row) for row in tokens]
        ends = np.cumsum([count + 1 for count in counts])
        bonus = ends - 1
        metadata.bonus_logits_indices = torch.from_numpy(bonus.astype(np.int32))
        targets = np.setdiff1d(np.arange(ends[-1]), bonus)
        metadata.target_logits_indices = torch.from_numpy(targets.astype(np.int32))
        metadata.logits_indices = torch.arange(int(ends[-1]), dtype=torch.int32)

        def original(runner: Any, logits: torch.Tensor, reduced: Any) -> Any:
            return runner.rejection_sampler(reduced, None, logits, runner.input_batch.sampling_metadata)

        output = sample(self.runner, self, original, self.logits, metadata)  # type: ignore[arg-type]
        return [[token for token in row if token >= 0] for row in output.sampled_token_ids.tolist()]


@pytest.mark.parametrize("seed", range(40))
def test_a_greedy_tree_is_walked_as_the_rule_says(seed: int) -> None:
    chance = np.random.default_rng(seed)
    drafts = [random_tree(chance, int(chance.integers(1, 10))) for _ in range(int(chance.integers(1, 4)))]
    drafts.append(random_tree(chance, 6))
    ordered = [paths_of(draft, 8).draft for draft in drafts]
    rows = sum(len(draft) + 1 for draft in ordered)
    logits = torch.from_numpy(chance.normal(size=(rows, VOCABULARY)).astype(np.float32))
    first = 0
    for draft in ordered:  # often the target agrees with a node
        for row in range(len(draft) + 1):
            below = np.flatnonzero(draft.parent == row - 1)
            if len(below) and chance.random() < 0.8:
                logits[first + row, int(draft.token[chance.choice(below)])] = 9.0
        first += len(draft) + 1
    step = Step(drafts, logits.clone(), 0.0)
    if not step.now:
        pytest.skip("chains only")
    written = step.run()
    first = 0
    for name, draft, tokens in zip(step.names, ordered, written, strict=True):
        expected = match(draft, logits[first : first + len(draft) + 1].argmax(-1).numpy().astype(np.int32))
        assert tokens == list(expected.tokens)
        if name in step.now:
            assert step.committed[name] == list(expected.path)
        first += len(draft) + 1


def test_batches_hold_their_drafts_again_afterwards() -> None:
    chance = np.random.default_rng(1)
    star = Draft(*(np.array(values, np.int32) for values in ([3, 4, 5], [ROOT] * 3, [1, 1, 1])))
    step = Step([star], torch.from_numpy(chance.normal(size=(4, VOCABULARY)).astype(np.float32)), 0.0)
    before = step.runner.input_batch.sampling_metadata
    step.run()
    assert step.runner.input_batch.sampling_metadata is before
    assert before.spec_token_ids == [[3, 4, 5]]
