"""Bad input as vLLM wants to be told about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from latticework.adapters.vllm.seams import on_import, wrap


def install() -> None:
    """Arrange for the hook; applied when the module that builds vLLM's server application is imported."""
    on_import("vllm.entrypoints.launchers.app", _hook_app)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a ``LatticeworkError`` into what vLLM's servers answer with a 400 that names the field and the reason."""
    from latticework.structured.errors import LatticeworkError

    try:
        yield
    except LatticeworkError as error:
        from vllm.exceptions import VLLMValidationError

        raise VLLMValidationError(f"{error.field}: {error.reason}", parameter=error.field) from error


def _hook_app(module: ModuleType) -> None:
    wrap(module, "init_exception_handler", _adding_too_deep)


def _adding_too_deep(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """vLLM's own checks recurse over schemas before anyone sees the request; some 960 levels end in a 500 there."""

    def init_exception_handler(app: Any) -> None:
        original(app)
        app.exception_handler(RecursionError)(_too_deep)

    return init_exception_handler


async def _too_deep(request: Any, error: Exception) -> Any:
    from starlette.responses import JSONResponse
    from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
    from vllm.exceptions import VLLMValidationError

    refusal = VLLMValidationError("request: nested too deeply to be parsed", parameter="request")
    response = create_error_response(refusal)
    return JSONResponse(response.model_dump(), status_code=response.error.code)
