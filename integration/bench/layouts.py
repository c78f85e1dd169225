"""Which way of writing JSON serves best: order of keys and blanks, on the same requests, interleaved.

One server is up. Every request is sent once in each *arm* (a pair of ``lw_json_order`` and ``lw_json_whitespace``), the
arms in turn, greedy and one at a time, so that drift of the machine hits all arms alike. An answer counts as good if it
was finished within its tokens and validates. Ratios are to the arm that servers use by default.

The requests are those of the demo that ask for JSON, short answers that even a small model finishes, and ``--requests``
of each file of recorded prompts, where there are any.

``python -m integration.bench.layouts``; ``--json FILE`` also writes every answer's figures.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
from rich.console import Console
from rich.progress import track
from rich.table import Table

from integration.bench.overhead import machine, ratio
from integration.demo.tasks import tasks
from integration.server import ENGINES, Server, ServerError, serve
from integration.tests.client import chat
from latticework.bench.data import data_directory
from latticework.structured.json_options import JsonOptions, Order, Whitespace

#: Order and blanks.
Arm = tuple[Order, Whitespace]

DEFAULT: Arm = (JsonOptions().order, JsonOptions().whitespace)
ARMS: tuple[Arm, ...] = tuple(itertools.product(Order, Whitespace))
FILES = ("json_extract", "jsonschema")
MAX_TOKENS = 200
#: Longer prompts do not fit beside an answer.
MAX_CHARACTERS = 4000


@dataclass(frozen=True)
class Request:
    """A conversation and the schema of its answer."""

    messages: list[dict[str, str]]
    schema: dict[str, Any]

    @property
    def characters(self) -> int:
        """How long the conversation is."""
        return sum(len(message["content"]) for message in self.messages)


@dataclass(frozen=True)
class Answer:
    """What one request in one arm came to."""

    seconds: float
    tokens: int
    finished: bool
    valid: bool


def of_demo() -> list[Request]:
    """What the demo asks as JSON."""
    return [
        Request([{"role": "user", "content": task.prompt}], task.spec.payload)
        for task in tasks()
        if task.spec is not None and task.spec.kind == "json_schema"
    ]


def recorded(folder: Path, count: int) -> list[Request]:
    """The first ``count`` requests of each file that are short enough."""
    found = []
    for name in FILES:
        with gzip.open(folder / "prompts" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
        all_of_it = [Request(record["messages"], record["json_schema"]) for record in records]
        found += [request for request in all_of_it if request.characters <= MAX_CHARACTERS][:count]
    return found


def ask(server: Server, request: Request, arm: Arm) -> Answer | None:
    """One answer; ``None`` if the constraint is refused."""
    options = {"lw_engine": "lattice", "lw_json_order": arm[0].value, "lw_json_whitespace": arm[1].value}
    began = time.perf_counter()
    constraint = ("json", request.schema)
    response = chat(server, messages=request.messages, constraint=constraint, options=options, max_tokens=MAX_TOKENS)
    seconds = time.perf_counter() - began
    if response.status_code != 200:
        return None
    body = response.json()
    finished = body["choices"][0]["finish_reason"] == "stop"
    valid = finished and is_valid(body["choices"][0]["message"]["content"], request.schema)
    return Answer(seconds, body["usage"]["completion_tokens"], finished, valid)


def is_valid(text: str, schema: dict[str, Any]) -> bool:
    """Whether the text is a document under the schema, as another validator than ours sees it."""
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        return bool(validator(schema).is_valid(json.loads(text)))
    except ValueError:
        return False


def measure(server: Server, asked: list[Request]) -> dict[Arm, list[Answer]]:
    """The answers of each arm; a request that one arm refuses counts in none."""
    found: dict[Arm, list[Answer]] = {arm: [] for arm in ARMS}
    for number, request in enumerate(track(asked, description="requests", console=Console(stderr=True))):
        turn = number % len(ARMS)
        row = {arm: ask(server, request, arm) for arm in (*ARMS[turn:], *ARMS[:turn])}
        answers = {arm: answer for arm, answer in row.items() if answer is not None}
        if len(answers) == len(ARMS):
            for arm, answer in answers.items():
                found[arm].append(answer)
    return found


def report(found: dict[Arm, list[Answer]]) -> Table:
    """A row an arm."""
    table = Table(box=None, pad_edge=False)
    for column in ("order", "blanks", "finished", "valid", "tokens", "s an answer", "time ratio", "95 % interval"):
        table.add_column(column, no_wrap=True)
    for (order, whitespace), answers in found.items():
        middle, low, high = ratio([a.seconds for a in answers], [a.seconds for a in found[DEFAULT]])
        table.add_row(
            *(order.value, whitespace.value),
            f"{sum(a.finished for a in answers)} of {len(answers)}",
            f"{sum(a.valid for a in answers)}",
            f"{statistics.mean(a.tokens for a in answers):.1f}",
            f"{statistics.mean(a.seconds for a in answers):.2f}",
            f"{middle:.3f}",
            f"{low:.3f} to {high:.3f}",
        )
    return table


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m integration.bench.layouts", description=__doc__)
    parser.add_argument("--engine", choices=ENGINES, default="vllm")
    parser.add_argument("--model", default="", help="folder of a model (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--requests", type=int, default=8, help="how many of each file of prompts")
    parser.add_argument("--data", type=Path, help="folder with prompts/ (default: ../shared/data)")
    parser.add_argument("--json", type=Path, help="also write every answer's figures here")
    arguments = parser.parse_args()
    console = Console()
    folder = arguments.data or data_directory()
    asked = of_demo() + (recorded(folder, arguments.requests) if folder is not None else [])
    try:
        with serve(replace(ENGINES[arguments.engine].lattice, model=arguments.model)) as server:
            found = measure(server, asked)
            title = f"{arguments.engine} {metadata.version(arguments.engine)}, {server.model}, {machine()}"
    except ServerError as error:
        console.print(f"error: {error}", markup=False, style="red")
        return 1
    console.print(f"{title}, {len(found[DEFAULT])} of {len(asked)} requests, at most {MAX_TOKENS} tokens", markup=False)
    console.print(report(found))
    if arguments.json:
        raw = {" ".join(arm): [asdict(answer) for answer in answers] for arm, answers in found.items()}
        arguments.json.write_text(json.dumps({"title": title, "answers": raw}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
