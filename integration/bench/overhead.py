"""What latticework costs when it is installed and not switched on.

Two servers are up, stock vLLM and vLLM that loads latticework's plugins; one of them gets work at a time. A *pair*
runs the same requests on both, in alternating order (AB, BA, AB, ...), so that drift of the machine hits both alike.
The result is the median over pairs of the ratio of their times, with a bootstrap interval. The *noise* row is the same
statistic for stock against stock: consecutive rounds of the stock server, which differ by nothing.

``python -m integration.bench.overhead``; ``--json FILE`` also writes the raw times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from integration.server import INSTALLED, STOCK, Server, ServerError, engine_slot, serve

SUBJECTS = ("rivers", "bread", "clocks", "bicycles", "snow", "glass", "maps", "violins")
TOKENS = 48
RESAMPLES = 2000


@dataclass(frozen=True)
class Work:
    """Requests sent together: the same prompts, greedy, of fixed length."""

    name: str
    concurrency: int


WORKS = (Work("1 at a time", 1), Work("8 at a time", 8))


@dataclass
class Times:
    """Seconds of each round, in the order they were run; pair ``i`` is ``(stock[i], installed[i])``."""

    stock: list[float]
    installed: list[float]


def run_once(server: Server, client: httpx.Client, work: Work) -> tuple[float, list[str]]:
    """Send all requests of ``work``. Returns the seconds it took and the answers."""

    def ask(subject: str) -> str:
        body = {
            "model": server.model,
            "messages": [{"role": "user", "content": f"Tell me something about {subject}."}],
            "temperature": 0,
            "max_tokens": TOKENS,
            "ignore_eos": True,
        }
        response = client.post(f"{server.url}/v1/chat/completions", json=body)
        response.raise_for_status()
        return str(response.json()["choices"][0]["message"]["content"])

    with ThreadPoolExecutor(work.concurrency) as pool:
        began = time.perf_counter()
        answers = list(pool.map(ask, SUBJECTS))
        return time.perf_counter() - began, answers


def measure(stock: Server, installed: Server, work: Work, pairs: int) -> tuple[Times, bool]:
    """Run ``pairs`` pairs after one that does not count. Returns the times and whether all answers were equal.

    Equality is reported for one request at a time only: the composition of a batch changes roundings.
    """
    times = Times([], [])
    equal = True
    with httpx.Client(timeout=300) as client:
        for pair in track(range(pairs + 1), description=work.name, console=Console(stderr=True)):
            order = (stock, installed) if pair % 2 == 0 else (installed, stock)
            rounds = {server: run_once(server, client, work) for server in order}
            equal &= rounds[stock][1] == rounds[installed][1]
            if pair > 0:
                times.stock.append(rounds[stock][0])
                times.installed.append(rounds[installed][0])
    return times, equal


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, float, float]:
    """Median of the pairwise ratios with its 95 % bootstrap interval: ``(median, low, high)``."""
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return statistics.median(ratios), medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES)]


def machine() -> str:
    """The processor, as this machine names it, and how many threads of it there are."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        name = next((value.strip() for key, _, value in fields if key.strip() == "model name"), name)
    return f"{name}, {os.cpu_count()} threads"


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m integration.bench.overhead", description=__doc__)
    parser.add_argument("--model", default="", help="folder of a model (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--pairs", type=int, default=12, help="pairs of rounds per kind of work")
    parser.add_argument("--json", type=Path, help="also write the raw times here")
    arguments = parser.parse_args()
    console = Console()
    try:
        with (
            engine_slot(),
            serve(replace(STOCK, model=arguments.model), exclusive=False) as stock,
            serve(replace(INSTALLED, model=arguments.model), exclusive=False) as installed,
        ):
            results = {work: measure(stock, installed, work, arguments.pairs) for work in WORKS}
    except ServerError as error:
        console.print(f"error: {error}", markup=False, style="red")
        return 1
    title = f"vllm {metadata.version('vllm')}, {stock.model}, {machine()}, {arguments.pairs} pairs"
    console.print(title, markup=False)
    console.print(_table(results))
    if arguments.json:
        raw = {work.name: {"stock": t.stock, "installed": t.installed} for work, (t, _) in results.items()}
        arguments.json.write_text(json.dumps({"title": title, "seconds": raw}, indent=2) + "\n")
    return 0


def _table(results: dict[Work, tuple[Times, bool]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("work", "compared", "median s", "time ratio", "95 % interval", "same answers"):
        table.add_column(column, no_wrap=True)
    for work, (times, equal) in results.items():
        same = ("yes" if equal else "NO") if work.concurrency == 1 else ""
        rows = (
            ("installed/stock", times.installed, times.stock, same),
            ("noise: stock/stock", times.stock[1::2], times.stock[: len(times.stock) // 2 * 2 : 2], ""),
        )
        for name, numerators, denominators, note in rows:
            middle, low, high = ratio(numerators, denominators)
            seconds = f"{statistics.median(numerators):.2f}"
            table.add_row(work.name, name, seconds, f"{middle:.3f}", f"{low:.3f} to {high:.3f}", note)
    return table


if __name__ == "__main__":
    sys.exit(main())
