"""The ``latticework grammar`` commands."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from latticework.adapters.cli.helping import command

if TYPE_CHECKING:
    from latticework.structured.json_options import JsonOptions
    from latticework.structured.spec import GrammarSpec
    from latticework.structured.vocabulary import Vocabulary

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Look into constraints: what they were compiled to, and why a text is not allowed.",
)
_ERRORS = Console(stderr=True)


@app.callback()
def _group() -> None:
    """Keeps ``explain`` a command of its own while it is the only one."""


@command(app)
def explain(
    schema: Annotated[str | None, typer.Option(help="A JSON Schema: a file, - for standard input, or JSON.")] = None,
    regex: Annotated[str | None, typer.Option(help="A regular expression.")] = None,
    choice: Annotated[list[str] | None, typer.Option(help="One of several texts; repeat the option.")] = None,
    grammar: Annotated[str | None, typer.Option(help="A grammar, GBNF or Lark: a file, -, or the source.")] = None,
    tag: Annotated[str | None, typer.Option(help="A structural tag: a file, -, or JSON.")] = None,
    text: Annotated[
        str | None, typer.Option(help="The text to explain: a file (without its last newline), or the text itself.")
    ] = None,
    order: Annotated[str, typer.Option(help="Order of an object's keys: declared, as served, or any.")] = "declared",
    whitespace: Annotated[str, typer.Option(help="Layout of JSON: line, as served, compact or flexible.")] = "line",
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Show tokens too: llama3, qwen3, smollm2, or the path of a tokenizer.json."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page, with the keywords to blame marked.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say where a text leaves a constraint's language, what was allowed there, and why: by which keyword.

    The constraint is what engine [bold]lattice[/bold] serves. A keyword is to blame if the text goes on without it:
    that is tried out, so the answer holds for every combination of keywords. Where several must be lifted together they
    are joined by [bold]and[/bold]; where lifting any one is enough, by [bold]or[/bold]. A schema that does not compile
    is explained in the same way.

    Without --text: what was compiled. Which lexemes are read where, with examples, and the sizes of their tables.

    Ends with status 0 if the text is allowed, 1 if it is not, 2 if the constraint is refused.

      latticework grammar explain --schema person.json --text '{"name": "Ada", "age": -1}'

      latticework grammar explain --regex '[0-9]{4}-[0-9]{2}' --text 2026-1x --tokenizer smollm2
    """
    from latticework.adapters.cli.explain_report import report
    from latticework.adapters.cli.explain_text import print_report
    from latticework.structured.errors import LatticeworkError

    try:
        spec = _spec(schema, regex, choice, grammar, tag, _options(order, whitespace))
        with tempfile.TemporaryDirectory(prefix="latticework-explain-") as scratch:
            vocabulary = _vocabulary(tokenizer, Path(scratch))
            with _ERRORS.status("looking for what is to blame"):
                found = report(spec, vocabulary, _text(text), with_tokens=tokenizer is not None)
    except LatticeworkError as error:
        _ERRORS.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if html is not None:
        from latticework.adapters.cli.explain_html import page

        html.write_text(page(found), encoding="utf-8")
        _ERRORS.print(f"written to {html}", markup=False, highlight=False)
    if as_json:
        typer.echo(json.dumps(found.document()))
    else:
        print_report(Console(), found)
    raise typer.Exit(found.status)


def _spec(
    schema: str | None,
    regex: str | None,
    choice: list[str] | None,
    grammar: str | None,
    tag: str | None,
    options: JsonOptions,
) -> GrammarSpec:
    from latticework.structured.errors import LatticeworkError
    from latticework.structured.spec import GrammarSpec

    makers = {
        "schema": (schema, lambda value: GrammarSpec.json_schema(_read(value), options)),
        "regex": (regex, GrammarSpec.regex),
        "choice": (choice, GrammarSpec.choice),
        "grammar": (grammar, lambda value: GrammarSpec.grammar(_read(value))),
        "tag": (tag, lambda value: GrammarSpec.structural_tag(_read(value))),
    }
    given = {name: (value, make) for name, (value, make) in makers.items() if value}
    if len(given) != 1:
        raise LatticeworkError("constraint", f"give exactly one of {', '.join(f'--{name}' for name in makers)}")
    ((value, make),) = given.values()
    spec: GrammarSpec = make(value)  # type: ignore[no-untyped-call]
    return spec


def _options(order: str, whitespace: str) -> JsonOptions:
    from latticework.structured.errors import LatticeworkError
    from latticework.structured.json_options import JsonOptions, Order, Whitespace

    try:
        return JsonOptions(order=Order(order), whitespace=Whitespace(whitespace))
    except ValueError as error:
        raise LatticeworkError("order" if order not in list(Order) else "whitespace", str(error)) from error


def _vocabulary(tokenizer: str | None, scratch: Path) -> Vocabulary:
    from latticework.bench.tokenizers import BYTES, find_tokenizer

    return find_tokenizer(tokenizer or BYTES, scratch).vocabulary()


def _text(text: str | None) -> bytes | None:
    if text is None:
        return None
    return Path(text).read_bytes().removesuffix(b"\n") if _is_file(text) else text.encode()


def _read(source: str) -> str:
    if source == "-":
        return sys.stdin.read()
    return Path(source).read_text(encoding="utf-8") if _is_file(source) else source


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long, or not a name at all
        return False
