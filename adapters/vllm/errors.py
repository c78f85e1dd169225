"""Bad input as vLLM wants to be told about it."""

from __future__ import annotations

from latticework.structured.errors import LatticeworkError


def refusal(error: LatticeworkError) -> Exception:
    """The exception that vLLM's servers turn into a 400 whose message names the field and the reason."""
    from vllm.exceptions import VLLMValidationError

    refused: Exception = VLLMValidationError(f"{error.field}: {error.reason}", parameter=error.field)
    return refused
