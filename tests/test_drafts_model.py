"""Replay with a real (tiny, random) model: what is written never depends on who drafts, nor do cache and rows."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from latticework.bench.drafts.model_replay import Written, answer_all, by_category
from latticework.bench.drafts.prompts import Prompt, read_prompts
from latticework.bench.drafts.torch_target import TorchTarget
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView, VerifiedRows
from latticework.speculative.fusion import FusionDrafter
from latticework.speculative.ngram_trie import NgramTrieDrafter
from latticework.speculative.token_recycling import TokenRecyclingDrafter
from latticework.structured import GrammarLimits, GrammarSpec, LatticeworkError, Vocabulary
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.engines.lattice import LatticeEngine
from latticework.structured.presets.sql import sql

V, END = 40, 0


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> TorchTarget:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(5)
    config = transformers.LlamaConfig(
        vocab_size=V,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=END,
        initializer_range=0.6,
    )
    folder = tmp_path_factory.mktemp("model")
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return TorchTarget(folder)


PROMPTS = [
    Prompt("a" if i % 2 else "b", np.random.default_rng(i).integers(1, V, 6 + i).astype(np.int32)) for i in range(4)
]


class Silent:
    """Drafts nothing."""

    def begin(self, request: RequestView) -> None: ...
    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None: ...
    def end(self, request: RequestView) -> None: ...

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        return EMPTY_DRAFT


class Guesser(Silent):
    """Drafts random trees, the right continuation somewhere among them; checks the rows it is shown."""

    verified_top_k, verified_hidden = 3, True

    def __init__(self, answers: dict[str, list[int]]) -> None:
        self.answers, self.drafted, self.rows = answers, EMPTY_DRAFT, 0

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        chance = np.random.default_rng(len(request.tokens))
        done = len(request.tokens) - request.prompt_length
        right = self.answers[request.request_id][done : done + 3]
        n = min(budget.max_nodes, 9)
        token, parent = chance.integers(0, V, n), np.array([chance.integers(-1, i) if i else ROOT for i in range(n)])
        depth = np.zeros(n, np.int32)
        for node in range(n):
            depth[node] = 1 + (depth[parent[node]] if parent[node] >= 0 else 0)
        path, at = chance.permutation(np.flatnonzero(depth == 1)), 0
        if len(path) and right:
            token[path[0]] = right[0]
            at = int(path[0])
            for expected in right[1:]:
                below = np.flatnonzero(parent == at)
                if not len(below):
                    break
                at = int(below[0])
                token[at] = expected
        self.drafted = Draft(token.astype(np.int32), parent.astype(np.int32), depth)
        return self.drafted

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        if verified is not None:
            nodes = len(verified.token) - 1
            if nodes < len(self.drafted):
                return  # near the end of the answer the draft is cut
            assert verified.token[1:].tolist() == self.drafted.token[:nodes].tolist()
            assert verified.parent is not None
            assert verified.parent.tolist() == [-1, *(self.drafted.parent[:nodes] + 1).tolist()]
            assert verified.hidden is not None
            assert verified.hidden.shape == (nodes + 1, 32)
            assert (np.diff(verified.top_logprobs, axis=1) <= 0).all()
            assert request.matcher is not None or committed[0] == verified.top_ids[0, 0], "shown unmasked"
            self.rows += nodes


def answers(
    target: TorchTarget, drafter: Drafter, budget: DraftBudget, grammar: CompiledGrammar | None = None
) -> list[Written]:
    clock = itertools.count()
    return answer_all(target, drafter, [(prompt, grammar) for prompt in PROMPTS], budget, 24, lambda: next(clock))


def greedy(target: TorchTarget, prompt: Prompt, grammar: CompiledGrammar | None = None) -> list[int]:
    """T1's other side: every token from a fresh prefill of the whole text."""
    matcher, text = None if grammar is None else grammar.matcher(), prompt.tokens.tolist()
    while len(text) < len(prompt.tokens) + 24:
        logits = target.read(np.array(text, np.int32)).logits[0].copy()
        if matcher is not None:
            row = np.zeros((V + 31) // 32, np.int32)
            matcher.fill_bitmask(row)
            logits[[not (row[t >> 5] >> (t & 31)) & 1 for t in range(V)]] = -np.inf
        text.append(int(logits.argmax()))
        if matcher is not None:
            assert matcher.accept(text[-1])
        if text[-1] == END:
            break
    return text[len(prompt.tokens) :]


@pytest.mark.parametrize("shape", [DraftBudget(12, 12), DraftBudget(5, 3), DraftBudget(6, 6, branching=False)])
def test_what_is_written_is_what_plain_decoding_writes(target: TorchTarget, shape: DraftBudget) -> None:
    expected = [greedy(target, prompt) for prompt in PROMPTS]
    plain = answers(target, Silent(), shape)
    assert [answer.output.tolist() for answer in plain] == expected
    assert all(answer.tally.steps == answer.tally.tokens for answer in plain)
    known = {f"prompt-{i}": output for i, output in enumerate(expected)}
    for drafter in (
        Guesser(known),
        FusionDrafter(1 << 12, 1 << 12, 1 << 10),
        NgramTrieDrafter(),
        TokenRecyclingDrafter(),
    ):
        found = answers(target, drafter, shape)
        assert [answer.output.tolist() for answer in found] == expected
        assert [answer.category for answer in found] == [prompt.category for prompt in PROMPTS]
    guessed = by_category(answers(target, Guesser(known), shape))
    assert set(guessed) == {"a", "b"}
    assert sum(tally.steps for tally in guessed.values()) < sum(answer.tally.steps for answer in plain)


def plain_row(target: TorchTarget, text: list[int]) -> np.ndarray:
    """What the model says after a text that it reads from its beginning."""
    with torch.inference_mode():
        return target._model(torch.tensor([text])).logits[0, -1].numpy()


@pytest.mark.parametrize("seed", range(4))
def test_every_node_says_what_its_path_says_and_so_does_what_is_kept(target: TorchTarget, seed: int) -> None:
    """T4: rows of a tree are those of each path alone. T5: after a commit they are those of a fresh reading."""
    chance = np.random.default_rng(seed)
    text = chance.integers(1, V, 7).tolist()
    assert target.read(np.array(text, np.int32)).logits[0] == pytest.approx(plain_row(target, text), abs=1e-4)
    text.append(int(chance.integers(1, V)))
    for _ in range(4):
        parent = np.array([chance.integers(-1, node) if node else ROOT for node in range(9)], np.int32)
        paths: list[list[int]] = []
        for node in range(9):
            paths.append([*(paths[parent[node]] if parent[node] >= 0 else []), int(chance.integers(1, V))])
        token = np.array([path[-1] for path in paths], np.int32)
        depth = np.array([len(path) for path in paths], np.int32)
        shown = target.verify(text[-1], Draft(token, parent, depth))
        for row, path in enumerate([[], *paths]):
            assert shown.logits[row] == pytest.approx(plain_row(target, [*text, *path]), abs=1e-4)
        at, taken = int(chance.integers(-1, 9)), []
        while at >= 0:
            taken.insert(0, at)
            at = int(parent[at])
        target.keep(tuple(taken))
        text += [*(int(token[node]) for node in taken), int(chance.integers(1, V))]


class Reader(Silent):
    """Wants to see the prompt."""

    verified_top_k, verified_prompt = 3, True

    def __init__(self) -> None:
        self.shown: list[VerifiedRows] = []

    def read_prompt(self, request: RequestView, shown: VerifiedRows, start: int) -> None:
        assert start == 0
        assert shown.token.tolist() == request.tokens.tolist()
        self.shown.append(shown)


def test_the_prompt_is_shown_to_those_who_ask_for_it(target: TorchTarget) -> None:
    reader, clock = Reader(), itertools.count()
    asked = [(prompt, None) for prompt in PROMPTS]
    found = answer_all(target, reader, asked, DraftBudget(4, 4), 24, lambda: next(clock), harvest=True)
    assert [answer.output.tolist() for answer in found] == [greedy(target, prompt) for prompt in PROMPTS]
    for prompt, shown in zip(PROMPTS, reader.shown, strict=True):
        assert shown.parent is not None
        assert shown.parent.tolist() == list(range(-1, len(prompt.tokens) - 1))
        for at in range(len(prompt.tokens)):
            row = plain_row(target, prompt.tokens[: at + 1].tolist())
            assert row[shown.top_ids[at]] == pytest.approx(np.sort(row)[::-1][:3], abs=1e-4)
    reader.shown.clear()
    answer_all(target, reader, asked[:1], DraftBudget(4, 4), 4, lambda: next(clock))
    assert not reader.shown


def test_grammars_bind_at_every_node(target: TorchTarget) -> None:
    vocabulary = Vocabulary([None, *(bytes([96 + i % 26 + 1]) for i in range(V - 1))], [END])
    spec = GrammarSpec.regex("(ab|cd[ef]|g{2,5}h)*z")
    grammar = LatticeEngine().compile(spec, vocabulary, GrammarLimits())
    expected = [greedy(target, prompt, grammar) for prompt in PROMPTS]
    known = {f"prompt-{i}": output for i, output in enumerate(expected)}
    for drafter in (Silent(), Guesser(known), NgramTrieDrafter()):
        found = answers(target, drafter, DraftBudget(12, 12), grammar)
        assert [answer.output.tolist() for answer in found] == expected


class Template:
    """What of a tokenizer is used."""

    def apply_chat_template(self, messages: list[dict[str, str]], **options: bool) -> str:
        return messages[-1]["content"]

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [len(word) for word in text.split()]}


