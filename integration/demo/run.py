"""Run the demo: ``python -m integration.demo.run`` (``make demo``).

Starts the stock engine, then the engine with latticework, sends both the same requests one after the other, prints a
table and writes a picture. Everything measured is reported, good or bad. One request of each kind warms each server up
first and is not counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from integration.demo.report import print_table, write_html, write_picture
from integration.demo.tasks import Task, tasks
from integration.launch import Engine
from integration.model import model_path
from integration.server import ENGINES, Server, ServerConfig, ServerError, serve
from latticework.structured import LatticeworkError, Vocabulary, bitmask, compile_grammar


def arms(engine: Engine) -> dict[str, ServerConfig]:
    """What is compared, by name."""
    return {
        f"stock {engine.title}": engine.stock.with_flags(*engine.tool_flags),
        "latticework": engine.lattice.with_flags(*engine.tool_flags),
    }


@dataclass(frozen=True)
class Measurement:
    """One answer.

    Attributes:
        arm: Which server.
        kind: Which kind of task.
        prompt: What was asked.
        text: The answer.
        error: Why it is wrong, or ``None``.
        tokens: Tokens written, the end token not counted.
        seconds: From sending the request to the whole answer.
        steps: Forward passes that wrote tokens: tokens less accepted drafts. ``None`` where it is not one request.
        forced: Share of the answer's tokens whose bytes the constraint left no choice about; ``None`` for free text.
    """

    arm: str
    kind: str
    prompt: str
    text: str
    error: str | None
    tokens: int
    seconds: float
    steps: int | None
    forced: float | None


def main() -> int:
    """Run both arms and report."""
    parser = argparse.ArgumentParser(prog="python -m integration.demo.run", description=__doc__)
    parser.add_argument("--engine", choices=list(ENGINES), default="vllm")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder of the picture, page and data")
    parser.add_argument("--model", default="", help="folder of a model (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--dtype", default="bfloat16", help="bfloat16 or float32")
    arguments = parser.parse_args()
    console = Console()
    engine = ENGINES[arguments.engine]
    compared = arms(engine)
    began = time.monotonic()
    try:
        results = []
        for arm, config in compared.items():
            results += run_arm(arm, replace(config, model=arguments.model, dtype=arguments.dtype), console)
    except KeyboardInterrupt:
        console.print("stopped; the servers are gone")
        return 130
    except (ServerError, LatticeworkError, httpx.HTTPError) as error:
        console.print(f"error: {error}", markup=False, style="red")
        return 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    data = [asdict(result) for result in results]
    (arguments.output / "results.json").write_text(json.dumps(data, indent=1, ensure_ascii=False))
    print_table(results, list(compared), console)
    picture = write_picture(results, list(compared), arguments.output / "demo.png", _machine(engine))
    page = write_html(results, list(compared), picture, arguments.output / "demo.html", _machine(engine))
    console.print(f"\n{page}\n{picture}\n{time.monotonic() - began:.0f} s in all", markup=False, highlight=False)
    return 0


def run_arm(arm: str, config: ServerConfig, console: Console) -> list[Measurement]:
    """Start a server, send it every task, stop it."""
    console.rule(arm)
    folder = Path(config.model) if config.model else model_path()
    counter = ForcedTokens(folder)
    with serve(config, console=console) as server, httpx.Client(timeout=120) as client:
        warmed: set[str] = set()
        results = []
        columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress:
            todo = tasks()
            row = progress.add_task("", total=len(todo))
            for task in todo:
                progress.update(row, description=task.kind)
                if task.kind not in warmed:
                    ask(client, server, task, config.latticework)
                    warmed.add(task.kind)
                results.append(measure(client, server, task, arm, config.latticework, counter))
                progress.advance(row)
    return results


def measure(
    client: httpx.Client, server: Server, task: Task, arm: str, latticework: bool, counter: ForcedTokens
) -> Measurement:
    """Send one task and judge the answer."""
    accepted = server.metric(server.engine.metrics.accepted)
    began = time.perf_counter()
    answer = ask(client, server, task, latticework)
    seconds = time.perf_counter() - began
    message = answer["choices"][0]["message"]
    text = message["tool_calls"][0]["function"]["arguments"] if message.get("tool_calls") else message["content"]
    tokens = answer["usage"]["completion_tokens"]
    one_request = "lw_search" not in task.options or not latticework
    drafted = server.metric(server.engine.metrics.accepted) - accepted
    steps = round(tokens - drafted) if one_request else None
    forced = counter.share(task, text)
    return Measurement(arm, task.kind, task.prompt, text, task.judge(text), tokens, seconds, steps, forced)


def ask(client: httpx.Client, server: Server, task: Task, latticework: bool) -> dict[str, Any]:
    """Send one chat completion, greedy; raise with the server's own words if it is refused."""
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": task.prompt}],
        "temperature": 0.0,
        **task.body,
    }
    if task.constraint is not None:
        body |= server.engine.constraint(*task.constraint)
    if latticework and task.options:
        body |= server.engine.options(task.options)
    response = client.post(f"{server.url}/v1/chat/completions", json=body)
    if response.status_code != 200:
        raise ServerError(f"{task.kind}: the server answered {response.status_code}: {response.text[:500]}")
    result: dict[str, Any] = response.json()
    return result


class ForcedTokens:
    """Which tokens of an answer its constraint forced, found by replaying it outside the server."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._vocabulary = Vocabulary.from_hf(AutoTokenizer.from_pretrained(folder))

    def share(self, task: Task, text: str) -> float | None:
        """Share of the tokens of ``text`` at which the grammar left no choice of bytes; ``None`` for free text."""
        if task.spec is None:
            return None
        matcher = compile_grammar(task.spec, self._vocabulary).matcher()
        forced, pending = 0, 0
        row = bitmask.allocate(1, self._vocabulary.size)[0]
        token_ids = self._vocabulary.encode(text.encode()) or []
        for token_id in token_ids:
            if not pending:
                pending = len(matcher.forced_tokens())
            matcher.fill_bitmask(row)
            forced += bool(pending) or bitmask.count(row) == 1
            pending = max(0, pending - 1)
            if not matcher.accept(token_id):
                break  # an answer that was cut, or that the judge calls wrong
        return forced / max(1, len(token_ids))


def _machine(engine: Engine) -> str:
    import os

    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    return f"{machine}, SmolLM2-135M-Instruct, {engine.title} on CPU, one request at a time"


if __name__ == "__main__":
    sys.exit(main())
