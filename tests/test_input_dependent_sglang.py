"""``lw_grammar`` in SGLang's front end: the constraint takes its place, or the request is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("sglang.srt.runtime_context")

from latticework.adapters.sglang import input_grammars, options
from latticework.adapters.sglang.compiling import spec_of_params
from latticework.structured import GrammarSpec
from latticework.structured.errors import LatticeworkError

ASKED = {"lw_grammar": "entity_disambiguation", "lw_grammar_candidates": ["Union"], "lw_engine": "lattice"}
PROMPTS = ["Who are the [START_ENT] EU [END_ENT]?", "And the [START_ENT] UN [END_ENT]?"]
MANAGER = SimpleNamespace(tokenizer=SimpleNamespace(decode=lambda token_ids: bytes(token_ids).decode()))


@pytest.fixture(autouse=True)
def our_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "serves_grammars", lambda: True)
    monkeypatch.setattr(options.speculation, "algorithm", lambda: None)


def request(params: Any, text: Any = None, input_ids: Any = None) -> Any:
    return SimpleNamespace(sampling_params=params, text=text, input_ids=input_ids)


def made(obj: Any) -> list[str]:
    input_grammars.apply(MANAGER, obj)
    each = obj.sampling_params if isinstance(obj.sampling_params, list) else [obj.sampling_params]
    return [params.get("regex", "") for params in each]


@pytest.mark.parametrize("as_tokens", [False, True])
def test_each_prompt_gets_its_own_constraint(as_tokens: bool) -> None:
    params = {"custom_params": ASKED, "temperature": 0}
    tokens = [list(prompt.encode()) for prompt in PROMPTS]
    one = request(params, input_ids=tokens[0]) if as_tokens else request(params, PROMPTS[0])
    both = request(params, input_ids=tokens) if as_tokens else request(params, PROMPTS)
    assert made(one) == [r"(?:EU\ \[Union\])"]
    assert made(both) == [r"(?:EU\ \[Union\])", r"(?:UN\ \[Union\])"]
    assert one.sampling_params["custom_params"] == {"lw_engine": "lattice"}
    assert params == {"custom_params": ASKED, "temperature": 0}, "the caller's parameters were changed"


def test_requests_that_ask_for_none_are_left_alone() -> None:
    for params in ({}, {"custom_params": {"lw_engine": "lattice"}}, [{"regex": "a"}, {}]):
        obj = request(params, PROMPTS)
        input_grammars.apply(MANAGER, obj)
        assert obj.sampling_params is params


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(LatticeworkError, match="of its own"):
        made(request({"custom_params": ASKED, "regex": "a"}, PROMPTS[0]))
    with pytest.raises(LatticeworkError, match="no text"):
        made(request({"custom_params": ASKED}))


@pytest.mark.parametrize(
    "spec",
    [
        GrammarSpec.json_schema({"type": "null"}),
        GrammarSpec.json_object(),
        GrammarSpec.regex("a+"),
        GrammarSpec.grammar('root ::= "a"'),
        GrammarSpec.structural_tag({"format": {"type": "any_text"}}),
    ],
)
def test_every_kind_of_constraint_survives_the_way_through_sglang(spec: GrammarSpec) -> None:
    assert spec_of_params(input_grammars.fields_of_spec(spec)) == spec
