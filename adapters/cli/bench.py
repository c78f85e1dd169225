"""The ``latticework bench`` commands."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from latticework.adapters.cli.bench_drafts import drafts
from latticework.adapters.cli.bench_serve import serve
from latticework.adapters.cli.bench_walks import walks
from latticework.adapters.cli.helping import command

if TYPE_CHECKING:
    from rich.progress import Progress

    from latticework.bench.cases import Case
    from latticework.bench.masks.plan import Run
    from latticework.bench.tokenizers import TokenizerSource

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Measure grammar engines on this machine: speed and memory ([bold]masks[/bold]), rightness "
    "([bold]conformance[/bold]), random documents ([bold]walks[/bold]). "
    "Measure drafters by replay ([bold]drafts[/bold]), and engines that run ([bold]serve[/bold]).",
)
command(app)(drafts)
command(app)(serve)
command(app)(walks)
_ERRORS = Console(stderr=True)

Engines = Annotated[
    str,
    typer.Option(
        help="Comma-separated: lattice, llguidance, xgrammar (as latticework serves with them), and llguidance-native, "
        "xgrammar-native, glrmask, maskforge (the libraries called directly; skipped with a hint if not installed)."
    ),
]
Timeout = Annotated[
    float,
    typer.Option(help="Seconds of processor time that one schema may take before its worker is replaced."),
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")]
Output = Annotated[Path | None, typer.Option("--json", help="Write everything that was measured to this file.")]


@command(app)
def masks(
    engines: Engines = "lattice,llguidance,xgrammar",
    data: Annotated[
        Path | None,
        typer.Option(
            help="Schemas with instances, a case a line, plain or gzip. By default dev.jsonl.gz of the benchmark data "
            "(../shared/data or $LATTICEWORK_DATA), else a handful of built-in schemas."
        ),
    ] = None,
    schemas: Annotated[int, typer.Option(min=1, help="How many of them, from the first line on.")] = 150,
    tokenizer: Annotated[
        str, typer.Option(help="Comma-separated: llama3, qwen3, smollm2, bytes, or paths of a tokenizer.json.")
    ] = "llama3",
    timeout: Timeout = 60.0,
    memory: Annotated[float, typer.Option(help="GiB that a worker may occupy before it is replaced.")] = 8.0,
    clock: Annotated[
        str,
        typer.Option(help="cpu: what the engine's process computed, right on a busy machine; wall: what passed."),
    ] = "cpu",
    json_: Output = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the distribution of token times (.png, .svg; needs matplotlib).")
    ] = None,
    markdown: Markdown = False,
    redraw: Annotated[
        list[Path] | None,
        typer.Option(help="Measure nothing: take what earlier runs wrote with --json, one after the other."),
    ] = None,
) -> None:
    """Measure masks: time to the first one, time per token, rightness on every instance, memory.

    For every schema the engine compiles it and computes the first mask ([bold]first mask[/bold]). Then each instance is
    walked token by token: compute the mask, accept the token; the pair is timed, through Python ([bold]token[/bold]).
    A valid instance must have every token allowed and the end after them, an invalid one must be refused somewhere: one
    that is not is a [bold]false accept[/bold], the failure that nobody notices. The protocol is MaskBench's, plus the
    check of the end.

    Each engine runs in a process of its own, one thread on one core, warmed up with built-in schemas; a schema on which
    it hangs, crashes or takes too much memory costs that schema and a restart.

      latticework bench masks --engines lattice,llguidance,glrmask --json masks.json --picture masks.png

      latticework bench masks --data my-schemas.jsonl --tokenizer path/to/tokenizer.json
    """
    from latticework.bench.masks import record

    with tempfile.TemporaryDirectory(prefix="latticework-bench-") as scratch, _told():
        _check_drawing(picture)
        if redraw:
            document = record.merged([json.loads(path.read_text(encoding="utf-8")) for path in redraw])
            runs = record.runs_from(document)
        else:
            runs, document = _measure(
                _names(engines), data, schemas, _tokenizers(tokenizer, Path(scratch)), timeout, memory, clock
            )
    if json_ is not None:
        json_.write_text(json.dumps(document), encoding="utf-8")
    _show_masks(runs, markdown)
    if picture is not None:
        from latticework.bench.masks.picture import draw

        where, count = document["data"]["source"], document["data"]["schemas"]
        draw(runs, picture, f"Token times on {count} schemas of {where}, {document['machine']['processor']}, one core")
        _ERRORS.print(f"drawn to {picture}", markup=False, highlight=False)
    if not document["whole"]:
        raise typer.Exit(130)
    if any(run.failure for run in runs):
        raise typer.Exit(1)


@command(app)
def conformance(
    engine: Engines = "lattice,llguidance,xgrammar",
    draft: Annotated[
        str, typer.Option(help="Comma-separated: 4, 6, 7, 2019-09, 2020-12, or 'all' that the suite holds.")
    ] = "2020-12",
    suite: Annotated[
        Path | None,
        typer.Option(
            help="The suite: a clone of github.com/json-schema-org/JSON-Schema-Test-Suite. By default that of the "
            "benchmark data (../shared/data or $LATTICEWORK_DATA)."
        ),
    ] = None,
    optional: Annotated[bool, typer.Option("--optional", help="The optional tests instead of the required.")] = False,
    keyword: Annotated[str, typer.Option(help="Only these files of the suite, as in 'anyOf,ref'.")] = "",
    timeout: Timeout = 20.0,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Count by keyword too, and list every group that is not right.")
    ] = False,
    markdown: Markdown = False,
    json_: Output = None,
) -> None:
    """Judge engines by the official JSON Schema test suite.

    A group (one schema and its documents) is [bold]right[/bold] if every valid document is taken and every invalid one
    refused; [bold]refused[/bold] if the engine declines the schema; [bold]over-constrained[/bold] if a valid document
    is blocked; [bold]under-constrained[/bold] if an invalid one passes silently. Groups that need other documents
    (files refRemote and vocabulary) are left out. Texts are walked byte by byte, so that no tokenizer plays a part.

      latticework bench conformance --engine lattice --draft all --verbose
    """
    from latticework.bench.conformance import judge
    from latticework.bench.conformance.suite import drafts_in, read_suite, suite_directory

    with _told():
        directory = suite_directory(suite)
        drafts = drafts_in(directory) if draft == "all" else _draft_names(draft)
        wanted = set(filter(None, keyword.split(",")))
        suites = {name: read_suite(directory, name, optional=optional) for name in drafts}
        groups = {
            name: [case for case in cases if not wanted or case.family in wanted] for name, cases in suites.items()
        }
        documents = [
            judge.document(name, *_judge(name, version, cases, timeout))
            for name in _available(_names(engine))
            for version, cases in groups.items()
        ]
    if json_ is not None:
        json_.write_text(json.dumps(documents), encoding="utf-8")
    _show_conformance(documents, markdown)
    if verbose:
        _show_conformance_details(documents)


def _measure(
    names: list[str],
    data: Path | None,
    schemas: int,
    tokenizers: Sequence[TokenizerSource],
    timeout: float,
    memory: float,
    clock: str,
) -> tuple[list[Run], dict[str, Any]]:
    from latticework.bench.masks.plan import Plan, measure
    from latticework.bench.masks.record import record
    from latticework.bench.workers.protocol import Clock
    from latticework.structured.errors import LatticeworkError

    if clock not in list(Clock):
        raise LatticeworkError("clock", f"{clock!r} is none of {', '.join(Clock)}")
    source, cases = _cases(data, schemas)
    plan = Plan(_available(names), tokenizers, cases, Clock(clock), timeout, int(memory * 2**30))
    with _progress() as progress:
        task = progress.add_task("", total=len(cases) * len(plan.engines) * len(tokenizers))
        seen: set[tuple[str, str]] = set()

        def show(run: Run) -> None:
            seen.add((run.engine, run.tokenizer))
            done = (len(seen) - 1) * len(cases) + len(run.results)
            what = f"{run.engine}, {run.tokenizer}" + ("" if run.opened else ": starting")
            progress.update(task, completed=done, description=what)

        runs, whole = measure(plan, show)
    if not whole:
        _ERRORS.print("[red]interrupted[/red]: this is what was measured so far")
    return runs, record(plan, runs, source, whole=whole)


def _judge(engine: str, draft: str, cases: Sequence[Case], timeout: float) -> tuple[str, str, list[Any]]:
    from latticework.bench.conformance.judge import judge

    with _progress() as progress:
        task = progress.add_task(f"{engine}, draft {draft}", total=len(cases))
        version, judged = judge(
            engine, cases, case_seconds=timeout, progress=lambda done: progress.update(task, completed=done)
        )
    return version, draft, judged


def _names(engines: str) -> list[str]:
    from latticework.bench.engines.registry import check_names

    names = [name.strip() for name in engines.split(",") if name.strip()]
    check_names(names)
    return names


def _available(names: list[str]) -> list[str]:
    """The engines that can be measured; what is missing is said once."""
    from latticework.bench.engines.registry import missing
    from latticework.structured.errors import LatticeworkError

    reasons = {name: missing(name) for name in names}
    for reason in filter(None, reasons.values()):
        _ERRORS.print(f"skipped: {reason}", markup=False, highlight=False, soft_wrap=True)
    available = [name for name, reason in reasons.items() if reason is None]
    if not available:
        raise LatticeworkError("engines", "none of them is installed")
    return available


def _tokenizers(names: str, scratch: Path) -> list[TokenizerSource]:
    from latticework.bench.tokenizers import find_tokenizer

    return [find_tokenizer(name.strip(), scratch) for name in names.split(",") if name.strip()]


def _cases(data: Path | None, count: int) -> tuple[str, list[Case]]:
    from latticework.bench.cases import BUILTIN, read_cases
    from latticework.bench.data import default_cases
    from latticework.structured.errors import LatticeworkError

    if data is None:
        default = default_cases()
        if default is None:
            _ERRORS.print("no benchmark data here: measuring the built-in schemas; see --data", markup=False)
            return "built in", list(BUILTIN[:count])
        data = default
    if not data.is_file():
        raise LatticeworkError("data", f"{data}: no such file")
    return data.name, read_cases(data, count)


def _check_drawing(picture: Path | None) -> None:
    """Minutes of measuring should not end in an import error."""
    from latticework.structured.errors import LatticeworkError

    if picture is not None and util.find_spec("matplotlib") is None:
        raise LatticeworkError("picture", "drawing needs matplotlib: pip install matplotlib")


def _draft_names(drafts: str) -> list[str]:
    from latticework.bench.conformance.suite import DRAFTS
    from latticework.structured.errors import LatticeworkError

    names = [name.strip() for name in drafts.split(",") if name.strip()]
    for name in names:
        if name not in DRAFTS:
            raise LatticeworkError("draft", f"{name!r} is none of {', '.join(DRAFTS)}, all")
    return names


@contextmanager
def _told() -> Iterator[None]:
    """A wrong option or a worker that cannot start is a message and status 2, not a traceback."""
    from latticework.bench.workers.supervisor import WorkerLostError
    from latticework.structured.errors import LatticeworkError

    try:
        yield
    except (LatticeworkError, WorkerLostError) as error:
        _ERRORS.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        _ERRORS.print("interrupted: nothing was written")
        raise typer.Exit(130) from None


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=_ERRORS, transient=True)


def _show_masks(runs: Sequence[Run], markdown: bool) -> None:
    from latticework.bench.masks import table as masks_table
    from latticework.bench.masks.summary import refusals, summarize

    rows = [masks_table.cells(summarize(run)) for run in runs if run.opened is not None]
    _show(masks_table.COLUMNS, rows, markdown)
    for run in runs:
        if run.failure:
            _ERRORS.print(f"[red]{run.engine}[/red] on {run.tokenizer}: {escape(run.failure)}", highlight=False)
        reasons = refusals(run)
        if reasons and not markdown:
            columns = (f"{run.engine}, {run.tokenizer}: not compiled because", "schemas", "the first")
            _console().print(_table(columns, [(reason, str(count), name) for reason, count, name in reasons]))


def _show_conformance(documents: Sequence[dict[str, Any]], markdown: bool) -> None:
    columns = ("engine", "version", "draft", "groups", *documents[0]["counts"])
    rows = [
        (each["engine"], each["version"], each["draft"], str(each["groups"]), *map(str, each["counts"].values()))
        for each in documents
    ]
    _show(columns, rows, markdown)


def _show_conformance_details(documents: Sequence[dict[str, Any]]) -> None:
    for each in documents:
        title = f"{each['engine']}, draft {each['draft']}"
        keywords = each["keywords"].items()
        rows = [(keyword, *(str(count or "") for count in found.values())) for keyword, found in keywords]
        _console().print(_table((title, *each["counts"]), rows))
        wrong = [(item["keyword"], item["group"], item["verdict"], item["detail"]) for item in each["not_right"]]
        _console().print(_table(("keyword", "group", "verdict", "detail"), wrong))


def _console() -> Console:
    """Standard output; where that is no terminal, wide enough for a table that is read by a program or in a file."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def _show(columns: Sequence[str], rows: Sequence[Sequence[str]], markdown: bool) -> None:
    if markdown:
        lines = [columns, ["---"] * len(columns), *rows]
        typer.echo("\n".join("| " + " | ".join(line) + " |" for line in lines))
    else:
        _console().print(_table(columns, rows))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table
