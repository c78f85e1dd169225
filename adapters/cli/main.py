"""The ``latticework`` command. Imports what a command needs only when it runs, so ``--help`` is instant."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from latticework.adapters.cli import ab, bench, datastore, grammar, trace

if TYPE_CHECKING:
    from latticework.adapters.cli.doctor import Check

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help=(
        "Structured decoding, drafting, logits processors and search for vLLM and SGLang.\n\n"
        "Nothing here starts a server: latticework is switched on by the engine's own flags,\n\n"
        '  vllm serve MODEL --structured-outputs-config \'{"backend": "latticework"}\'\n\n'
        "  python -m sglang.launch_server --model-path MODEL --grammar-backend latticework\n\n"
        "and controlled per request by [bold]lw_*[/bold] options in [bold]vllm_xargs[/bold] (vLLM) or "
        "[bold]custom_params[/bold] (SGLang)."
    ),
)

app.add_typer(ab.app, name="ab")
app.add_typer(bench.app, name="bench")
app.add_typer(grammar.app, name="grammar")
app.add_typer(datastore.app, name="datastore")
app.add_typer(trace.app, name="trace")

AllSeams = Annotated[bool, typer.Option("--all", help="List every seam, not only the missing ones.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
Wheel = Annotated[
    Path | None,
    typer.Option(help="Look at this wheel of an engine, whatever its platform, instead.", metavar="FILE"),
]


@app.command()
def doctor(wheel: Wheel = None, as_json: AsJson = False, all_seams: AllSeams = False) -> None:
    """Check that latticework will work in the engine installed here.

    Looks at the engine's version, at every place of the engine that latticework plugs into (a seam), at the
    plugins registered here, at the deployment settings, and at what an engine needs in addition on a CPU.

    Before an upgrade, look at the new release. Its source is read, nothing of it is installed or run:

      pip download --no-deps vllm && latticework doctor --wheel vllm-*.whl

    Ends with status 1 if something that is installed or configured, or in the wheel, would not work.
    """
    checks = _wheel_checks(wheel) if wheel else _checks_here()
    ok = all(check.ok for check in checks)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        table = Table(box=None, pad_edge=False)
        for column in ("", "area", "what", "found"):
            table.add_column(column, overflow="fold")
        for check in checks if all_seams else _seams_in_short(checks):
            mark = "[green]ok[/green]" if check.ok else "[red]no[/red]"
            table.add_row(mark, check.area, _plain(check.name), _plain(check.detail))
        console = Console()
        console.print(table)
        console.print("[green]everything works[/green]" if ok else "[red]something would not work[/red]")
    raise typer.Exit(0 if ok else 1)


@app.command()
def plugins(as_json: AsJson = False) -> None:
    """List the plugins registered here, with the options a request can give them.

    Both go into [bold]vllm_xargs[/bold] (SGLang: [bold]custom_params[/bold]) as shown: the drafter's name as
    [bold]lw_drafter[/bold], its option [bold]max_match[/bold] as [bold]lw_drafter_max_match[/bold].
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
        selector = f"lw_{entry.role} = {entry.name}" if entry.name else f"lw_{entry.role}_..."
        table.add_row(f"[bold]{_plain(selector)}[/bold]", "", "", "", _plain(entry.summary))
        for option in entry.options:
            table.add_row("", *map(_plain, (option.name, option.type, option.default, option.description)))
    Console().print(table)


def _checks_here() -> list[Check]:
    from latticework.adapters.cli.doctor import collect

    with Console(stderr=True).status("importing the engine and looking at it"):
        return collect()


def _wheel_checks(wheel: Path) -> list[Check]:
    from latticework.adapters.cli.doctor_wheel import WheelError, check_wheel

    try:
        with Console(stderr=True).status(f"unpacking {wheel.name} and reading its source"):
            return check_wheel(wheel)
    except WheelError as error:
        raise typer.BadParameter(str(error), param_hint="--wheel") from error


def _seams_in_short(checks: list[Check]) -> list[Check]:
    """The checks, with the seams of a capability in one row where none is missing."""
    short: list[Check] = []
    for (area, capability), group in groupby(checks, lambda check: (check.area, check.name.partition(":")[0])):
        members = list(group)
        if area == "seam" and len(members) > 1 and all(check.ok for check in members):
            detail = f"all {len(members)} places found"
            members = [replace(members[0], name=capability, detail=detail)]
        short += members
    return short


def _plain(text: str) -> str:
    """Text in which brackets are brackets, not markup."""
    return text.replace("[", r"\[")
