"""An experiment's table out of a Prometheus server that scrapes the engines: its HTTP API, and nothing else.

Counters are read as they were sampled, series by series, and their increases added up here: a restart sets a counter
back to zero, and PromQL's ``increase`` extrapolates, which is no count. A series that began within the time asked for
counts from its first value on, as nothing was there before.

Requests are taken for independent. Where users are assigned, several of each, the logs tell more (units).
"""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from latticework.plugins.ab.drafts import arms_of_label
from latticework.plugins.ab.tables import MEASURES, ArmTable, Look, Pairs, Sums, Table
from latticework.structured.errors import LatticeworkError

#: Looks of a report, and points of a series that are asked for: Prometheus answers at most 11,000.
LOOKS = 60
POINTS = 600
#: Up to so many seconds every sample is read; beyond, one in :data:`POINTS` th of the time. Of what a server counted
#: between the last of these and its restart nothing is known then.
EVERY_SAMPLE = 6 * 3600
#: A series whose first sample is not later than this after the beginning was there before.
SLACK = 60.0

Floats = npt.NDArray[np.float64]
#: Answers ``(path, parameters)`` with the API's ``data``.
Api = Callable[[str, Mapping[str, str]], Any]

_AB = 'experiment="{experiment}"'
_NAMES = ("ab_requests", "ab_answers", "ab_measure_count", "ab_measure_sum", "ab_measure_squares")


def http_api(url: str, timeout: float = 30.0) -> Api:
    """The API of the server at ``url`` (``http://prometheus:9090``)."""
    base = url.rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise LatticeworkError("prometheus", f"{url!r} is no http address")

    def ask(path: str, parameters: Mapping[str, str]) -> Any:
        try:
            query = urllib.parse.urlencode(parameters)
            with urllib.request.urlopen(f"{base}/api/v1/{path}?{query}", timeout=timeout) as response:
                answer = json.loads(response.read())
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise LatticeworkError("prometheus", f"{url} does not answer as a Prometheus server: {error}") from error
        if answer.get("status") != "success":
            raise LatticeworkError("prometheus", str(answer.get("error", "no success")))
        return answer["data"]

    return ask


def read_prometheus(
    api: Api, experiment: str, start: float, end: float, control: str = "control", selector: str = ""
) -> Table:
    """The table of one experiment.

    Args:
        api: See :func:`http_api`.
        experiment: Its name.
        start, end: Seconds since the epoch. The experiment may begin later.
        control: The arm that others are compared with.
        selector: Further label matchers, as ``job="vllm"``.

    Raises:
        LatticeworkError: The server cannot be asked, or knows nothing of this experiment.
    """
    step = max(math.ceil((end - start) / POINTS), 1)
    times = np.arange(start, end + step, step, dtype=np.float64)

    def increases(name: str, matchers: str) -> list[tuple[dict[str, str], Floats]]:
        query = f"latticework_{name}_total{{{','.join(filter(None, (matchers, selector)))}}}"
        if end - start <= EVERY_SAMPLE:
            found = api("query", {"query": f"{query}[{math.ceil(end - start)}s]", "time": f"{end}"})["result"]
        else:
            window = {"query": query, "start": f"{times[0]}", "end": f"{times[-1]}", "step": f"{step}"}
            found = api("query_range", window)["result"]
        return [(series["metric"], growth(series["values"], times)) for series in found]

    series = {name: increases(name, _AB.format(experiment=experiment)) for name in _NAMES}
    if not series["ab_requests"]:
        raise LatticeworkError(experiment, "Prometheus knows no request of this experiment in that time")
    for name in ("draft_tokens", "draft_accepted_tokens"):
        series[name] = increases(name, f'arm=~"(.*[+])?{experiment}/.*"')
    shares = _shares(api, experiment, selector, times[-1])
    table = Table(experiment, control)
    began = next((place for place in range(len(times)) if _requests_at(series, place)), len(times) - 1)
    for place in sorted({*np.linspace(began, len(times) - 1, LOOKS).astype(int).tolist()}):
        table.looks.append(Look(float(times[place]), _arms_at(series, place, shares, experiment)))
    table.notes.append(
        "requests are taken for independent: where users or sessions are assigned, the request logs tell more"
    )
    return table


def growth(values: Iterable[tuple[float, str]], times: Floats) -> Floats:
    """How much a counter has grown since ``times[0]``, at each of ``times``.

    Args:
        values: Its samples, ``(seconds, value)``, in order. Where there are none it did not exist.
        times: ``float64[n]``.
    """
    steps = np.zeros(len(times))
    before: float | None = None
    for time, text in values:
        value, place = float(text), int(np.searchsorted(times, float(time) - 1e-3))
        if place >= len(times):
            break
        if before is None:
            # There from the beginning: what it had then is older. Else it was born since, with all it has.
            steps[place] += 0.0 if float(time) <= times[0] + SLACK else value
        else:
            steps[place] += value - before if value >= before else value
        before = value
    return np.cumsum(steps)


def experiments_known(api: Api) -> list[str]:
    """The experiments that a Prometheus server has metrics of."""
    found: list[str] = api("label/experiment/values", {})
    return sorted(found)


def _shares(api: Api, experiment: str, selector: str, at: float) -> dict[str, float]:
    """The planned shares, the newest that any replica says."""
    matchers = ",".join(filter(None, (_AB.format(experiment=experiment), selector)))
    query = f"max by (arm) (max_over_time(latticework_ab_share{{{matchers}}}[1h]))"
    found = api("query", {"query": query, "time": f"{at}"})["result"]
    return {series["metric"]["arm"]: float(series["value"][1]) for series in found}


def _requests_at(series: Mapping[str, list[tuple[dict[str, str], Floats]]], place: int) -> float:
    return float(sum(values[place] for _, values in series["ab_requests"]))


def _arms_at(
    series: Mapping[str, list[tuple[dict[str, str], Floats]]], place: int, shares: Mapping[str, float], experiment: str
) -> dict[str, ArmTable]:
    arms = {arm: ArmTable(share=share) for arm, share in shares.items()}

    def arm_of(labels: Mapping[str, str]) -> ArmTable:
        return arms.setdefault(labels["arm"], ArmTable(share=shares.get(labels["arm"], 0.0)))

    for labels, values in series["ab_requests"]:
        arm, count, result = arm_of(labels), float(values[place]), labels["result"]
        if result == "cancelled":
            continue
        arm.requests += count
        arm.units += count
        if result in ("error", "refused"):
            arm.events["errors" if result == "error" else "refused"] += count
    for labels, values in series["ab_answers"]:
        arm = arm_of(labels)
        arm.constrained += float(values[place])
        if labels["complete"] == "no":
            arm.events["incomplete"] += float(values[place])
    for name, part in (("count", "count"), ("sum", "total"), ("squares", "squares")):
        for labels, values in series[f"ab_measure_{name}"]:
            if labels["measure"] in MEASURES:
                _add(arm_of(labels).measures[labels["measure"]], part, float(values[place]))
    for name, part in (("draft_tokens", "drafted"), ("draft_accepted_tokens", "accepted")):
        for labels, values in series[name]:
            for known, arm_name in arms_of_label(labels["arm"]):
                if known == experiment:
                    _add(arm_of({"arm": arm_name}).drafts, part, float(values[place]))
    return arms


def _add(sums: Sums | Pairs, part: str, value: float) -> None:
    setattr(sums, part, getattr(sums, part) + value)
