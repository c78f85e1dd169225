"""The ``latticework`` command. Imports what a command needs only when it runs, so ``--help`` is instant."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help=(
        "Structured decoding, drafting, logits processors and search for vLLM.\n\n"
        "Nothing here starts a server: latticework is switched on by the engine's own flags,\n\n"
        '  vllm serve MODEL --structured-outputs-config \'{"backend": "latticework"}\'\n\n'
        "and controlled per request by [bold]lw_*[/bold] options in [bold]vllm_xargs[/bold]."
    ),
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check that latticework will work in the engine installed here.

    Looks at the engine's version, at every place of the engine that latticework plugs into, at the plugins
    registered here, at the deployment settings, and at what a CPU-only vLLM needs in addition.

    Ends with status 1 if something that is installed or configured would not work.
    """
    from latticework.adapters.cli.doctor import collect

    with Console(stderr=True).status("importing the engine and looking at it"):
        checks = collect()
    ok = all(check.ok for check in checks)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        table = Table(box=None, pad_edge=False)
        for column in ("", "area", "what", "found"):
            table.add_column(column, overflow="fold")
        for check in checks:
            mark = "[green]ok[/green]" if check.ok else "[red]no[/red]"
            table.add_row(mark, check.area, _plain(check.name), _plain(check.detail))
        console = Console()
        console.print(table)
        console.print("[green]everything works[/green]" if ok else "[red]something would not work[/red]")
    raise typer.Exit(0 if ok else 1)


@app.command()
def plugins(as_json: AsJson = False) -> None:
    """List the plugins registered here, with the options a request can give them.

    An option is written as shown, in [bold]vllm_xargs[/bold]: the drafter's name in [bold]lw_drafter[/bold], its
    option [bold]max_match[/bold] in [bold]lw_drafter_max_match[/bold].
    """
    from latticework.adapters.cli.listing import listing

    entries = listing()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("select with", "option", "type", "default", "what it is"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        selector = f"lw_{entry.role} = {entry.name}"
        table.add_row(f"[bold]{_plain(selector)}[/bold]", "", "", "", _plain(entry.summary))
        for option in entry.options:
            table.add_row("", *map(_plain, (option.name, option.type, option.default, option.description)))
    Console().print(table)


def _plain(text: str) -> str:
    """Text in which brackets are brackets, not markup."""
    return text.replace("[", r"\[")
