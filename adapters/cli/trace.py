"""The ``latticework trace`` commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from latticework.adapters.cli.helping import command

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Traces of single requests: what was forced, drafted, accepted and rejected, token by token.",
)
_ERRORS = Console(stderr=True)


@app.callback()
def _group() -> None:
    """Keeps ``show`` a command of its own while it is the only one."""


@command(app)
def show(
    file: Annotated[Path, typer.Argument(help="A file that a server wrote for a request with lw_trace.")],
    html: Annotated[Path | None, typer.Option(help="Also write a page: point at a token to see all of it.")] = None,
    steps: Annotated[bool, typer.Option(help="List the steps, each with its time and what it rejected.")] = True,
) -> None:
    """Show how one request was decoded.

    The answer is printed in colour: tokens that the grammar [bold]forced[/bold] (no other was legal), those that a
    drafter guessed and the model [bold]accepted[/bold], and those that the model chose itself. Then what each step
    wrote, how many tokens were legal there, and which drafted tokens were rejected.

    A server writes traces into the folder that its settings name, and refuses [bold]lw_trace[/bold] without one:

      export LATTICEWORK_TRACE__DIRECTORY=/var/lib/latticework/traces

      vllm serve MODEL ...

      curl ... -d '{"model": ..., "vllm_xargs": {"lw_trace": true}}'

      latticework trace show /var/lib/.../ID.trace.json --html trace.html

    Ends with status 2 if the file is no trace, and says where.
    """
    from latticework.adapters.cli.trace_text import print_trace
    from latticework.plugins.trace_file import read_trace
    from latticework.structured.errors import LatticeworkError

    try:
        trace = read_trace(file)
    except LatticeworkError as error:
        _ERRORS.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if html is not None:
        from latticework.adapters.cli.trace_html import page

        html.write_text(page(trace), encoding="utf-8")
        _ERRORS.print(f"written to {html}", markup=False, highlight=False)
    print_trace(Console(highlight=False), trace, steps=steps)
