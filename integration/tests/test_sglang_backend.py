"""The grammar backend against SGLang's own classes, without an engine: masks, rollback, copies, reasoning, failures."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sglang.srt.constrained.base_grammar_backend import GrammarRow, InvalidGrammarObject
from sglang.srt.sampling.sampling_params import SamplingParams

from integration.model import model_path
from latticework.adapters.sglang import backend as module
from latticework.adapters.sglang.backend import LatticeworkGrammar, LatticeworkGrammarBackend, ReasoningGrammarBackend
from latticework.adapters.sglang.verification import grammar_mask
from latticework.speculative.draft import Draft
from latticework.structured.bitmask import indices

pytestmark = pytest.mark.engine  # needs the model's tokenizer

SCHEMA = json.dumps({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]})


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path())


@pytest.fixture(scope="module")
def size(tokenizer):
    return len(tokenizer)


@pytest.fixture
def backend(tokenizer, size):
    return LatticeworkGrammarBackend(tokenizer, size, {tokenizer.eos_token_id})


@pytest.fixture
def reasoning(monkeypatch, backend, tokenizer):
    serving = SimpleNamespace(reasoning_parser="deepseek-r1", enable_strict_thinking=False)
    monkeypatch.setattr(module, "get_serving", lambda: serving)
    parser = module.ReasoningParser(model_type="deepseek-r1", stream_reasoning=False)
    return ReasoningGrammarBackend(backend, parser, tokenizer)


def grammar_of(backend, kind, text, require_reasoning=False, **params):
    """As ``GrammarManager.process_req_with_grammar`` asks for it."""
    backend.latticework_attend(SamplingParams(**params))
    key = backend.get_request_grammar_key((kind, text), input_ids=[1], thinking_budget=None)
    value, hit = backend.get_cached_or_future_value(key, require_reasoning)
    if not hit:
        value = value.result()
        backend.set_cache(key, value.copy())
    return value


def allowed(grammar, size):
    mask = grammar.allocate_vocab_mask(size, 2, "cpu")
    grammar.fill_vocab_mask(mask, 1)
    assert (mask[0] == -1).all(), "other rows stay as they are"
    return set(indices(mask[1].numpy()).tolist())


def feed(grammar, tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    for token in ids:
        grammar.accept_token(token)
    return len(ids)


@pytest.mark.parametrize(
    ("kind", "text", "answer"),
    [
        ("json", SCHEMA, '{"a": true}'),
        ("json", "$$ANY$$", "{}"),
        ("regex", "[0-9]+", "12"),
        ("ebnf", 'root ::= "yes" | "no"', "yes"),
    ],
)
def test_each_kind_is_followed_to_its_end(backend, tokenizer, size, kind, text, answer):
    grammar = grammar_of(backend, kind, text)
    feed(grammar, tokenizer, answer)
    assert tokenizer.eos_token_id in allowed(grammar, size)
    grammar.accept_token(tokenizer.eos_token_id)
    assert grammar.is_terminated()


def test_rollback_and_copies(backend, tokenizer, size):
    grammar = grammar_of(backend, "regex", "(ab)+")
    before = allowed(grammar, size)
    copy = grammar.copy()
    count = feed(grammar, tokenizer, "ab")
    assert allowed(copy, size) == before
    grammar.rollback(count)
    assert allowed(grammar, size) == before


def test_templates_stay_at_the_start(backend, tokenizer, size):
    first = grammar_of(backend, "regex", "ab")
    before = allowed(first, size)
    feed(first, tokenizer, "ab")
    assert allowed(grammar_of(backend, "regex", "ab"), size) == before


def test_a_batch_of_masks(backend, size):
    first, second = grammar_of(backend, "regex", "a"), grammar_of(backend, "regex", "b")
    mask = first.allocate_vocab_mask(size, 3, "cpu")
    first.fill_vocab_mask_batched([GrammarRow(0, first), GrammarRow(2, second)], mask)
    assert set(indices(mask[0].numpy()).tolist()) == allowed(first, size)
    assert (mask[1] == -1).all()
    assert set(indices(mask[2].numpy()).tolist()) == allowed(second, size)


def test_masks_forbid(backend, size):
    grammar = grammar_of(backend, "regex", "a")
    mask = grammar.allocate_vocab_mask(size, 1, "cpu")
    grammar.fill_vocab_mask(mask, 0)
    logits = torch.zeros(1, size)
    grammar.apply_vocab_mask(logits, mask)
    assert set(torch.nonzero(logits[0] == 0).flatten().tolist()) == allowed(grammar, size)


def test_forced_text_is_jumped_over(backend, tokenizer):
    grammar = grammar_of(backend, "regex", "hello world, (a|b)")
    tokens, text = grammar.try_jump_forward(tokenizer)
    assert text == ""
    assert "hello world,".startswith(tokenizer.decode(tokens))
    for token in tokens:
        grammar.accept_token(token)


def test_the_requests_engine_and_stop_tokens_are_part_of_the_constraint(backend, tokenizer, size):
    stop = tokenizer.encode("z", add_special_tokens=False)[0]
    assert grammar_of(backend, "regex", "ab").compiled.engine == "lattice"
    chosen = grammar_of(backend, "regex", "ab", custom_params={"lw_engine": "llguidance"}, stop_token_ids=[stop])
    assert chosen.compiled.engine == "llguidance"
    feed(chosen, tokenizer, "ab")
    assert allowed(chosen, size) == {tokenizer.eos_token_id, stop}


def test_a_refused_constraint_says_why(backend):
    grammar = grammar_of(backend, "regex", "([")
    assert isinstance(grammar, InvalidGrammarObject)
    assert "regex" in grammar.error_message


def test_a_forbidden_token_is_the_error_sglang_expects(backend, tokenizer):
    with pytest.raises(ValueError, match="forbids"):
        feed(grammar_of(backend, "regex", "a"), tokenizer, "b")


def test_reasoning_is_free_and_the_answer_is_not(reasoning, tokenizer, size):
    grammar = grammar_of(reasoning, "regex", "[0-9]+", require_reasoning=True)
    mask = grammar.allocate_vocab_mask(size, 1, "cpu")
    feed(grammar, tokenizer, "Let me think.")
    grammar.fill_vocab_mask(mask, 0)
    assert (mask == -1).all()
    feed(grammar, tokenizer, "</think>")
    count = feed(grammar, tokenizer, "12")
    grammar.fill_vocab_mask(mask, 0)
    assert set(indices(mask[0].numpy()).tolist()) < set(range(size))
    with pytest.raises(ValueError, match="forbids"):
        feed(grammar, tokenizer, "x")
    grammar.rollback(count)
    feed(grammar, tokenizer, "7")


def test_requests_that_do_not_reason_are_constrained_at_once(reasoning, tokenizer):
    with pytest.raises(ValueError, match="forbids"):
        feed(grammar_of(reasoning, "regex", "[0-9]+"), tokenizer, "x")


def request(grammar):
    return SimpleNamespace(grammar=grammar, rid="r1")


def test_every_node_of_a_tree_has_its_own_mask(backend, tokenizer, size):
    """Two branches, one of them forbidden with what follows it; the grammar ends where it began."""
    grammar = grammar_of(backend, "regex", "a[bc]d")
    a, b, c, d, x = (tokenizer.encode(letter, add_special_tokens=False)[0] for letter in "abcdx")
    end = tokenizer.eos_token_id
    tree = Draft(
        np.array([a, x, b, b, c, d, end, d], np.int32),
        np.array([-1, -1, 0, 1, 0, 2, 5, 6], np.int32),
        np.array([1, 1, 2, 2, 2, 3, 4, 5], np.int32),
    )
    before = allowed(grammar, size)
    drafts = [tree]
    mask = grammar_mask([request(grammar)], drafts, len(tree) + 2, size).vocab_mask
    rows = [set(indices(row.numpy()).tolist()) for row in mask]
    everything = set(range(mask.shape[1] * 32))
    assert rows[0] == before
    assert {b, c} <= rows[1]
    assert x not in rows[1]
    assert rows[2] == everything, "forbidden: never reached"
    assert rows[3] == rows[5] == {d}
    assert rows[4] == everything, "below something forbidden"
    assert rows[6] == {end}
    assert rows[7] == rows[8] == everything, "after the end: never reached"
    assert rows[9] == everything, "padding"
    assert allowed(grammar, size) == before
    assert drafts[0] is tree


class FailingMatcher:
    """Fails at the second token."""

    def __init__(self, inner):
        self._inner, self._depth = inner, 0

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def accept(self, token):
        self._depth += 1
        if self._depth > 1:
            raise RuntimeError("broken")
        return self._inner.accept(token)


def test_a_grammar_that_fails_on_a_draft_costs_the_draft(backend, tokenizer, size):
    grammar = grammar_of(backend, "regex", "abc")
    assert isinstance(grammar, LatticeworkGrammar)
    grammar._position._matcher = FailingMatcher(grammar._position._matcher)
    a, b = (tokenizer.encode(letter, add_special_tokens=False)[0] for letter in "ab")
    drafts = [Draft.chain([a, b])]
    assert grammar_mask([request(grammar)], drafts, 3, size) is not None
    assert len(drafts[0]) == 0
