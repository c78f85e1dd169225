"""``lw_grammar``: the constraint made out of a request's prompt, put where vLLM has constraints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from latticework.adapters.vllm import options
from latticework.plugins.input_grammars import OPTION, grammar_for_request, without_options
from latticework.plugins.inputs import RequestInput
from latticework.structured import GrammarKind, GrammarSpec

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams, StructuredOutputsParams

#: By kind, vLLM's field for it.
_FIELDS = {
    GrammarKind.JSON_SCHEMA: "json",
    GrammarKind.REGEX: "regex",
    GrammarKind.CHOICE: "choice",
    GrammarKind.GRAMMAR: "grammar",
    GrammarKind.STRUCTURAL_TAG: "structural_tag",
}


def with_grammar(client: Any, params: SamplingParams, prompt: object, prompt_text: str | None) -> SamplingParams:
    """The parameters with the constraint that the request's options make; themselves if they ask for none.

    Args:
        client: vLLM's ``AsyncLLM``.
        params: What the client asked for. Left as they are: callers reuse them.
        prompt: As ``AsyncLLM.generate`` gets it.
        prompt_text: Likewise.

    Raises:
        LatticeworkError: It cannot be made.
    """
    if (params.extra_args or {}).get(OPTION) is None:
        return params
    config = client.vllm_config
    asked = options.check(params, config.speculative_config, config.structured_outputs_config)
    own = "structured_outputs" if params.structured_outputs is not None else None
    spec = grammar_for_request(asked, _input(client.input_processor.tokenizer, prompt, prompt_text), own)
    if spec is None:
        return params
    changed = params.clone()
    changed.structured_outputs = params_of_spec(spec)
    changed.extra_args = without_options(params.extra_args or {})
    return changed


def params_of_spec(spec: GrammarSpec) -> StructuredOutputsParams:
    """A constraint as vLLM says it."""
    from vllm.sampling_params import StructuredOutputsParams

    if spec.kind is GrammarKind.JSON_OBJECT:
        return StructuredOutputsParams(json_object=True)
    payload = spec.payload if spec.kind is GrammarKind.CHOICE else spec.text
    return StructuredOutputsParams(**{_FIELDS[spec.kind]: payload})


def _input(tokenizer: Any, prompt: object, prompt_text: str | None) -> RequestInput:
    tokens: Any = getattr(prompt, "prompt_token_ids", None)
    text = prompt_text or (prompt if isinstance(prompt, str) else None)
    if isinstance(prompt, Mapping):
        text, tokens = text or prompt.get("prompt"), prompt.get("prompt_token_ids")
    return RequestInput(text, tokens, tokenizer.decode if tokenizer is not None else None)
