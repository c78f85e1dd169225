"""``lw_grammar`` in vLLM's front end: the constraint takes its place, or the request is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vllm.sampling_params")

from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from latticework.adapters.vllm.compiling import spec_of_params
from latticework.adapters.vllm.input_grammars import params_of_spec, with_grammar
from latticework.structured import GrammarSpec
from latticework.structured.errors import LatticeworkError

ASKED = {"lw_grammar": "entity_disambiguation", "lw_grammar_candidates": ["Union", "Europe"], "lw_engine": "lattice"}
PROMPT = "Who are the [START_ENT] EU [END_ENT]?"


def client(backend: str = "latticework") -> Any:
    config = SimpleNamespace(speculative_config=None, structured_outputs_config=SimpleNamespace(backend=backend))
    tokenizer = SimpleNamespace(decode=lambda token_ids: bytes(token_ids).decode())
    return SimpleNamespace(vllm_config=config, input_processor=SimpleNamespace(tokenizer=tokenizer))


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (PROMPT, None),
        ({"prompt": PROMPT, "prompt_token_ids": [1, 2]}, None),
        ({"prompt_token_ids": list(PROMPT.encode())}, None),
        (SimpleNamespace(prompt_token_ids=list(PROMPT.encode())), None),
        ({"prompt_token_ids": [1, 2]}, PROMPT),
    ],
)
def test_the_constraint_is_made_of_the_prompt_in_every_form(prompt: object, text: str | None) -> None:
    asked = SamplingParams(temperature=0, extra_args=ASKED)
    made = with_grammar(client(), asked, prompt, text)
    assert made.structured_outputs.choice == ["EU [Union]", "EU [Europe]"]
    assert made.extra_args == {"lw_engine": "lattice"}
    assert (asked.structured_outputs, asked.extra_args) == (None, ASKED), "the caller's parameters were changed"


def test_requests_that_ask_for_none_are_left_alone() -> None:
    for extra in (None, {"lw_engine": "lattice"}, {"lw_grammar": None}):
        params = SamplingParams(extra_args=extra)
        assert with_grammar(client(), params, PROMPT, None) is params


def test_what_cannot_be_is_refused() -> None:
    both = SamplingParams(extra_args=ASKED, structured_outputs=StructuredOutputsParams(regex="a"))
    with pytest.raises(LatticeworkError, match="of its own"):
        with_grammar(client(), both, PROMPT, None)
    with pytest.raises(LatticeworkError, match="another grammar backend"):
        with_grammar(client("xgrammar"), SamplingParams(extra_args=ASKED), PROMPT, None)
    with pytest.raises(LatticeworkError, match="no text"):
        with_grammar(client(), SamplingParams(extra_args=ASKED), object(), None)


@pytest.mark.parametrize(
    "spec",
    [
        GrammarSpec.json_schema({"type": "null"}),
        GrammarSpec.json_object(),
        GrammarSpec.regex("a+"),
        GrammarSpec.choice(["a", "b"]),
        GrammarSpec.grammar('root ::= "a"'),
        GrammarSpec.structural_tag({"format": {"type": "any_text"}}),
    ],
)
def test_every_kind_of_constraint_survives_the_way_through_vllm(spec: GrammarSpec) -> None:
    assert spec_of_params(params_of_spec(spec)) == spec
