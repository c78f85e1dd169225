"""Help texts written as docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import typer

F = TypeVar("F", bound=Callable[..., Any])


def command(app: typer.Typer) -> Callable[[F], F]:
    """``@app.command()``, with the docstring's paragraphs flowing to the terminal's width.

    Typer does that for the first paragraph only. Indented paragraphs are examples and stay as they are.
    """

    def register(function: F) -> F:
        paragraphs = (inspect.getdoc(function) or "").split("\n\n")
        flowing = [text if text.startswith(" ") else text.replace("\n", " ") for text in paragraphs]
        app.command(help="\n\n".join(flowing))(function)
        return function

    return register
