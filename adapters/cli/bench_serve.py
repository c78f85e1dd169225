"""The ``latticework bench serve`` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latticework.bench.records import Record
    from latticework.bench.serve.arms import Arm
    from latticework.bench.serve.run import Load, Measured

_ERRORS = Console(stderr=True)


def serve(
    arm: Annotated[
        list[str],
        typer.Option(
            help="What to compare, once for each: NAME, then what sets it apart, separated by commas: options of "
            "requests (lw_drafter=fusion), a server (url=http://...). Ratios are to the first."
        ),
    ],
    url: Annotated[str, typer.Option(help="The server of arms that name none.")] = "http://127.0.0.1:8000",
    prompts: Annotated[
        str,
        typer.Option(
            help="Comma-separated: kinds of the benchmark data (../shared/data or $LATTICEWORK_DATA: json_extract, "
            "toolcall, text2sql, code, ...), or files of records with 'messages' (.jsonl, .jsonl.gz)."
        ),
    ] = "json_extract,toolcall,text2sql",
    limit: Annotated[int, typer.Option(min=1, help="Most requests of each kind, evenly spaced.")] = 8,
    longest: Annotated[int, typer.Option(min=1, help="Leave out prompts of more characters.")] = 4000,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Requests at a time.")] = 1,
    block: Annotated[
        int | None,
        typer.Option(min=1, help="Requests before the next arm's turn. By default 1, or twice the concurrency."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often all of it is sent.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0)] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 160,
    grammar: Annotated[
        bool,
        typer.Option(
            help="Constrain answers to the records' json_schema, tools or SQL over their tables, where they have one."
        ),
    ] = True,
    warm_up: Annotated[int, typer.Option(min=0, help="Requests to each arm that do not count.")] = 4,
    json_: Annotated[Path | None, typer.Option("--json", help="Write everything that was measured here.")] = None,
) -> None:
    """Measure engines that run: tokens a second, times, tokens a step, and the ratio of each arm to the first.

    The same requests are sent in every arm, in blocks that take turns: what else the machine does hits all arms
    alike. [bold]95 %[/bold] is the spread of the ratio over blocks. [bold]tokens/step[/bold] comes from the engine's
    own counters. [bold]same text[/bold] says how many answers are the first arm's, letter by letter. Each arm has
    a cache salt of its own, so that it finds no other arm's prompts in the prefix cache, and drafters learn from their
    own arm only.

    One server, two ways to draft:

      latticework bench serve --arm off,lw_drafter=off --arm guided,lw_drafter=guided

    Two servers, eight requests at a time, sampled:

      latticework bench serve --arm stock --arm ours,url=http://127.0.0.1:8001 --concurrency 8 --temperature 0.7
    """
    from latticework.bench.serve import report
    from latticework.bench.serve.arms import parse_arms
    from latticework.bench.serve.run import Load
    from latticework.structured.errors import LatticeworkError

    fields = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    block = block or (1 if concurrency == 1 else 2 * concurrency)
    load = Load(concurrency, block, rounds, warm_up, grammar, fields)
    try:
        arms = parse_arms(arm, url)
        records = _records(prompts, limit, longest)
        measured, whole = _measure(arms, records, load)
    except LatticeworkError as error:
        _ERRORS.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    settings: dict[str, Any] = {"prompts": prompts, "requests": len(records), "concurrency": concurrency}
    settings |= {"block": block, "rounds": rounds, "grammar": grammar, **fields}
    if json_ is not None:
        json_.write_text(json.dumps(report.document(measured, settings, whole=whole), indent=1), encoding="utf-8")
    show(measured)
    if not whole:
        _ERRORS.print("[red]interrupted[/red]: this is what was measured so far")
        raise typer.Exit(130)
    if any(row.failed for row in report.figures(measured)):
        raise typer.Exit(1)


def show(measured: Sequence[Measured]) -> None:
    """Print the table, and the first error of each arm that had one."""
    from latticework.bench.serve.report import COLUMNS, cells, figures

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in figures(measured):
        table.add_row(*cells(row))
    console = Console()
    (console if console.is_terminal else Console(width=170)).print(table)
    for each in measured:
        errors = [answer.error for block in each.blocks for answer in block.answers if answer.error]
        if errors:
            _ERRORS.print(f"{each.arm.name}: {errors[0]}", style="red", markup=False, highlight=False, soft_wrap=True)


def _measure(arms: Sequence[Arm], records: Sequence[Record], load: Load) -> tuple[list[Measured], bool]:
    from latticework.bench.serve.run import measure

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=_ERRORS, transient=True) as progress:
        task = progress.add_task("", total=len(records) * len(arms) * load.rounds)
        return measure(arms, records, load, lambda what, done: progress.update(task, completed=done, description=what))


def _records(prompts: str, limit: int, longest: int) -> list[Record]:
    from latticework.bench.data import data_directory
    from latticework.bench.records import mixed, read_records
    from latticework.structured.errors import LatticeworkError

    directory = data_directory()
    kinds: list[list[Record]] = []
    for name in filter(None, (part.strip() for part in prompts.split(","))):
        path = Path(name)
        if not path.suffix:
            if directory is None:
                raise LatticeworkError("prompts", f"no benchmark data here that has {name!r}: name a file of records")
            path = directory / "prompts" / f"{name}.jsonl.gz"
        kinds.append([record for record in read_records([path]) if record.characters <= longest])
    records = mixed(kinds, limit)
    if not records:
        raise LatticeworkError("prompts", "no request is left of them")
    return records
