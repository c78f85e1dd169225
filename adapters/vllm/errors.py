"""Bad input as vLLM wants to be told about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a ``LatticeworkError`` into what vLLM's servers answer with a 400 that names the field and the reason."""
    from latticework.structured.errors import LatticeworkError

    try:
        yield
    except LatticeworkError as error:
        from vllm.exceptions import VLLMValidationError

        raise VLLMValidationError(f"{error.field}: {error.reason}", parameter=error.field) from error
