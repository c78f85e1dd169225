"""The ``latticework bench walks`` command."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from latticework.bench.walks.run import CaseWalks

_ERRORS = Console(stderr=True)
_JUDGES = ("jsonschema", "regex")


def walks(
    data: Annotated[
        Path | None,
        typer.Option(help="Schemas, a case a line, plain or gzip. By default those of ../shared/data."),
    ] = None,
    schemas: Annotated[int, typer.Option(min=1, help="How many that compile, from the first line on.")] = 300,
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens to choose at random, in all.")] = 2_000_000,
    case: Annotated[str | None, typer.Option(help="Only the case of this name, with all of the tokens.")] = None,
    tokenizer: Annotated[
        str, typer.Option(help="llama3, qwen3, smollm2, bytes, or the path of a tokenizer.json.")
    ] = "llama3",
    seed: Annotated[int, typer.Option(help="Another seed gives other walks.")] = 0,
    json_: Annotated[Path | None, typer.Option("--json", help="Write everything that was found to this file.")] = None,
) -> None:
    """Write random documents that the masks of engine lattice allow, and have a validator judge them.

    Each walk chooses tokens out of the masks at random, is then steered to an end, token by token through the masks,
    and the document is judged by the jsonschema package, formats included. Every document must be valid, no walk may
    get [bold]stuck[/bold] or find [bold]no end[/bold], and the reference interpreter must agree with each step. Walks
    take turns with four layouts: keys in declared order and in any, with and without blanks.

    Ends with status 1 if there was a fault. A fault repeats: the same seed and case give the same walks.

      latticework bench walks --schemas 20 --tokens 50000 --tokenizer smollm2
    """
    from latticework.structured.errors import LatticeworkError

    missing = [name for name in _JUDGES if util.find_spec(name) is None]
    if missing:
        _ERRORS.print(f"the judge is not installed: pip install {' '.join(missing)}", markup=False)
        raise typer.Exit(2)
    try:
        with tempfile.TemporaryDirectory(prefix="latticework-bench-") as scratch:
            found = _walk(data, schemas, tokens, case, tokenizer, seed, Path(scratch))
    except LatticeworkError as error:
        _ERRORS.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if json_ is not None:
        json_.write_text(json.dumps([_record(each) for each in found]), encoding="utf-8")
    _show(found)
    if any(each.faults for each in found):
        raise typer.Exit(1)


def _walk(
    data: Path | None, schemas: int, tokens: int, case: str | None, tokenizer: str, seed: int, scratch: Path
) -> list[CaseWalks]:
    from latticework.bench.cases import BUILTIN, read_cases
    from latticework.bench.data import default_cases
    from latticework.bench.tokenizers import find_tokenizer
    from latticework.bench.walks.run import walk_cases
    from latticework.structured.errors import LatticeworkError

    path = data or default_cases()
    if path is None:
        _ERRORS.print("no benchmark data here: walking through the built-in schemas; see --data", markup=False)
    elif not path.is_file():
        raise LatticeworkError("data", f"{path}: no such file")
    cases = read_cases(path) if path else list(BUILTIN)
    if case is not None:
        cases = [each for each in cases if each.name == case]
        if not cases:
            raise LatticeworkError("case", f"no case is called {case!r}")
    schemas = min(schemas, len(cases))
    vocabulary = find_tokenizer(tokenizer, scratch).vocabulary()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found = []
    with Progress(*columns, console=_ERRORS, transient=True) as progress:
        task = progress.add_task("schemas", total=schemas)
        for walks in walk_cases(cases, vocabulary, schemas=schemas, tokens=tokens, seed=seed):
            found.append(walks)
            progress.update(task, advance=not walks.refused, description=walks.name)
    return found


def _record(walks: CaseWalks) -> dict[str, object]:
    return {
        "name": walks.name,
        "refused": walks.refused,
        "tokens": walks.tokens,
        "steered": walks.steered,
        "fates": {fate.value: count for fate, count in walks.fates.items()},
        "faults": [
            {
                "number": number,
                "layout": layout,
                "fate": walk.fate.value,
                "reason": walk.reason,
                "text": walk.text.decode(errors="backslashreplace"),
            }
            for number, layout, walk in walks.faults
        ],
    }


def _show(found: list[CaseWalks]) -> None:
    from latticework.bench.walks.walk import Fate

    fates = sum((walks.fates for walks in found), Counter[Fate]())
    columns = ("schemas", "refused", "documents", "random tokens", "steered tokens", *Fate)
    row = (
        sum(not walks.refused for walks in found),
        sum(bool(walks.refused) for walks in found),
        fates.total(),
        sum(walks.tokens for walks in found),
        sum(walks.steered for walks in found),
        *(fates[fate] for fate in Fate),
    )
    _print(columns, [tuple(f"{count:,}" for count in row)])
    faults = [
        (walks.name, str(number), layout, walk.fate.value, walk.reason, walk.text[-60:].decode(errors="replace"))
        for walks in found
        for number, layout, walk in walks.faults
    ]
    if faults:
        _print(("case", "walk", "layout", "fate", "reason", "the text ends with"), faults)


def _print(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    (console if console.is_terminal else Console(width=200)).print(table)
