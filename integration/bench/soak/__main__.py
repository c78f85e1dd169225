"""``python -m integration.bench.soak``: see its ``--help``."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from integration.bench.overhead import machine
from integration.bench.soak.client import first_answers
from integration.bench.soak.gauges import ALARMS, TOLD, held_when_idle, read_log, told
from integration.bench.soak.picture import draw
from integration.bench.soak.report import Left, Report, document, show
from integration.bench.soak.run import Plan, Seen, Soak
from integration.bench.soak.switches import Deployment
from integration.bench.soak.traffic import Traffic
from integration.launch import Engine, ServerError
from integration.server import ENGINES, Server, log_tail, serve
from latticework.bench.cases import BUILTIN, read_cases
from latticework.bench.data import default_cases

HELP = """\
Soak a real engine: start it with everything of latticework switched on, send it mixed traffic on the loopback interface
for N minutes, and look at what that leaves behind.

What is sent: plain questions, JSON schemas (new, known and real ones), regular expressions, grammars, choices, tools,
searches, a logits processor, long prompts; streamed or not, greedy or sampled. Some clients leave in the middle. One
request in nine is wrong and must come back as 4xx, with the name of what is wrong. Meanwhile the settings file is
replaced again and again: other weights, arms killed and tripped, experiments off and on, now and then a broken file.

What is wrong: a status that was not expected, an answer that its constraint forbids, an arm that is not the assigned
one, a refusal that does not say why, an exception of a plugin, memory that grows after warming up by more than
--most-growth, and whatever is still held when the engine is idle again: sessions, requests of arms that never ended.
"""
EPILOG = """\
It takes N minutes and about three more, to start the engine, to wait for its first answers and to let it become idle;
up to fifteen where latticework's loops are compiled for the first time. Ctrl-C ends it early: requests under way are
waited for, a second Ctrl-C gives them up, and what was seen is reported. Ends with 0 if nothing is wrong, 1 if
something is, 130 after Ctrl-C. A request can be looked at again: --seed S --show NUMBER.

  python -m integration.bench.soak --engine vllm --minutes 20 --json soak.json --picture soak.png
  python -m integration.bench.soak --engine sglang --minutes 2
