"""The ``latticework bench drafts`` command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from latticework.bench.drafts.replay import Tally
    from latticework.bench.drafts.report import Row
    from latticework.bench.drafts.traces import Trace
    from latticework.speculative.drafter import DraftBudget, Drafter

    #: Runs one drafter, telling how many requests are done.
    Run = Callable[[Drafter, DraftBudget, Callable[[int], None]], dict[str, Tally]]

_ERRORS = Console(stderr=True)
#: Prompts that are longer are left out: a small model on a CPU reads a thousand tokens in about a second.
_LONGEST = 1100


def drafts(
    drafter: Annotated[
        str, typer.Option(help="Comma-separated names of drafters, as 'latticework plugins' lists them.")
    ] = "fusion,prompt_lookup",
    traces: Annotated[
        Path | None,
        typer.Option(help="Recorded answers (.npz). By default those of ../shared/data or $LATTICEWORK_DATA."),
    ] = None,
    shape: Annotated[str, typer.Option(help="tree, or chain for engines that verify nothing else.")] = "tree",
    budget: Annotated[int, typer.Option(min=1, max=1024, help="Most nodes that a step may verify.")] = 16,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the rows to this file.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw tokens a step by category (.png, .svg; needs matplotlib).")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Verify every node with this model (a folder), in place of the recording.")
    ] = None,
    prompts: Annotated[
        list[Path] | None,
        typer.Option(help="With --model: records to answer (.jsonl, .jsonl.gz) in place of the traces' prompts."),
    ] = None,
    grammar: Annotated[
        bool, typer.Option(help="With --prompts: constrain answers to the records' schemas, tools or tables.")
    ] = True,
    blind: Annotated[bool, typer.Option(help="With --prompts: hide the grammar from the drafters.")] = False,
    harvest: Annotated[
        bool,
        typer.Option(help="With --model: show drafters what the model held likely at every position of the prompt."),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many requests, evenly spaced.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="With --model: longest answer.")] = 160,
) -> None:
    """Replay recorded answers through drafters: tokens a step, nodes a step, and what drafting costs.

    Every step drafts, keeps what agrees with the recording, and adds the recording's next token:
    [bold]tokens/step[/bold] counts that one too, so 1 is plain decoding. A drafter lives through all traces in their
    order and keeps what its memory keeps. Times are wall time of one request alone, the drafter's own calls only.

    With [bold]--model[/bold] a real model answers, greedily, and every node of every tree is verified, so drafters see
    what the model held likely at rejected nodes too.

      latticework bench drafts --drafter fusion --shape chain --budget 8 --json chain.json

      latticework bench drafts --model MODEL --prompts json_extract.jsonl.gz --drafter auto,fusion --budget 24
    """
    from latticework.structured.errors import LatticeworkError

    try:
        names = [name.strip() for name in drafter.split(",") if name.strip()]
        if model is None:
            run, count = _recorded(_limited(_traces(traces), limit))
        else:
            run, count = _with_model(model, traces, prompts, grammar, blind, harvest, limit, max_tokens)
        found = _measure(names, shape, budget, run, count)
    except LatticeworkError as error:
        _ERRORS.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if json_ is not None:
        json_.write_text(json.dumps({"rows": found}, indent=1), encoding="utf-8")
    _show(found)
    if picture is not None:
        from latticework.bench.drafts.report import draw

        how = "replayed" if model is None else "verified by the model"
        draw(found, picture, f"Tokens a step, {how}: {shape} of at most {budget}")
        _ERRORS.print(f"drawn to {picture}", markup=False, highlight=False)


def _measure(names: list[str], shape: str, budget: int, run: Run, count: int) -> list[Row]:
    from latticework.bench.drafts.report import rows
    from latticework.plugins.base import Role
    from latticework.plugins.options import RequestOptions
    from latticework.plugins.registry import registry
    from latticework.speculative.drafter import DraftBudget
    from latticework.structured.errors import LatticeworkError

    if shape not in {"tree", "chain"}:
        raise LatticeworkError("shape", f"{shape!r} is neither tree nor chain")
    chosen = {name: RequestOptions.parse({"lw_drafter": name}).drafter for name in names}
    limits = DraftBudget(budget, budget, branching=shape == "tree")
    found: list[Row] = []
    with _progress() as progress:
        for name, selection in chosen.items():
            if selection is None:
                raise LatticeworkError("drafter", "off drafts nothing")
            task = progress.add_task(name, total=count)
            made = registry().factory(Role.DRAFTER, name).create(selection.options)
            tallies = run(made, limits, lambda done, task=task: progress.update(task, completed=done))  # type: ignore[misc]
            found += rows(name, shape, budget, tallies)
    return found


def _recorded(recorded: list[Trace]) -> tuple[Run, int]:
    from latticework.bench.drafts.replay import replay

    def run(drafter: Drafter, budget: DraftBudget, progress: Callable[[int], None]) -> dict[str, Tally]:
        return replay(drafter, recorded, budget, progress=progress)

    return run, len(recorded)


def _with_model(
    folder: Path,
    traces: Path | None,
    files: list[Path] | None,
    grammar: bool,
    blind: bool,
    harvest: bool,
    limit: int | None,
    max_tokens: int,
) -> tuple[Run, int]:
    import time

    from transformers import AutoTokenizer

    from latticework.bench.drafts.model_replay import answer_all, by_category
    from latticework.bench.drafts.prompts import of_traces, read_prompts
    from latticework.bench.drafts.torch_target import TorchTarget
    from latticework.plugins.vocabularies import compile_constraint

    target = TorchTarget(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = _limited(read_prompts(files, tokenizer, _LONGEST) if files else of_traces(_traces(traces)), limit)
    with _ERRORS.status("compiling constraints"):
        constrained = [
            (
                prompt,
                compile_constraint(prompt.spec, tokenizer, target.vocabulary_size, end_ids=target.end_ids)
                if grammar and prompt.spec is not None
                else None,
            )
            for prompt in asked
        ]

    def run(drafter: Drafter, budget: DraftBudget, progress: Callable[[int], None]) -> dict[str, Tally]:
        clock = time.perf_counter_ns
        written = answer_all(
            target, drafter, constrained, budget, max_tokens, clock, progress, blind=blind, harvest=harvest
        )
        return by_category(written)

    return run, len(constrained)


def _limited(items: list, limit: int | None) -> list:  # type: ignore[type-arg]
    """At most ``limit`` of them, evenly spaced."""
    if limit is None or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def _traces(path: Path | None) -> list[Trace]:
    from latticework.bench.data import data_directory
    from latticework.bench.drafts.traces import read_traces
    from latticework.structured.errors import LatticeworkError

    if path is None:
        directory = data_directory()
        if directory is None:
            raise LatticeworkError("traces", "no benchmark data here: name a file with --traces")
        path = directory / "traces" / "dev.npz"
    return read_traces(path)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=_ERRORS, transient=True)


def _show(found: list[Row]) -> None:
    from latticework.bench.drafts.report import COLUMNS, cells

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(*cells(row), style="bold" if row["category"] == "all" else None)
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)
