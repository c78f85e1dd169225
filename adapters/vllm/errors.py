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
    """A request nested some thousand levels deep hits Python's recursion limit before anyone of us sees it.

    Reading the body, the web framework gives up with a 400 that does not say why; a little below that, one of vLLM's
    own checks ends in a 500.
    """

    def init_exception_handler(app: Any) -> None:
        from starlette.exceptions import HTTPException

        original(app)
        unread = app.exception_handlers[HTTPException]

        async def explain_unread(request: Any, error: Exception) -> Any:
            too_deep = isinstance(error.__cause__, RecursionError)
            return await (_too_deep if too_deep else unread)(request, error)

        app.exception_handler(HTTPException)(explain_unread)
        app.exception_handler(RecursionError)(_too_deep)

    return init_exception_handler


async def _too_deep(request: Any, error: Exception) -> Any:
    from starlette.responses import JSONResponse
    from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
    from vllm.exceptions import VLLMValidationError

    refusal = VLLMValidationError("request: nested too deeply to be read", parameter="request")
    response = create_error_response(refusal)
    return JSONResponse(response.model_dump(), status_code=response.error.code)
