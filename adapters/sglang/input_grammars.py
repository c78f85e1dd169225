"""``lw_grammar``: the constraint made out of a request's prompt, put where SGLang has constraints."""

from __future__ import annotations

from typing import Any

from latticework.adapters.sglang import options
from latticework.plugins.input_grammars import OPTION, grammar_for_request, without_options
from latticework.plugins.inputs import RequestInput
from latticework.structured import GrammarKind, GrammarSpec

_FIELDS = {
    GrammarKind.JSON_SCHEMA: "json_schema",
    GrammarKind.REGEX: "regex",
    GrammarKind.GRAMMAR: "ebnf",
    GrammarKind.STRUCTURAL_TAG: "structural_tag",
}


def asks(params: Any) -> bool:
    """Whether sampling parameters ask for a constraint made out of the prompt."""
    custom = params.get("custom_params") if isinstance(params, dict) else None
    return isinstance(custom, dict) and custom.get(OPTION) is not None


def apply(manager: Any, obj: Any) -> None:
    """Give each prompt of a request the constraint that its options make.

    Args:
        manager: SGLang's tokenizer manager.
        obj: The client's ``GenerateReqInput``; its sampling parameters become a list if it has several prompts.

    Raises:
        LatticeworkError: One cannot be made.
    """
    params = obj.sampling_params
    if isinstance(params, list):
        if any(map(asks, params)):
            prompts = _prompts(obj, len(params))
            obj.sampling_params = [_applied(manager, *pair) for pair in zip(params, prompts, strict=True)]
    elif asks(params):
        prompts = _prompts(obj, None)
        made = [_applied(manager, params, prompt) for prompt in prompts]
        obj.sampling_params = made if isinstance(obj.text, list) or _is_batch(obj.input_ids) else made[0]


def _applied(manager: Any, params: dict[str, Any], prompt: RequestInput) -> dict[str, Any]:
    if not asks(params):
        return params
    own = next((field for field in _FIELDS.values() if params.get(field)), None)
    spec = grammar_for_request(options.check(params), _decoding(manager, prompt), own)
    if spec is None:
        return params
    return {**params, "custom_params": without_options(params["custom_params"]), **fields_of_spec(spec)}


def fields_of_spec(spec: GrammarSpec) -> dict[str, str]:
    """A constraint as SGLang says it, in its sampling parameters."""
    match spec.kind:
        case GrammarKind.JSON_OBJECT:
            return {"json_schema": "$$ANY$$"}
        case GrammarKind.CHOICE:
            return {"regex": options.choice_pattern(spec.payload)}
    return {_FIELDS[spec.kind]: spec.text}


def _prompts(obj: Any, count: int | None) -> list[RequestInput]:
    """The request's prompts; ``count`` of the same one if it has one only."""
    if isinstance(obj.text, list):
        return [RequestInput(text=text) for text in obj.text]
    if _is_batch(obj.input_ids):
        return [RequestInput(token_ids=tokens) for tokens in obj.input_ids]
    return [RequestInput(text=obj.text, token_ids=obj.input_ids)] * (count or 1)


def _is_batch(token_ids: Any) -> bool:
    return bool(token_ids) and not isinstance(token_ids[0], int)


def _decoding(manager: Any, prompt: RequestInput) -> RequestInput:
    decode = manager.tokenizer.decode if manager.tokenizer is not None else None
    return RequestInput(prompt.text, prompt.token_ids, decode)