"""

#: A soak has time; a busy machine takes long to import an engine.
STARTUP_SECONDS = 600.0
#: What ends the wait for an idle engine: it does not answer any more, or somebody has seen enough.
GIVING_UP = (OSError, httpx.HTTPError, http.client.HTTPException, ValueError, KeyboardInterrupt)


def main() -> int:
    """Soak and report."""
    arguments = _parser().parse_args()
    console = Console(stderr=True)
    traffic = Traffic(arguments.seed, _schemas())
    if arguments.show is not None:
        sys.stdout.write(json.dumps(vars(traffic.request(arguments.show)), indent=2) + "\n")
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="latticework-soak-") as folder:
            report = _soak(arguments, traffic, Path(folder), console)
    except ServerError as error:
        console.print(f"error: {error}", markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        console.print("stopped before the traffic began: nothing was seen")
        return 130
    show(report, _out())
    if arguments.json:
        arguments.json.write_text(json.dumps(document(report), indent=1) + "\n")
    if arguments.picture:
        draw(report, arguments.picture)
    if report.seen.interrupted:
        return 130
    return 1 if report.wrong() else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m integration.bench.soak",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--engine", choices=list(ENGINES), default="vllm")
    parser.add_argument("--minutes", type=_positive, default=20.0, help="how long traffic flows (default: 20)")
    parser.add_argument("--warm-up", type=float, help="minutes before memory is judged (default: a third of them)")
    parser.add_argument("--most-growth", type=float, default=5.0, help="MiB a minute that memory may grow (default: 5)")
    parser.add_argument("--clients", type=int, default=10, help="requests at a time (default: 10)")
    parser.add_argument(
        "--switch-seconds", type=_positive, default=12.0, help="between two states of the settings (12)"
    )
    parser.add_argument("--sample-seconds", type=_positive, default=5.0, help="between two looks at memory (5)")
    parser.add_argument("--seed", type=int, default=0, help="another one sends other traffic")
    parser.add_argument("--show", type=int, metavar="NUMBER", help="print this request of the traffic, and end")
    parser.add_argument("--model", default="", help="folder of a model (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--dtype", default="float32", help="float32 or bfloat16, slow on many processors")
    parser.add_argument("--json", type=Path, help="also write everything that was seen here")
    parser.add_argument("--picture", type=Path, help="also draw memory over time (.png, .svg)")
    parser.add_argument("--log", type=Path, help="keep the engine's log here")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _soak(arguments: argparse.Namespace, traffic: Traffic, folder: Path, console: Console) -> Report:
    engine = ENGINES[arguments.engine]
    deployment = Deployment(folder, arguments.seed)
    config = replace(
        engine.lattice.with_flags(*engine.tool_flags),
        model=arguments.model,
        dtype=arguments.dtype,
        environment=(("LATTICEWORK_CONFIG", str(deployment.path)),),
    )
    plan = Plan(
        arguments.minutes, arguments.clients, arguments.sample_seconds, arguments.switch_seconds, arguments.seed
    )
    log = folder / "server.log"
    try:
        with serve(config, console=console, log=log, startup_seconds=STARTUP_SECONDS) as server:
            title = _title(engine, server, arguments.dtype, arguments.seed)
            with console.status("waiting for the first answers"):
                first = first_answers(server, traffic)
            with _progress(console, plan) as tell:
                seen = Soak(server, deployment, traffic, plan).run(tell)
            left = None if seen.gone or seen.given_up else _left(server, deployment, console)
        if seen.gone:
            console.print(f"the engine has ended:\n{log_tail(log)}", markup=False)
    finally:
        if arguments.log and log.exists():
            shutil.copyfile(log, arguments.log)
    warm_up = arguments.minutes / 3 if arguments.warm_up is None else arguments.warm_up
    return Report(title, seen, left, warm_up, arguments.most_growth, deployment.states, first)


def _left(server: Server, deployment: Deployment, console: Console) -> Left | None:
    """What there is when the engine is idle; ``None`` if it does not answer, or if nobody wants to wait for it."""
    deployment.write("all off")
    with console.status("waiting until the engine is idle"), contextlib.suppress(*GIVING_UP):
        held, samples = held_when_idle(server)
        return Left(held, told(samples, ALARMS), told(samples, TOLD), read_log(deployment.log))
    return None


@contextmanager
def _progress(console: Console, plan: Plan) -> Iterator[Callable[[float, Seen], None]]:
    """Shows how far it is: a bar on a terminal, a line a minute elsewhere."""
    text = TextColumn("{task.description}")
    with Progress(text, BarColumn(), console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=plan.minutes)
        told_minute = 0

        def tell(minutes: float, seen: Seen) -> None:
            nonlocal told_minute
            line = _line(minutes, plan, seen)
            progress.update(task, completed=minutes, description=line)
            if not console.is_terminal and int(minutes) > told_minute:
                told_minute = int(minutes)
                console.print(line, markup=False, soft_wrap=True)

        yield tell


def _line(minutes: float, plan: Plan, seen: Seen) -> str:
    counts = ", ".join(f"{count} {result}" for result, count in seen.counts().most_common())
    faults = sum(len(outcome.faults) for outcome in list(seen.outcomes))
    memory = f"{seen.samples[-1].mebibytes:.0f} MiB" if seen.samples else ""
    return f"{minutes:.1f} of {plan.minutes:g} min; {counts or 'nothing yet'}; {faults} wrong; {memory}"


def _schemas() -> list[Any]:
    path = default_cases()
    return [case.schema for case in (read_cases(path) if path is not None else BUILTIN)]


def _title(engine: Engine, server: Server, dtype: str, seed: int) -> str:
    version = ""
    with contextlib.suppress(metadata.PackageNotFoundError):  # it may live in another environment than this process
        version = metadata.version(engine.distribution)
    return f"{engine.title} {version}, {server.model} in {dtype}, {machine()}, seed {seed}".replace(" ,", ",")


def _out() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=170)


if __name__ == "__main__":
    sys.exit(main())
