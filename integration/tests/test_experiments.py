"""Experiments on a real server: who gets which arm, kill switches under load, what the client and the log are told."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from integration import nginx
from integration.conftest import ServerPool
from integration.launch import ROOT, Engine
from integration.prometheus import executable, prometheus
from integration.server import Server
from integration.tests.client import TIMEOUT, chat, chat_body, error_of, for_tests, post, wait_until
from latticework.adapters.cli.main import app
from latticework.plugins.ab.assigning import arm_of
from latticework.plugins.ab.settings import AbSettings

pytestmark = pytest.mark.engine

HEADER = "x-latticework-arm"
ALERTS = ROOT / "docs" / "monitoring" / "alerts.yml"
DRAFTING: dict[str, Any] = {
    "identity": ["user"],
    "arms": {"control": {"options": {"lw_drafter": "off"}}, "lookup": {"options": {"lw_drafter": "prompt_lookup"}}},
}
#: What prompt lookup drafts well from.
REPEATING = "Repeat these words again and again: red green blue red green blue red green blue."
CONSTRAINT = ("regex", "(red green blue ){6}")


class Deployment:
    """A server, and the settings file that it obeys."""

    def __init__(self, pool: ServerPool, engine: Engine, folder: Path) -> None:
        self._pool, self._engine = pool, engine
        self.path, self.log = folder / "settings.json", folder / "requests.jsonl"

    def write(self, ab: dict[str, Any] | None = None, text: str | None = None, **sections: Any) -> None:
        """Replace the file at once and wait until it must have been looked at."""
        sections["ab"] = {"key": "a key", "reload_seconds": 0.05, **(ab or {})}
        new = self.path.with_name("new")
        new.write_text(text if text is not None else json.dumps(sections))
        os.replace(new, self.path)
        time.sleep(0.1)

    def experiment(self, **fields: Any) -> None:
        """One experiment, ``drafting``, with these fields instead of the usual ones."""
        self.write({"experiments": {"drafting": {**DRAFTING, **fields}}})

    @property
    def server(self) -> Server:
        config = for_tests(self._engine.lattice)
        variables = (*config.environment, ("LATTICEWORK_CONFIG", str(self.path)))
        return self._pool.get(replace(config, environment=variables))

    def restart(self) -> Server:
        """Another process with the same settings: what a replica is."""
        self._pool.stop()
        return self.server

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deployment")


@pytest.fixture
def deployment(engine: Engine, server_pool: ServerPool, folder: Path) -> Iterator[Deployment]:
    made = Deployment(server_pool, engine, folder / engine.name)
    made.path.parent.mkdir(exist_ok=True)
    made.experiment()
    yield made
    made.log.unlink(missing_ok=True)


def ask(server: Server, user: str, **fields: Any) -> httpx.Response:
    response = chat(server, user=user, **{"max_tokens": 4, **fields})
    assert response.status_code == 200, response.text
    return response


def user_in(arm: str) -> str:
    settings = AbSettings.model_validate({"key": "a key", "experiments": {"drafting": DRAFTING}})
    users = (f"user-{number}" for number in range(1000))
    experiment = settings.experiments["drafting"]
    return next(user for user in users if arm_of(settings, "drafting", experiment, f"user={user}") == arm)


def expected_arms() -> dict[str, str]:
    settings = AbSettings.model_validate({"key": "a key", "experiments": {"drafting": DRAFTING}})
    users = [f"u{number}" for number in range(8)]
    expected = {u: arm_of(settings, "drafting", settings.experiments["drafting"], f"user={u}") for u in users}
    assert len(set(expected.values())) == 2
    return expected


def arms_of(server: Server, users: Iterable[str]) -> dict[str, str]:
    return {user: ask(server, user).headers[HEADER].removeprefix("drafting=") for user in users}


@pytest.mark.capability("experiments")
def test_arms_are_sticky_and_those_computed_from_the_settings(deployment):
    expected = expected_arms()
    assert arms_of(deployment.server, expected) == expected
    assert arms_of(deployment.server, expected) == expected


@pytest.mark.long
@pytest.mark.capability("experiments")
def test_arms_are_sticky_over_a_restart(deployment):
    expected = expected_arms()
    assert arms_of(deployment.restart(), expected) == expected


@pytest.mark.capability("experiments")
def test_the_arm_decides_who_drafts_and_metrics_tell_them_apart(deployment):
    server = deployment.server
    name = "latticework_draft_tokens_total"

    def drafted(arm: str) -> float:
        return server.metric(name, arm=f"drafting/{arm}")

    before = {arm: drafted(arm) for arm in ("control", "lookup")}
    for arm in before:
        ask(server, user_in(arm), prompt=REPEATING, constraint=CONSTRAINT, max_tokens=40)
    assert wait_until(lambda: drafted("lookup") > before["lookup"], 10)
    assert drafted("control") == before["control"]
    for arm in before:
        assert server.metric("latticework_ab_requests_total", experiment="drafting", arm=arm, result="ok") > 0
        assert server.metric("latticework_ab_answers_total", arm=arm, complete="yes") > 0


@pytest.mark.capability("experiments")
def test_the_client_is_told_its_arm_on_every_endpoint(deployment):
    server, user = deployment.server, user_in("lookup")
    body = {"model": server.model, "prompt": "x", "max_tokens": 2, "user": user}
    assert post(server, "/v1/completions", body).headers[HEADER] == "drafting=lookup"
    body = {"model": server.model, "input": "x", "max_output_tokens": 2, "user": user}
    assert post(server, "/v1/responses", body).headers[HEADER] == "drafting=lookup"
    request = chat_body(server, stream=True, user=user, max_tokens=2)
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=request, timeout=TIMEOUT) as response:
        assert response.headers[HEADER] == "drafting=lookup"
        response.read()
    assert HEADER not in chat(server, max_tokens=2).headers, "without a user nobody is assigned"
    assert HEADER not in httpx.get(f"{server.url}/health").headers


@pytest.mark.capability("experiments")
def test_a_kill_switch_loses_no_request(deployment):
    server, stop = deployment.server, Event()
    answers: list[tuple[int, str | None]] = []

    def load() -> None:
        while not stop.is_set():
            response = chat(server, user=user_in("lookup"), max_tokens=8)
            answers.append((response.status_code, response.headers.get(HEADER)))

    def seen(arm: str | None) -> bool:
        """Whether requests are served in a state, from now on: how soon is a matter of how busy the machine is."""
        before = len(answers)
        return wait_until(lambda: any(found == arm for _, found in answers[before:]), 120)

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(load) for _ in range(4)]
        try:
            for _ in range(2):
                deployment.experiment(enabled=False)
                assert seen(None)
                deployment.experiment()
                assert seen("drafting=lookup")
            deployment.write({"enabled": False})
            after = chat(server, user=user_in("lookup"), max_tokens=2)
        finally:
            stop.set()
        for future in running:
            future.result()
    assert {status for status, _ in answers} == {200}
    assert HEADER not in after.headers


@pytest.mark.capability("experiments")
def test_a_broken_file_keeps_the_last_good_state_and_says_so(deployment):
    server, user = deployment.server, user_in("lookup")
    ask(server, user)  # the file is looked at when requests come
    deployment.write(text="{ broken")
    assert ask(server, user).headers[HEADER] == "drafting=lookup"
    assert server.metric("latticework_settings_broken") == 1
    deployment.experiment()
    ask(server, user)
    assert server.metric("latticework_settings_broken") == 0


@pytest.mark.capability("experiments")
def test_a_request_chooses_its_arm_only_where_it_may(deployment):
    server = deployment.server
    choosing = {"options": {"lw_arm": "drafting/lookup"}, "max_tokens": 2}
    refused = chat(server, **choosing)
    assert refused.status_code == 400
    assert "lw_arm" in error_of(refused)["message"]
    deployment.write({"forced_arm": True, "experiments": {"drafting": DRAFTING}})
    assert chat(server, **choosing).headers[HEADER] == "drafting=lookup"
    unknown = chat(server, options={"lw_arm": "drafting/none"})
    assert unknown.status_code == 400
    assert "drafting/lookup" in error_of(unknown)["message"]


@pytest.mark.capability("experiments")
def test_options_of_an_arm_that_do_not_fit_a_request_do_not_harm_it(deployment):
    server = deployment.server
    greedy_only = {"weight": 1, "options": {"lw_processor": "fsd"}}
    deployment.experiment(arms={"control": {"weight": 0}, "fsd": greedy_only})
    before = server.metric("latticework_ab_unfit_total", arm="fsd")
    assert ask(server, "anna", temperature=0.9).headers[HEADER] == "drafting=fsd"
    assert server.metric("latticework_ab_unfit_total", arm="fsd") == before + 1
    ask(server, "anna", temperature=0)
    assert server.metric("latticework_ab_unfit_total", arm="fsd") == before + 1
    assert chat(server, user="anna", options={"lw_drafter": "quick"}).status_code == 400


@pytest.mark.capability("experiments")
def test_a_guardrail_sends_the_arm_to_control_until_reset(deployment):
    server, user = deployment.server, user_in("lookup")
    impossible = {"tokens_per_second": 1e6, "min_requests": 3}
    deployment.experiment(guardrails=impossible)
    arms = [ask(server, user).headers[HEADER] for _ in range(4)]
    assert arms == ["drafting=lookup"] * 3 + ["drafting=control"]
    assert server.metric("latticework_ab_tripped", experiment="drafting", arm="lookup") == 1
    assert server.metric("latticework_ab_trips_total", arm="lookup", guardrail="tokens_per_second") == 1
    deployment.experiment(guardrails=impossible, reset=1)
    assert ask(server, user).headers[HEADER] == "drafting=lookup"


@pytest.mark.capability("experiments")
def test_an_accept_rate_is_judged_across_processes(deployment):
    server, user = deployment.server, user_in("lookup")
    deployment.experiment(guardrails={"accept_rate": 1.0, "min_requests": 1}, reset=5)

    def arm() -> str:
        # Half of what is drafted here is wrong.
        prompt = "Write about red green blue and red yellow and red black and green red and so on, never the same."
        return ask(server, user, prompt=prompt, max_tokens=48).headers[HEADER]

    assert wait_until(lambda: arm() == "drafting=control", 240)
    assert server.metric("latticework_ab_trips_total", arm="lookup", guardrail="accept_rate") == 1


@pytest.mark.capability("experiments")
def test_the_request_log_tells_what_happened_and_no_text(deployment):
    server, user = deployment.server, user_in("lookup")
    telemetry = {"request_log": str(deployment.log)}
    deployment.write({"experiments": {"drafting": DRAFTING}}, telemetry=telemetry)
    ask(server, user, prompt=REPEATING, constraint=CONSTRAINT, max_tokens=40)
    ask(server, user, prompt=REPEATING, constraint=CONSTRAINT, max_tokens=3)
    assert wait_until(lambda: len(deployment.records()) >= 2, 10)
    whole, cut = [record for record in deployment.records() if record["kind"] == "request"][:2]
    assert (whole["result"], whole["constrained"], whole["complete"]) == ("ok", True, True)
    assert (cut["finish"], cut["complete"], cut["tokens"]) == ("length", False, 3)
    assert whole["arms"]["drafting"]["arm"] == "lookup"
    assert whole["endpoint"] == "/v1/chat/completions"
    assert whole["model"] == server.model
    assert whole["prompt_tokens"] > 10
    assert whole["seconds"] > 0
    text = deployment.log.read_text()
    assert "red green" not in text
    assert user not in text
    deployment.write({"experiments": {"drafting": DRAFTING}}, telemetry={**telemetry, "log_text": True})
    ask(server, user, prompt=REPEATING, constraint=CONSTRAINT, max_tokens=40)
    assert wait_until(lambda: "text" in deployment.records()[-1], 10)
    logged = deployment.records()[-1]["text"]
    assert logged["answer"].startswith("red green blue")
    assert "red green" in logged["prompt"]


@pytest.mark.capability("experiments")
def test_what_is_switched_off_is_off_for_all(deployment):
    server = deployment.server
    deployment.write({"experiments": {}}, switch={"off": ["drafter"]})
    names = ("latticework_draft_steps_total", "latticework_sessions")
    before = server.metric(names[0])
    ask(server, "anna", prompt=REPEATING, constraint=CONSTRAINT, max_tokens=40, options={"lw_drafter": "fusion"})
    assert server.metric(names[0]) == before
    deployment.write({"experiments": {}})
    ask(server, "anna", prompt=REPEATING, constraint=CONSTRAINT, max_tokens=40)
    assert wait_until(lambda: server.metric(names[0]) > before, 10)


@pytest.mark.capability("experiments")
def test_clients_cannot_make_labels_up(deployment):
    server = deployment.server
    deployment.write({"experiments": {}})
    for number in range(3):
        options = {"latticework_arm": f"made/up{number}", "latticework_id": "made up", "lw_drafter": "prompt_lookup"}
        ask(server, "anna", prompt=REPEATING, constraint=CONSTRAINT, max_tokens=20, options=options)
    assert "made/up" not in httpx.get(f"{server.url}/metrics").text


@pytest.mark.capability("experiments")
@pytest.mark.skipif(nginx.executable() is None, reason="needs nginx (Debian: apt-get install nginx-light)")
def test_behind_the_proxy_only_its_groups_may_name_an_option(deployment, tmp_path):
    server = deployment.server
    access = {"options": ["lw_engine"], "header": "x-lw-group", "groups": {"research": ["lw_drafter"]}}
    deployment.write({"experiments": {"drafting": DRAFTING}}, access=access)
    tmp_path.chmod(0o755)
    body = chat_body(server, "Is the sky blue?", options={"lw_drafter": "off"}, user="anna", max_tokens=2)
    replica = server.url.removeprefix("http://")
    with nginx.nginx([replica, replica], tmp_path, '"Bearer key" research;\n') as proxy:
        url = f"{proxy}/v1/chat/completions"
        forged = httpx.post(url, json=body, headers={"x-lw-group": "research"}, timeout=TIMEOUT)
        assert forged.status_code == 400
        assert "lw_drafter" in error_of(forged)["message"]
        known = httpx.post(url, json=body, headers={"authorization": "Bearer key"}, timeout=TIMEOUT)
        assert known.status_code == 200, known.text
        assert known.headers[HEADER] in ("drafting=control", "drafting=lookup")
        assert ask(server, "anna").headers[HEADER] == known.headers[HEADER]


@pytest.mark.capability("experiments")
@pytest.mark.skipif(executable() is None, reason="needs a Prometheus server (Debian: apt-get install prometheus)")
def test_prometheus_scrapes_the_engine_and_the_report_counts_what_was_sent(deployment):
    server, users = deployment.server, [f"u{number}" for number in range(12)]
    name = "scraped"  # its own, so that what other tests counted is not in it
    deployment.write({"experiments": {name: DRAFTING}})
    address = server.url.removeprefix("http://")
    with prometheus({"engine": [address]}, rules=[ALERTS]) as scraper:
        assert wait_until(lambda: bool(scraper.query("up == 1")), 30)
        answers = [ask(server, user, prompt=REPEATING, constraint=CONSTRAINT, max_tokens=24) for user in users * 2]
        sent = Counter(answer.headers[HEADER].removeprefix(f"{name}=") for answer in answers)
        query = f'sum(latticework_ab_requests_total{{experiment="{name}"}})'

        def scraped() -> bool:
            found = scraper.query(query)
            return bool(found) and float(found[0]["value"][1]) == len(answers)

        assert wait_until(scraped, 30)
        command = ["ab", "report", name, "--prometheus", scraper.url, "--since", "1h", "--json"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert {rule["health"] for rule in scraper.rules()} <= {"ok", "unknown"}
    assert {arm: counts[0] for arm, counts in found["arms"].items()} == dict(sent)
    accepted = next(one for one in found["comparisons"] if (one["metric"], one["arm"]) == ("accept_rate", "lookup"))
    assert 0 < accepted["own"]["estimate"] <= 1
    seconds = [one["own"]["estimate"] for one in found["comparisons"] if one["metric"] == "seconds"]
    assert all(0.01 < value < 30 for value in seconds)
