"""Our grammars behind vLLM's interface, without a server: masks, end tokens, failures that stay with one request."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("vllm.v1.structured_output.backend_types")

from vllm.sampling_params import StructuredOutputsParams
from vllm.v1.structured_output.backend_types import StructuredOutputBackend, StructuredOutputGrammar
from vllm.v1.structured_output.request import get_structured_output_key

from latticework.adapters.vllm.backend import LatticeworkBackend, LatticeworkGrammar
from latticework.adapters.vllm.compiling import spec_of_key, spec_of_params
from latticework.structured import GrammarKind, GrammarSpec, LatticeworkError, Vocabulary, compile_grammar
from latticework.structured.bitmask import indices, words

END, STOP = 256, 257
VOCABULARY = Vocabulary([*(bytes([byte]) for byte in range(256)), None, None], [END], special_ids=[STOP])


def grammar(pattern: str, vocabulary: Vocabulary = VOCABULARY) -> LatticeworkGrammar:
    return LatticeworkGrammar(compile_grammar(GrammarSpec.regex(pattern), vocabulary))


def allowed(position: LatticeworkGrammar, width: int = words(VOCABULARY.size)) -> set[int]:
    rows = torch.full((3, width), -1, dtype=torch.int32)
    position.fill_bitmask(rows, 1)
    assert (rows[[0, 2]] == -1).all(), "other rows were written"
    return set(indices(rows[1].numpy()).tolist())


@pytest.mark.parametrize(
    ("ours", "theirs"), [(LatticeworkGrammar, StructuredOutputGrammar), (LatticeworkBackend, StructuredOutputBackend)]
)
def test_interfaces_are_implemented_as_declared(ours, theirs):
    assert not ours.__abstractmethods__
    for name in theirs.__abstractmethods__:
        declared = list(inspect.signature(getattr(theirs, name)).parameters)
        assert list(inspect.signature(getattr(ours, name)).parameters)[: len(declared)] == declared


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        (StructuredOutputsParams(json={"type": "integer"}), GrammarKind.JSON_SCHEMA),
        (StructuredOutputsParams(json='{"type": "integer"}'), GrammarKind.JSON_SCHEMA),
        (StructuredOutputsParams(json_object=True), GrammarKind.JSON_OBJECT),
        (StructuredOutputsParams(regex="a"), GrammarKind.REGEX),
        (StructuredOutputsParams(choice=["a", "b"]), GrammarKind.CHOICE),
        (StructuredOutputsParams(grammar='root ::= "a"'), GrammarKind.GRAMMAR),
        (StructuredOutputsParams(structural_tag='{"type": "structural_tag"}'), GrammarKind.STRUCTURAL_TAG),
    ],
)
def test_front_end_and_engine_mean_the_same_constraint(params, kind):
    spec = spec_of_params(params)
    assert spec.kind is kind
    assert spec_of_key(*get_structured_output_key(params)).key == spec.key


@pytest.mark.parametrize("detail", [{"whitespace_pattern": " "}, {"disable_any_whitespace": True}])
def test_details_of_other_backends_are_refused(detail):
    with pytest.raises(LatticeworkError) as refused:
        spec_of_params(StructuredOutputsParams(json_object=True, **detail))
    assert refused.value.field in detail


def test_end_tokens_wait_for_the_end():
    position = grammar("ab?", VOCABULARY.with_eos([END, STOP]))
    assert allowed(position) == {ord("a")}
    assert position.accept_tokens("r", [ord("a")])
    assert allowed(position) == {ord("b"), END, STOP}
    assert position.accept_tokens("r", [STOP])
    assert position.is_terminated()
    assert position.accept_tokens("r", [ord("x")]), "vLLM's backends ignore what follows the end"
    position.rollback(1)
    assert not position.is_terminated()
    assert allowed(position) == {ord("b"), END, STOP}


def test_drafts_are_trimmed_and_change_nothing():
    position = grammar("abc")
    assert position.validate_tokens([97, 98, 120, 99]) == [97, 98]
    assert position.validate_tokens([120]) == []
    assert allowed(position) == {97}


def test_refused_token_is_an_error_with_a_reason():
    position = grammar("abc")
    assert not position.accept_tokens("r", [97, 120])
    assert position.failure is not None
    assert "120" in position.failure


def test_model_with_fewer_logits_than_tokens():
    position = grammar("[a-z]")
    assert allowed(position, width=words(104)) == {byte for byte in range(ord("a"), ord("z") + 1) if byte < 128}


class Exploding:
    """A matcher whose mask cannot be computed after ``depth`` tokens, as when a budget is used up."""

    def __init__(self, inner, depth: int) -> None:
        self._inner, self._depth, self.written = inner, depth, 0

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def accept(self, token_id: int) -> bool:
        accepted = self._inner.accept(token_id)
        self.written += accepted
        return accepted

    def rollback(self, count: int) -> None:
        self._inner.rollback(count)
        self.written -= count

    def fill_bitmask(self, row: np.ndarray) -> None:
        if self.written == self._depth:
            row.fill(-1)
            raise MemoryError("too many states")
        self._inner.fill_bitmask(row)


def exploding(pattern: str, depth: int) -> LatticeworkGrammar:
    position = grammar(pattern)
    position._enforcement._matcher = Exploding(position._enforcement._matcher, depth)
    return position


def test_mask_that_fails_ends_its_request_only():
    position = exploding("a*", 2)
    assert position.accept_tokens("r", [97, 97])
    assert allowed(position) == {STOP}, "whatever is sampled must be neither text nor its end"
    assert position.failure is None
    assert not position.accept_tokens("r", [STOP])
    assert "too many states" in (position.failure or "")


def test_mask_that_fails_on_a_rejected_draft_does_no_harm():
    position = exploding("(ab|ac)*", 2)
    assert position.accept_tokens("r", [97])
    assert position.accept_tokens("r", [98])  # drafted
    assert allowed(position) == {STOP}
    position.rollback(1)
    assert position.accept_tokens("r", [99]), "the model wrote something else"
    assert position.accept_tokens("r", [97])
    assert allowed(position) == {98, 99}


IN_PROCESS = """
from latticework.adapters.vllm.plugin import register
register(); register()
from vllm import SamplingParams
from vllm.config.structured_outputs import StructuredOutputsConfig
from vllm.exceptions import VLLMValidationError
from vllm.v1.structured_output import StructuredOutputManager
assert StructuredOutputsConfig(backend="latticework").backend == "latticework"
assert StructuredOutputsConfig(backend="xgrammar").backend == "xgrammar"
try:
    StructuredOutputsConfig(backend="nonsense")
    raise SystemExit("any backend name is accepted")
except ValueError:
    pass
for method in ("__init__", "_create_grammar", "accept_tokens"):
    layer, layers = getattr(StructuredOutputManager, method), 0
    while layer is not None:
        layers, layer = layers + hasattr(layer, "__latticework__"), getattr(layer, "__wrapped__", None)
    assert layers == 1, (method, layers)
try:
    SamplingParams(extra_args={"lw_search": "best_of_n"}).verify(None, None, None, None)
    raise SystemExit("lw_search is dropped silently offline")
except VLLMValidationError as error:
    assert "lw_search" in str(error) and "offline" in str(error), error
print("fine")
"""


def test_hooks_in_one_process():
    """What the offline ``LLM`` class goes through, in a process of its own: hooks stay until it ends."""
    done = subprocess.run([sys.executable, "-c", IN_PROCESS], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip().endswith("fine"), done.stderr[-3000:]
