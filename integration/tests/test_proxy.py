"""Replicas behind the proxy of the manual: a real nginx, real web servers, and the code that assigns arms."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from integration.nginx import CONFIGURATION, executable, free_port, localised, nginx
from integration.tests.client import wait_until
from latticework.plugins.ab.assigning import arm_of
from latticework.plugins.ab.settings import AbSettings

pytest.importorskip("uvicorn", reason="needs the web server of the engines")
pytestmark = pytest.mark.skipif(executable() is None, reason="needs nginx (Debian: apt-get install nginx-light)")

ROOT = Path(__file__).resolve().parents[2]
HEADER = "x-latticework-arm"
SETTINGS = (ROOT / "docs" / "deployment" / "settings.toml").read_text().replace("share = 0.05", "share = 1.0")
KEY = "a secret of this test"
USERS = [f"user-{number}" for number in range(24)]


class Fleet:
    """Two replicas with the settings of the manual, all of whose traffic takes part, and the proxy's address."""

    def __init__(self, folder: Path) -> None:
        self.settings = folder / "settings.toml"
        self.settings.write_text(SETTINGS)
        self.ports = [free_port(), free_port()]
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.proxy = ""

    def start(self, number: int) -> None:
        variables = {**os.environ, "LATTICEWORK_CONFIG": str(self.settings), "LATTICEWORK_AB__KEY": KEY}
        command = [sys.executable, "-m", "integration.replica", f"replica-{number}", str(self.ports[number])]
        self._running[number] = subprocess.Popen(command, cwd=ROOT, env=variables)
        assert wait_until(lambda: self._answers(number), 120)

    def stop(self, number: int) -> None:
        process = self._running.pop(number)
        process.kill()
        process.wait(20)

    def stop_all(self) -> None:
        for number in list(self._running):
            self.stop(number)

    def ask(self, user: str | None, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        body = {**({} if user is None else {"user": user}), **fields}
        return httpx.post(f"{self.proxy}/v1/chat/completions", json=body, headers=headers, timeout=60)

    def arms(self) -> tuple[dict[str, str], set[str]]:
        """Each user's arm, and who served them."""
        answers = {user: self.ask(user) for user in USERS}
        assert {answer.status_code for answer in answers.values()} == {200}
        arms = {user: answer.headers[HEADER] for user, answer in answers.items()}
        return arms, {answer.json()["replica"] for answer in answers.values()}

    def _answers(self, number: int) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.ports[number]}/health").status_code == 200
        return False


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("replicas"))
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    try:
        for number in range(2):
            made.start(number)
        groups = '"Bearer research-key" research;\n'
        with nginx([f"127.0.0.1:{port}" for port in made.ports], folder, groups) as made.proxy:
            yield made
    finally:
        made.stop_all()


def expected() -> dict[str, str]:
    """The arms that the settings give to the users, computed without any server."""
    import tomllib

    ab = AbSettings.model_validate({**tomllib.loads(SETTINGS)["ab"], "key": KEY})
    experiment = ab.experiments["rollout"]
    return {user: f"rollout={arm_of(ab, 'rollout', experiment, f'user={user}')}" for user in USERS}


def test_a_user_has_one_arm_through_every_replica_and_over_a_restart(fleet: Fleet) -> None:
    arms, replicas = fleet.arms()
    assert replicas == {"replica-0", "replica-1"}
    assert arms == expected()
    assert len(set(arms.values())) == 2
    fleet.stop(1)
    assert fleet.arms() == (arms, {"replica-0"}), "no request is lost with a replica, and none changes its arm"
    fleet.start(1)
    served: set[str] = set()
    assert wait_until(lambda: "replica-1" in served or bool(served.update(fleet.arms()[1])), 60)
    assert fleet.arms()[0] == arms


def test_sessions_pass_and_decide_where_there_is_no_user(fleet: Fleet) -> None:
    answers = [fleet.ask(None, {"x-session-id": f"session-{number % 8}"}) for number in range(24)]
    for number in range(8):
        assert len({answer.headers[HEADER] for answer in answers[number::8]}) == 1
    assert len({answer.headers[HEADER] for answer in answers}) == 2


def test_what_decides_is_not_the_clients_word(fleet: Fleet) -> None:
    forged = {"x-lw-group": "research", "x-request-id": "chosen", "x-session-id": "mine", HEADER: "rollout=guided"}
    answer = fleet.ask("user-1", forged)
    seen = answer.json()["headers"]
    assert "x-lw-group" not in seen
    assert seen["x-request-id"] != "chosen"
    assert len(seen["x-request-id"]) == 32
    assert seen["x-session-id"] == "mine"
    assert answer.headers.get_list(HEADER) == [expected()["user-1"]]


def test_groups_are_given_by_the_proxy_and_obeyed(fleet: Fleet) -> None:
    options = {"lw_search": "best_of_n"}
    refused = fleet.ask("user-1", {"x-lw-group": "research"}, options=options)
    assert (refused.status_code, refused.json()) == (400, {"field": "lw_search"})
    known = fleet.ask("user-1", {"authorization": "Bearer research-key"}, options=options)
    assert known.json()["extra"]["lw_search"] == "best_of_n"
    unknown = fleet.ask("user-1", {"authorization": "Bearer another"}, options=options)
    assert unknown.status_code == 400


def test_streams_pass_piece_by_piece(fleet: Fleet) -> None:
    with httpx.stream("POST", f"{fleet.proxy}/v1/completions", json={"user": "user-1", "stream": True}) as answer:
        pieces = answer.iter_bytes()
        assert next(pieces) == b"first\n"
        for port in fleet.ports:
            httpx.get(f"http://127.0.0.1:{port}/release")
        assert b"replica-" in b"".join(pieces)


def test_metrics_are_not_for_clients(fleet: Fleet) -> None:
    assert httpx.get(f"{fleet.proxy}/metrics").status_code == 404
    assert httpx.get(f"{fleet.proxy}/health").json()["path"] == "/health"


def test_the_tests_run_the_configuration_of_the_manual(tmp_path: Path) -> None:
    text = CONFIGURATION.read_text()
    changed = localised(text, ["127.0.0.1:1", "127.0.0.1:2"], 3, tmp_path)
    pairs = [(old, new) for old, new in zip(text.splitlines(), changed.splitlines(), strict=True) if old != new]
    assert len(pairs) == 10, "two replicas, the port, the folder of groups, and six places for files"
    for old, new in pairs:
        assert old.split()[0] == new.split()[0]
    with pytest.raises(ValueError, match="2 replicas"):
        localised(text, ["127.0.0.1:1"], 3, tmp_path)
