"""The ``latticework datastore`` commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

app = typer.Typer(
    no_args_is_help=True,
    help="Datastores: what the drafters [bold]retrieval[/bold] and [bold]dense_retrieval[/bold] draft from.",
    rich_markup_mode="rich",
)
_ERRORS = Console(stderr=True)


@app.callback()
def _group() -> None:
    """A group, though it has one command."""


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(help="Where to write the datastore.")],
    files: Annotated[list[Path], typer.Argument(help="Text files, or folders of them; each file is a document.")],
    tokenizer: Annotated[Path, typer.Option(help="The served model's folder, or its tokenizer.json.")],
    pattern: Annotated[str, typer.Option(help="Which files of a folder are taken.")] = "*.txt",
    model: Annotated[
        Path | None, typer.Option(help="Also index this model's hidden states (reads every token with it).")
    ] = None,
    width: Annotated[int, typer.Option(min=1, max=1024, help="Principal components of a hidden state kept.")] = 64,
) -> None:
    """Build a datastore out of text files.

    The deployment's settings then name it, and requests use the name:

      LATTICEWORK_DRAFTER__DATASTORES='{"manuals": "/data/manuals"}'

      lw_drafter = retrieval, lw_drafter_datastore = manuals

    It holds the text in the clear, and whoever may name it can be drafted any of it.
    """
    from latticework.structured.errors import LatticeworkError

    try:
        tokens = _build(folder, files, tokenizer, pattern, model, width)
    except LatticeworkError as error:
        _ERRORS.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    typer.echo(f"{tokens} tokens in {folder}")


def _build(folder: Path, paths: list[Path], tokenizer: Path, pattern: str, model: Path | None, width: int) -> int:
    from latticework.plugins.corpora import encoded, index_hidden_states, load_tokenizer, text_files
    from latticework.speculative.datastore import add_dense
    from latticework.speculative.datastore import build as build_datastore

    files = text_files(paths, pattern)
    loaded, fingerprint = load_tokenizer(tokenizer)
    with _progress() as progress:
        reading = progress.add_task("reading", total=sum(file.stat().st_size for file in files))
        sorting = progress.add_task("sorting", total=None)
        documents = encoded(files, loaded, lambda size: progress.advance(reading, size))
        datastore = build_datastore(
            folder, documents, fingerprint, lambda done, rounds: progress.update(sorting, completed=done, total=rounds)
        )
        if model is not None:
            thinking = progress.add_task("indexing", total=len(datastore.tokens))
            index = index_hidden_states(datastore, model, width, lambda size: progress.advance(thinking, size))
            add_dense(folder, index)
    return len(datastore.tokens)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=_ERRORS, transient=True)
