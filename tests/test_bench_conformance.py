"""``latticework bench conformance`` on a suite of a few groups."""

import json

import pytest
from typer.testing import CliRunner

from latticework.adapters.cli.main import app
from latticework.bench.cases import case_of
from latticework.bench.conformance.judge import Verdict, by_keyword, counts, verdict
from latticework.bench.conformance.suite import drafts_in, read_suite, suite_directory
from latticework.bench.workers.protocol import CaseResult, InstanceResult, Status
from latticework.structured.errors import LatticeworkError

NUMBERS = {"description": "numbers", "schema": {"type": "number"}}
NUMBERS["tests"] = [
    {"description": "one", "data": 1, "valid": True},
    {"description": "text", "data": "x", "valid": False},
]
NOTHING = {"description": "nothing", "schema": {"allOf": [{"const": 1}, {"const": 2}]}}
NOTHING["tests"] = [{"description": "one", "data": 1, "valid": False}]


@pytest.fixture
def suite(tmp_path):
    folder = tmp_path / "tests" / "draft2020-12"
    (folder / "optional").mkdir(parents=True)
    (folder / "type.json").write_text(json.dumps([NUMBERS]))
    (folder / "allOf.json").write_text(json.dumps([NOTHING]))
    (folder / "refRemote.json").write_text(json.dumps([NUMBERS]))
    (folder / "optional" / "extra.json").write_text(json.dumps([NUMBERS]))
    return tmp_path


def test_reading(suite, monkeypatch):
    assert drafts_in(suite) == ["2020-12"]
    cases = read_suite(suite, "2020-12")
    assert [(case.family, case.name) for case in cases] == [("allOf", "allOf: nothing"), ("type", "type: numbers")]
    assert cases[1].schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert [case.family for case in read_suite(suite, "2020-12", optional=True)] == ["extra"]
    with pytest.raises(LatticeworkError, match="no tests there"):
        read_suite(suite, "7")
    with pytest.raises(LatticeworkError, match="--suite"):
        suite_directory(suite / "tests")
    monkeypatch.setenv("LATTICEWORK_DATA", str(suite / "absent"))
    with pytest.raises(LatticeworkError, match="clone"):
        suite_directory(None)


def answers(*accepted, status=Status.COMPILED, reason=""):
    tests = [(True, accepted[0]), (False, accepted[1])] if accepted else []
    return CaseResult("n", "f", status, reason, instances=[InstanceResult(*test) for test in tests])


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (answers(True, False), Verdict.RIGHT),
        (answers(False, False), Verdict.OVER),
        (answers(True, True), Verdict.UNDER),
        (answers(False, True), Verdict.UNDER),
        (answers(None, False), Verdict.OVER),
        (answers(status=Status.REFUSED, reason="unsupported: x"), Verdict.REFUSED),
        (answers(status=Status.REFUSED, reason="invalid: nothing satisfies it"), Verdict.REFUSED),
        (answers(status=Status.TIMEOUT), Verdict.LOST),
    ],
)
def test_verdicts(result, expected):
    assert verdict(case_of({"file": "type.json", **NUMBERS}), result).verdict is expected


def test_saying_that_nothing_is_valid_is_right_where_nothing_is():
    refusal = answers(status=Status.REFUSED, reason="invalid: nothing satisfies it")
    assert verdict(case_of({"file": "allOf.json", **NOTHING}), refusal).verdict is Verdict.RIGHT
    beyond = answers(status=Status.REFUSED, reason="unsupported: allOf")
    assert verdict(case_of({"file": "allOf.json", **NOTHING}), beyond).verdict is Verdict.REFUSED


def test_counting():
    case = case_of({"file": "type.json", **NUMBERS})
    judged = [verdict(case, answers(True, False)), verdict(case, answers(True, True))]
    assert counts(judged)[Verdict.RIGHT] == 1
    assert by_keyword(judged)["type"][Verdict.UNDER] == 1
    assert judged[0].group == "numbers"
    assert judged[1].detail == 'takes "x"'


def test_the_command(suite, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    document = suite / "found.json"
    arguments = ["bench", "conformance", "--engine", "lattice,llguidance", "--draft", "all", "--suite", str(suite)]
    result = CliRunner().invoke(app, [*arguments, "--verbose", "--json", str(document)])
    assert result.exit_code == 0, result.output
    assert "allOf" in result.output
    for found in json.loads(document.read_text()):
        assert found["groups"] == 2
        assert found["counts"]["right"] == 2
        assert found["not_right"] == []
    table = CliRunner().invoke(app, [*arguments, "--markdown"]).stdout
    assert table.splitlines()[2].startswith("| lattice | latticework ")
    assert CliRunner().invoke(app, [*arguments, "--draft", "3"]).exit_code == 2
