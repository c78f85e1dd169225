"""From SGLang's way of saying what is constrained to our own, for the server and the scheduler process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from latticework.structured import GrammarSpec

#: SGLang's spelling of "any JSON object".
_ANY_JSON = "$$ANY$$"

#: By the name of the kind in SGLang's grammar keys.
_SPECS: dict[str, Callable[[str], GrammarSpec]] = {
    "json": lambda text: GrammarSpec.json_object() if text == _ANY_JSON else GrammarSpec.json_schema(text),
    "regex": GrammarSpec.regex,
    "ebnf": GrammarSpec.grammar,
    "full_assistant_ebnf": GrammarSpec.grammar,
    "structural_tag": GrammarSpec.structural_tag,
}
#: By the name of the field in SGLang's sampling parameters.
_KINDS = {"json_schema": "json", "regex": "regex", "ebnf": "ebnf", "structural_tag": "structural_tag"}


def spec_of_key(kind: str, text: str) -> GrammarSpec:
    """The constraint that SGLang calls ``(kind, text)``. Raises ``GrammarError``."""
    return _SPECS[kind](text)


def spec_of_params(params: Mapping[str, Any]) -> GrammarSpec | None:
    """The constraint in a request's sampling parameters as the client sent them. Raises ``GrammarError``."""
    for field, kind in _KINDS.items():
        if params.get(field):
            return spec_of_key(kind, params[field])
    return None


def end_ids(tokenizer: Any, model_ends: Iterable[int] | None, stop_token_ids: Iterable[int] | None) -> frozenset[int]:
    """The tokens at which SGLang ends a request: the model's, the tokenizer's, and those the request names."""
    additional = getattr(tokenizer, "additional_stop_token_ids", None)
    ends = {*(model_ends or ()), tokenizer.eos_token_id, *(additional or ()), *(stop_token_ids or ())}
    return frozenset(ends - {None})
