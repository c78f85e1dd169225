"""``lw_*`` options of a request, in SGLang's ``custom_params``: checked in the server, before anything is scheduled.

``custom_params`` is a field of ``sampling_params`` on ``/generate`` and a top-level field of the OpenAI endpoints; both
end in the sampling parameters that the tokenizer manager gets. ``lw_choice`` is ours on this engine only: SGLang has
no field for a list of answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from latticework.adapters.sglang import grammar, speculation

if TYPE_CHECKING:
    from latticework.plugins.options import RequestOptions

_CHOICE = "lw_choice"
_NOT_IN_BEAMS = ("lw_drafter", "lw_processor", "lw_search", "lw_trace")


def custom_of(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ``custom_params`` of one prompt, which SGLang takes as they come.

    Raises:
        LatticeworkError: They are no object.
    """
    custom = params.get("custom_params")
    if custom is None or isinstance(custom, Mapping):
        return custom or {}
    from latticework.structured.errors import LatticeworkError

    raise LatticeworkError("custom_params", f"must be an object, got a {type(custom).__name__}")


def with_choice(params: dict[str, Any]) -> dict[str, Any]:
    """``lw_choice`` as the regular expression that means the same.

    Raises:
        LatticeworkError: It is not a list of texts, or not the only constraint; or as :func:`custom_of` says.
    """
    from latticework.structured import GrammarSpec
    from latticework.structured.errors import LatticeworkError

    custom = custom_of(params)
    if _CHOICE not in custom:
        return params
    if any(params.get(field) for field in ("json_schema", "regex", "ebnf", "structural_tag")):
        raise LatticeworkError(_CHOICE, "not supported together with another constraint")
    try:
        choices = GrammarSpec.choice(custom[_CHOICE]).payload
    except LatticeworkError as error:
        raise LatticeworkError(_CHOICE, error.reason) from None
    rest = {key: value for key, value in custom.items() if key != _CHOICE}
    return {**params, "custom_params": rest, "regex": choice_pattern(choices)}


def choice_pattern(choices: Iterable[str]) -> str:
    """The regular expression of a list of texts."""
    return "|".join(f"(?:{re.escape(text)})" for text in choices)


def check(params: Mapping[str, Any]) -> RequestOptions:
    """The options of a request.

    Raises:
        LatticeworkError: One of them is wrong, does not fit the request, or needs a flag this server was not given.
    """
    from latticework.plugins.base import Role
    from latticework.plugins.serving import check_options
    from latticework.structured.errors import LatticeworkError

    custom = custom_of(params)
    missing = {}
    if not serves_grammars():
        missing[Role.ENGINE] = grammar.FLAG
    if (algorithm := speculation.algorithm()) != speculation.NAME:
        missing[Role.DRAFTER] = speculation.FLAG
        if algorithm is not None:  # SGLang's own algorithms verify without asking our processors
            missing[Role.PROCESSOR] = speculation.FLAG
    options = check_options(custom, _temperature(params), missing)
    if (params.get("beam_width") or 1) > 1 and (option := next((key for key in _NOT_IN_BEAMS if key in custom), None)):
        raise LatticeworkError(option, "not supported together with beam search")
    return options


def serves_grammars() -> bool:
    """Whether this server's grammar backend is latticework."""
    from sglang.srt.runtime_context import get_exec

    return bool(get_exec().kernel.grammar_backend == grammar.NAME)


def _temperature(params: Mapping[str, Any]) -> float | None:
    """0.0 where SGLang decodes greedily."""
    return 0.0 if params.get("top_k") == 1 else params.get("temperature")
