"""The soak's own parts: its traffic, its judges, who may get which arm, and what it makes of what it has seen."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
from prometheus_client.samples import Sample as Metric
from rich.console import Console

from integration.bench.soak import judging, memory
from integration.bench.soak.client import Client, Fault, Outcome, _Answer
from integration.bench.soak.gauges import BROKEN_LINE, Load, held, read_log
from integration.bench.soak.picture import draw
from integration.bench.soak.report import Left, Report, document, show
from integration.bench.soak.run import Sample, Seen
from integration.bench.soak.switches import LATE_SECONDS, RELOAD_SECONDS, STATES, Deployment, states
from integration.bench.soak.traffic import KINDS, LEAVES, REFUSED, STREAMS, Planned, Traffic, grammar_of
from integration.server import ENGINES
from latticework.structured import GrammarSpec, Vocabulary, compile_grammar

SCHEMAS = ({"type": "integer"}, {"type": "string"})
BYTES = Vocabulary([*(bytes([byte]) for byte in range(256)), None], [256])


def requests(count: int = 2000, seed: int = 0) -> list[Planned]:
    traffic = Traffic(seed, SCHEMAS)
    return [traffic.request(number) for number in range(count)]


def test_traffic_is_a_function_of_seed_and_number() -> None:
    assert requests(200) == requests(200)
    assert requests(200) != requests(200, seed=1)
    assert Traffic(0, SCHEMAS).request(150) == requests(200)[150]


def test_traffic_has_everything_in_it() -> None:
    found = requests()
    good = [request for request in found if request.refused is None]
    assert {request.kind for request in found} == set(KINDS)
    assert {request.kind for request in found if request.refused is not None} == set(REFUSED)
    assert sum(request.leaves_after is not None for request in good) / len(good) == pytest.approx(LEAVES, abs=0.04)
    assert sum(request.streams for request in good) / len(good) == pytest.approx(STREAMS, abs=0.05)
    assert 0.2 < sum(request.fields.get("temperature", 0) > 0 for request in good) / len(good) < 0.6
    json.dumps([vars(request) for request in found])


def test_new_schemas_are_new_and_known_ones_are_few() -> None:
    def schemas(kind: str) -> list[str]:
        return [json.dumps(request.constraint) for request in requests() if request.kind == kind]

    new, known = schemas("new JSON schema"), schemas("known JSON schema")
    assert len(set(new)) == len(new)
    assert len(set(known)) <= 6


def test_constraints_can_be_enforced_by_our_own_engine() -> None:
    make = {
        "json": lambda payload: GrammarSpec.json_schema(json.dumps(payload)),
        "regex": GrammarSpec.regex,
        "grammar": GrammarSpec.grammar,
        "choice": GrammarSpec.choice,
    }
    for request in requests(150):
        if request.constraint is not None and request.refused is None:
            kind, payload = request.constraint
            compile_grammar(make[kind](payload), BYTES, "lattice")
            if kind == "json":
                jsonschema.Draft202012Validator.check_schema(payload)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("ship 7: none.", True),
        ("ship 7: a = 12, none.", True),
        ("ship 7: a = 12, b = 1, none.", False),
        ("ship 7: f = 1.", False),
        ("ship 7: none", False),
    ],
)
def test_a_grammar_and_the_expression_that_judges_it_say_the_same(text: str, fits: bool) -> None:
    grammar, expression = grammar_of("ship", 7)
    matcher = compile_grammar(GrammarSpec.grammar(grammar), BYTES, "lattice").matcher()
    assert (all(matcher.accept(byte) for byte in text.encode()) and matcher.can_end) is fits
    assert (judging.fault(("regex", expression), text, finished=True) is None) is fits


@pytest.mark.parametrize(
    ("constraint", "text", "finished", "fits"),
    [
        (("json", {"type": "integer"}), "12", True, True),
        (("json", {"type": "integer"}), '"x"', True, False),
        (("json", {"type": "object"}), '{"a": 1, "a": 2}', True, False),
        (("json", {"type": "object"}), '{"a": ', True, False),
        (("json", {"type": "object"}), '{"a": ', False, True),
        (("regex", r"\d{3}"), "12", True, False),
        (("regex", r"\d{3}"), "12", False, True),
        (("regex", r"\d{3}"), "x", False, False),
        (("regex", r"\d"), "٣", True, False),
        (("choice", ["yes", "no"]), "yes", True, True),
        (("choice", ["yes", "no"]), "ye", True, False),
        (("choice", ["yes", "no"]), "ye", False, True),
    ],
)
def test_answers_are_judged(constraint, text: str, finished: bool, fits: bool) -> None:
    assert (judging.fault(constraint, text, finished=finished) is None) is fits


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deployment(tmp_path: Path, clock: Clock) -> Deployment:
    return Deployment(tmp_path, 0, clock)


def user_of(deployment: Deployment, arm: str) -> str:
    users = (f"user-{number}" for number in range(1000))
    return next(user for user in users if f"drafting={arm}" in next(iter(deployment.arms(user, 100.0, 100.0))))


def test_an_arm_is_the_assigned_one(deployment: Deployment) -> None:
    (header,) = deployment.arms("anna", 100.0, 101.0)
    assert header.startswith("drafting=")
    assert len({next(iter(deployment.arms(f"user-{n}", 100.0, 100.0))) for n in range(40)}) > 4


def test_while_the_file_changes_two_arms_are_possible(deployment: Deployment, clock: Clock) -> None:
    before = deployment.arms("anna", 100.0, 101.0)
    clock.now = 200.0
    deployment.write("all off")
    assert deployment.arms("anna", 150.0, 160.0) == before
    assert deployment.arms("anna", 199.0, 201.0) == {*before, ""}
    assert deployment.arms("anna", 200.0 + RELOAD_SECONDS / 2, 203.0) == {*before, ""}
    assert deployment.arms("anna", 201.0 + RELOAD_SECONDS + LATE_SECONDS, 210.0) == {""}


def test_a_broken_file_changes_nothing(deployment: Deployment, clock: Clock) -> None:
    before = deployment.arms("anna", 100.0, 101.0)
    clock.now = 200.0
    deployment.write("broken")
    with pytest.raises(ValueError):
        json.loads(deployment.path.read_text())
    assert deployment.arms("anna", 210.0, 211.0) == before


def test_an_arm_that_may_trip_may_be_control(deployment: Deployment, clock: Clock) -> None:
    fusion, guided = user_of(deployment, "fusion"), user_of(deployment, "guided")
    clock.now = 200.0
    deployment.write("tripped elsewhere")
    assert {header.split(",")[0] for header in deployment.arms(fusion, 210.0, 211.0)} == {
        "drafting=fusion",
        "drafting=control",
    }
    assert {header.split(",")[0] for header in deployment.arms(guided, 210.0, 211.0)} == {"drafting=guided"}


def test_what_is_switched_off_is_known(deployment: Deployment, clock: Clock) -> None:
    clock.now = 200.0
    deployment.write("processors switched off")
    assert deployment.switched_off(190.0, 195.0) == set()
    assert deployment.switched_off(190.0, 201.0) == {"processor"}


def test_all_states_come_and_each_can_be_written(deployment: Deployment) -> None:
    coming = states(0)
    drawn = [next(coming) for _ in range(2 * len(STATES))]
    assert Counter(drawn) == {**dict.fromkeys(STATES, 1), "even": len(STATES)}
    for state in drawn:
        deployment.write(state)
    assert deployment.states == {**dict.fromkeys(STATES, 1), "even": len(STATES) + 1}


def test_a_family_of_processes(tmp_path: Path) -> None:
    """By parents, and by the session: a child whose parent has died belongs to it too."""
    for pid, parent, session in ((1, 0, 1), (7, 1, 7), (8, 7, 7), (9, 8, 9), (10, 1, 7), (11, 1, 1)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) b) S {parent} 5 {session} 0")
    (tmp_path / "self").mkdir()
    assert memory.family(7, tmp_path) == [7, 8, 9, 10]


def test_growth_is_a_slope_that_single_peaks_do_not_bend() -> None:
    minutes = np.arange(0, 20, 0.1)
    sizes = 1000 + 2.5 * minutes + np.random.default_rng(0).normal(0, 3, len(minutes))
    sizes[::17] += 400
    grown = memory.growth(minutes.tolist(), sizes.tolist())
    assert grown is not None
    assert grown.per_minute == pytest.approx(2.5, abs=0.15)
    assert grown.low < 2.5 < grown.high
    assert memory.growth([0, 1], [1, 2]) is None


def metric(name: str, value: float, **labels: str) -> Metric:
    return Metric(name, labels, value)


def test_what_is_held_is_read_from_the_metrics() -> None:
    names = ENGINES["vllm"].metrics
    samples = [
        metric(names.running, 2),
        metric(names.waiting, 1),
        metric("latticework_sessions", 3, process="worker"),
        metric("latticework_ab_assignments_total", 9, why="assigned"),
        metric("latticework_ab_assignments_total", 5, why="diverted"),
        metric("latticework_ab_requests_total", 4, result="ok"),
        metric("latticework_ab_requests_total", 1, result="cancelled"),
    ]
    assert list(held(samples, names).values()) == [2, 1, 3, 4]
    assert list(held([], names).values()) == [0, 0, 0, 0]


def test_a_request_log_is_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert read_log(log) == {}
    log.write_text('{"kind":"request","result":"ok"}\n{"kind":"drafts"}\n{"kind":"requ\n')
    assert read_log(log) == {"request ok": 1, "drafts": 1, BROKEN_LINE: 1}


def outcome(number: int, result: str = "ok", *faults: Fault) -> Outcome:
    seconds = 0.1 + number % 10 / 10
    return Outcome(number, KINDS[number % 3], result, number, seconds, 0.05, "drafting=fusion, engines=foreign", faults)


def made(growth: float = 0.0, **fields) -> Report:
    chance = random.Random(0)
    samples = [
        Sample(at, {"engine 7": 1000 + (growth + 2) * at + chance.random(), "server 8": 200.0}, Load(3, 2, 2 * at))
        for at in (n / 10 for n in range(100))
    ]
    seen = Seen([outcome(n) for n in range(60)] + [outcome(60, "left"), outcome(61, "cut")], samples, 10.0)
    left = Left({"sessions": 0.0}, {"exceptions": 0.0}, {"tokens drafted": 7.0}, {"request ok": 60})
    return Report(
        **{
            "title": "an engine",
            "seen": seen,
            "left": left,
            "warm_up": 3.0,
            "most_growth": 5.0,
            "states": {"even": 2},
            "first_answers": 3.0,
            **fields,
        }
    )


def test_nothing_wrong() -> None:
    assert made().wrong() == []
    assert made(growth=4.0).wrong() == []
    assert made(growth=9.0, warm_up=6.0).wrong() == [], "too short to be judged"


def broken(report: Report, what: str) -> None:
    match what:
        case "fault":
            report.seen.outcomes.append(outcome(99, "failed", Fault("unexpected status", 99, "500")))
        case "gone":
            report.seen.gone = True
        case "part":
            report.seen.failures.append("_look: OSError")
        case "nothing":
            report.seen.outcomes.clear()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("fault", "unexpected status: 1"),
        ("gone", "ended by itself"),
        ("part", "the soak itself failed"),
        ("nothing", "no request was answered"),
    ],
)
def test_what_is_wrong_with_the_traffic_is_said(what: str, reason: str) -> None:
    report = made()
    broken(report, what)
    assert [line for line in report.wrong() if reason in line]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"growth": 9.0}, "memory grows by 9"),
        ({"left": None}, "could not be asked"),
        ({"left": Left({"sessions": 2.0}, {}, {}, {})}, "still held after the traffic: sessions: 2"),
        ({"left": Left({}, {"exceptions": 1.0}, {}, {})}, "exceptions: 1"),
        ({"left": Left({}, {}, {}, {BROKEN_LINE: 3})}, "cannot be read: 3"),
    ],
)
def test_what_is_left_is_said(fields, reason: str) -> None:
    assert [line for line in made(**fields).wrong() if reason in line]


def test_a_report_as_text_as_data_and_as_a_picture(tmp_path: Path) -> None:
    report = made()
    report.seen.outcomes.append(outcome(62, "failed", Fault("invalid structured answer", 62, "[not] markup")))
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    show(report, console)
    text = console.export_text()
    assert "invalid structured answer, request 62: [not] markup" in text
    assert "wrong: invalid structured answer: 1" in text
    assert "engines=foreign" in text
    data = json.loads(json.dumps(document(report)))
    assert data["wrong"] == report.wrong()
    assert data["kinds"]["plain"]["ok"] == 20
    assert len(data["outcomes"]) == 63
    draw(report, tmp_path / "memory.png")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("engine", "prompt", "status", "kinds"),
    [
        ("sglang", "(not an object)", 500, []),
        ("vllm", "(not an object)", 500, ["unexpected status"]),
        ("sglang", "(no JSON)", 500, ["unexpected status"]),
        ("sglang", "(not an object)", 400, []),
    ],
)
def test_only_what_an_engine_itself_does_wrong_is_left_to_it(
    deployment: Deployment, engine: str, prompt: str, status: int, kinds: list[str]
) -> None:
    server = SimpleNamespace(engine=ENGINES[engine], url="", model="m")
    planned = Planned(1, "malformed", "user-1", prompt, body="[]", refused="")
    sender = Client(server, deployment)
    _, faults = sender._judged(planned, _Answer(status=status, error="an error"), 0.0, 1.0)
    assert [kind for kind, _ in faults] == kinds
