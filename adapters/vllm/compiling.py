"""From vLLM's way of saying what is constrained to our own, for the front end, the engine and the worker.

Every process compiles for itself, because compiled grammars hold native objects that do not travel. Each has one
vocabulary per tokenizer and the process-wide cache of :func:`latticework.structured.compile_grammar`, whose key holds
the constraint, the vocabulary with its end tokens, the engine and the limits: two requests never share by accident.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from latticework.adapters.vllm.grammar import NAME as BACKEND
from latticework.plugins.options import RequestOptions
from latticework.plugins.vocabularies import compile_constraint, try_first_mask
from latticework.structured import (
    CompiledGrammar,
    GrammarKind,
    GrammarSpec,
    LatticeworkError,
    UnsupportedGrammarError,
)

if TYPE_CHECKING:
    from vllm.config import ModelConfig
    from vllm.sampling_params import SamplingParams, StructuredOutputsParams

#: By the name of vLLM's ``StructuredOutputOptions``.
_SPECS: dict[str, Callable[[str], GrammarSpec]] = {
    "JSON": GrammarSpec.json_schema,
    "JSON_OBJECT": lambda _: GrammarSpec.json_object(),
    "REGEX": GrammarSpec.regex,
    "CHOICE": GrammarSpec.choice,
    "GRAMMAR": GrammarSpec.grammar,
    "STRUCTURAL_TAG": GrammarSpec.structural_tag,
}
#: Details of a constraint that vLLM lets a request set for some of its backends, and that ours does not have.
_NOT_SERVED = ("disable_any_whitespace", "disable_additional_properties", "whitespace_pattern")


def spec_of_key(request_type: Any, text: str) -> GrammarSpec:
    """The constraint that vLLM calls ``(StructuredOutputOptions, text)``. Raises ``GrammarError``."""
    return _SPECS[request_type.name](text)


def spec_of_params(params: StructuredOutputsParams) -> GrammarSpec:
    """The constraint of a request.

    Raises:
        GrammarError: It is malformed.
        UnsupportedGrammarError: It asks for a detail that vLLM offers with other backends only.
    """
    for name in _NOT_SERVED:
        if getattr(params, name):
            raise UnsupportedGrammarError(name, f"not supported by the structured-outputs backend {BACKEND!r}")
    if params.json is not None:
        return GrammarSpec.json_schema(params.json)
    if params.regex is not None:
        return GrammarSpec.regex(params.regex)
    if params.choice is not None:
        return GrammarSpec.choice(params.choice)
    if params.grammar is not None:
        return GrammarSpec.grammar(params.grammar)
    if params.structural_tag is not None:
        return GrammarSpec.structural_tag(params.structural_tag)
    if params.json_object:
        return GrammarSpec.json_object()
    raise UnsupportedGrammarError(GrammarKind.JSON_OBJECT, "must be true if it is given")


def admit(params: SamplingParams, model_config: ModelConfig, tokenizer: Any) -> CompiledGrammar:
    """Compile the constraint of ``params``, and leave it in a form that reaches the engine whole.

    Raises:
        LatticeworkError: It must be refused.
    """
    constraint = params.structured_outputs
    if model_config.is_diffusion:
        raise LatticeworkError("structured_outputs", "not supported for diffusion language models")
    if tokenizer is None:
        raise LatticeworkError("structured_outputs", "needs a tokenizer, but the server skips its initialization")
    if constraint._backend not in (None, BACKEND):
        raise LatticeworkError(
            "structured_outputs",
            f"the request asks for backend {constraint._backend!r}, but the server's is {BACKEND!r}",
        )
    spec = spec_of_params(constraint)
    ends = {*params.stop_token_ids, tokenizer.eos_token_id} - {None} if params.stop_token_ids else ()
    options = RequestOptions.parse(params.extra_args)
    grammar = compile_constraint(spec, tokenizer, model_config.get_vocab_size(), options, end_ids=ends)
    constraint._backend = BACKEND
    if constraint.json is not None:
        # As text: nested objects and large integers do not survive vLLM's copies and its transport in every form.
        constraint.json = spec.text
    return grammar


def admit_and_try(params: SamplingParams, model_config: ModelConfig, tokenizer: Any) -> CompiledGrammar:
    """:func:`admit`, then compute the first mask: what is too expensive from the start is refused, not failed later.

    Raises:
        LatticeworkError: It must be refused.
    """
    grammar = admit(params, model_config, tokenizer)
    try_first_mask(grammar)
    return grammar
