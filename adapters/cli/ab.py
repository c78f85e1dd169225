"""The ``latticework ab`` commands."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from latticework.adapters.cli.helping import command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latticework.plugins.ab.tables import Table

app = typer.Typer(no_args_is_help=True, help="Experiments: what they have shown so far, and what one would show.")

_ERRORS = Console(stderr=True)

Level = Annotated[float, typer.Option(min=1e-6, max=0.5, help="Chance of a false alarm, over all looks together.")]
PlanSize = Annotated[
    float, typer.Option("--plan", min=100, help="Units of two arms at which intervals are tightest; fix it beforehand.")
]
Power = Annotated[float, typer.Option(min=0.5, max=0.999, help="Chance of finding the effect asked for.")]
Effect = Annotated[float, typer.Option(min=1e-4, max=10, help="The relative change worth finding: 0.05 is 5 %.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


@command(app)
def report(
    experiment: Annotated[str, typer.Argument(help="The experiment's name in the settings.")],
    log: Annotated[list[Path] | None, typer.Option(help="A request log; once for each replica.")] = None,
    prometheus: Annotated[str, typer.Option(help="Address of a Prometheus server that scrapes the engines.")] = "",
    selector: Annotated[str, typer.Option(help='Further label matchers, as job="vllm".')] = "",
    control: Annotated[str, typer.Option(help="The arm that the others are compared with.")] = "control",
    since: Annotated[str, typer.Option(help="From when on: ISO 8601, or a time back, as 90m, 12h, 7d.")] = "7d",
    level: Level = 0.05,
    plan: PlanSize = 10_000,
    power: Power = 0.8,
    effect: Effect = 0.05,
    html: Annotated[Path | None, typer.Option(help="Also write the report as one page, with plots.")] = None,
    as_json: AsJson = False,
) -> None:
    """What an experiment has shown so far.

    Every interval and verdict may be looked at as often as you like: the chance that any of one metric is ever wrong is
    the level. A sample-ratio mismatch, arms that got other parts of the traffic than planned, spoils everything else.

      latticework ab report drafting --log /var/log/latticework/requests.jsonl

      latticework ab report drafting --prometheus http://prometheus:9090 --html report.html

    Ends with status 1 if the arms are mismatched.
    """
    from latticework.plugins.ab.analysis import Design, analyse

    with _telling_errors():
        design = Design(level=level, plan=plan, power=power, effect=effect)
        table = _table(experiment, log or [], prometheus, selector, control, _seconds(since))
        found = analyse(table, design)
        if html is not None:
            from latticework.adapters.cli.ab_html import page

            html.write_text(page(table, found), encoding="utf-8")
    if as_json:
        from latticework.adapters.cli.ab_text import as_data

        typer.echo(json.dumps(as_data(found), indent=2))
    else:
        from latticework.adapters.cli.ab_text import show

        show(found, Console())
    raise typer.Exit(1 if found.mismatched else 0)


@command(app)
def simulate(
    requests: Annotated[int, typer.Option(min=200, max=1_000_000, help="Requests of both arms together.")] = 10_000,
    share: Annotated[float, typer.Option(min=0.001, max=0.999, help="The arm's part of them.")] = 0.5,
    effect: Effect = 0.05,
    spread: Annotated[
        float,
        typer.Option(min=0.01, max=5, help="Standard deviation of the logarithm of a time: 0.5 is a factor 1.65."),
    ] = 0.5,
    rate: Annotated[float, typer.Option(min=1e-5, max=0.5, help="Rate of an event, an error say, in control.")] = 0.01,
    ratio: Annotated[float, typer.Option(min=0.01, max=100, help="That in the arm, as a multiple.")] = 2.0,
    every: Annotated[int, typer.Option(min=10, help="Requests between two looks.")] = 100,
    runs: Annotated[int, typer.Option(min=10, max=10_000, help="Experiments of each kind.")] = 300,
    seed: int = 0,
    level: Level = 0.05,
    plan: PlanSize = 10_000,
    as_json: AsJson = False,
) -> None:
    """What a planned experiment would show: how often a false alarm, how often and how soon the effect.

    Simulates it many times with and without the difference, looked at again and again.

      latticework ab simulate --requests 20000 --share 0.1 --effect 0.1
    """
    from dataclasses import asdict

    from latticework.adapters.cli.ab_text import show_simulation
    from latticework.plugins.ab.analysis import Design
    from latticework.plugins.ab.simulation import Plan
    from latticework.plugins.ab.simulation import simulate as run

    planned = Plan(requests, share, spread, effect, rate, ratio, every, runs, seed, Design(level=level, plan=plan))
    found = run(planned)
    if as_json:
        typer.echo(json.dumps({"plan": asdict(planned), "found": [asdict(one) for one in found]}, indent=2))
    else:
        show_simulation(planned, found, Console())


def _table(experiment: str, logs: list[Path], prometheus: str, selector: str, control: str, start: float) -> Table:
    from latticework.structured.errors import LatticeworkError

    if bool(logs) == bool(prometheus):
        raise LatticeworkError("report", "name either --log or --prometheus")
    if logs:
        from latticework.plugins.ab.log_reading import experiments_in, read_logs

        if experiment not in (known := experiments_in(logs)):
            raise LatticeworkError(experiment, f"is not in the logs; experiments there: {', '.join(known) or 'none'}")
        return read_logs(logs, experiment, control, start)
    from latticework.plugins.ab.prometheus_reading import experiments_known, http_api, read_prometheus

    api = http_api(prometheus)
    if experiment not in (known := experiments_known(api)):
        raise LatticeworkError(experiment, f"Prometheus does not know it; it knows: {', '.join(known) or 'none'}")
    return read_prometheus(api, experiment, start, time.time(), control, selector)


def _seconds(since: str) -> float:
    """When, in seconds since the epoch."""
    from latticework.structured.errors import LatticeworkError

    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if since[-1:] in units and since[:-1].replace(".", "", 1).isdigit():
            back = timedelta(**{units[since[-1]]: float(since[:-1])})
            return (datetime.now(UTC) - back).timestamp()
        return datetime.fromisoformat(since).timestamp()
    except (ValueError, OverflowError) as error:
        raise LatticeworkError("--since", f"{since!r} is neither a time (ISO 8601) nor a time back (7d)") from error


@contextmanager
def _telling_errors() -> Iterator[None]:
    """One line instead of a traceback for what the user can repair."""
    from latticework.structured.errors import LatticeworkError

    try:
        yield
    except LatticeworkError as error:
        _ERRORS.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    except ImportError as error:
        _ERRORS.print(f"error: reports need more packages ({error.name}): pip install 'latticework[ab]'", style="red")
        raise typer.Exit(2) from error