def test_records_are_read_with_what_they_ask_for(tmp_path: Path) -> None:
    tool = {"name": "f", "parameters": {"type": "dict", "properties": {"x": {"type": "float"}, "y": {"type": "any"}}}}
    records = [
        {"messages": [{"content": "a bb ccc"}], "category": "c", "json_schema": {"type": "object"}},
        {"messages": [{"content": "a"}], "tools": [tool]},
        {"messages": [{"content": "too long " * 9}]},
        {"messages": [{"content": "CREATE TABLE a (b, c)"}], "category": "text2sql"},
        {"messages": [{"content": "CREATE TABLE a (b, c)"}], "category": "code"},
    ]
    packed = tmp_path / "some.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    first, second, query, code = read_prompts([packed], Template(), longest=10)
    assert (first.category, first.tokens.tolist()) == ("c", [1, 2, 3])
    assert first.spec == GrammarSpec.json_schema({"type": "object"})
    assert (query.spec, code.spec) == (sql({"a": ("b", "c")}), None)
    assert second.category == "some"
    assert second.spec is not None
    (call,) = second.spec.payload["items"]["anyOf"]
    assert call["properties"]["name"] == {"const": "f"}
    arguments = call["properties"]["arguments"]
    assert arguments["type"] == "object"
    assert arguments["properties"] == {"x": {"type": "number"}, "y": {}}
    plain = tmp_path / "bad.jsonl"
    cut = json.dumps({"messages": [{"content": "CREATE TABLE a (b"}], "category": "text2sql"})
    for text, reason in (("{}", "no messages"), ("{", "bad.jsonl"), (cut, "prompts: table 'a'")):
        plain.write_text(text)
        with pytest.raises(LatticeworkError, match=reason):
            read_prompts([plain], Template(), 10)
