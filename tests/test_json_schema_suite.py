"""The official test suite and the sampled schemas of JSONSchemaBench: read and judged by the plain validator, and
written by the JSON machine, as the reference interpreter of pushdown sources reads it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ir_validator import is_valid

from latticework.structured.errors import GrammarError, UnsupportedGrammarError
from latticework.structured.json_machine import json_source
from latticework.structured.json_options import JsonOptions, Order
from latticework.structured.json_schema.reader import read_schema
from latticework.structured.pushdown.automaton import PushdownAutomaton

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
SUITE = DATA / "json-schema-test-suite"
BENCH = DATA / "jsonschema" / "dev.jsonl.gz"
DRAFTS = {"draft4": "4", "draft7": "7", "draft2019-09": "2019-09", "draft2020-12": "2020-12"}

needs_suite = pytest.mark.skipif(not SUITE.is_dir(), reason="the JSON Schema test suite is not beside the repository")
needs_bench = pytest.mark.skipif(
    not BENCH.exists(), reason="the sample of JSONSchemaBench is not beside the repository"
)


def groups(draft: str, pattern: str = "*.json") -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((SUITE / "tests" / draft).glob(pattern)):
        for group in json.loads(file.read_text(encoding="utf-8")):
            yield file.stem, group


def remotes(draft: str) -> dict[str, Any]:
    """The suite's remote documents for a draft, by the URI that it means them to be served under."""
    folder = SUITE / "remotes"
    return {
        f"http://localhost:1234/{file.relative_to(folder).as_posix()}": json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((folder / draft).rglob("*.json"))
    }


def bundle(schema: Any, remote: dict[str, Any], draft: str) -> Any:
    """The schema with the remote documents inside (2020-12 core, section 9.3)."""
    identifier = "id" if draft == "draft4" else "$id"
    inside = {
        uri: {identifier: uri, "$schema": schema.get("$schema"), **document}
        for uri, document in remote.items()
        if isinstance(document, dict) and "metaschema" not in uri
    }
    return {**schema, "definitions": {**schema.get("definitions", {}), **inside}}


def wrong_verdicts(schema: Any, tests: list[dict[str, Any]], **options: Any) -> list[Any]:
    root = read_schema(schema, **options).root
    return [test.get("description", test["data"]) for test in tests if is_valid(root, test["data"]) != test["valid"]]


@needs_suite
@pytest.mark.parametrize("draft", DRAFTS)
def test_every_required_test_but_those_with_remote_documents(draft: str) -> None:
    wrong, refused, judged = [], [], 0
    for file, group in groups(draft):
        if file in ("refRemote", "vocabulary"):
            continue
        try:
            faults = wrong_verdicts(
                group["schema"], group["tests"], default_dialect=DRAFTS[draft], assert_formats=file != "format"
            )
        except UnsupportedGrammarError as error:
            refused.append(error.reason)
            continue
        judged += len(group["tests"])
        wrong += [(file, group["description"], fault) for fault in faults]
    assert not wrong
    assert judged > 600
    assert len(refused) == (5 if draft == "draft2020-12" else 0)  # dynamicRef.json has five groups with remotes
    assert all("leads out of the document" in reason for reason in refused)


@needs_suite
@pytest.mark.parametrize("draft", DRAFTS)
def test_remote_documents_inside_the_schema(draft: str) -> None:
    wrong, refused, judged = [], [], 0
    for file, group in groups(draft):
        if file not in ("refRemote", "dynamicRef", "ref") or not isinstance(group["schema"], dict):
            continue
        try:
            faults = wrong_verdicts(
                bundle(group["schema"], remotes(draft), draft), group["tests"], default_dialect=DRAFTS[draft]
            )
        except UnsupportedGrammarError:
            refused.append(group["description"])
            continue
        judged += len(group["tests"])
        wrong += [(file, group["description"], fault) for fault in faults]
    assert not wrong
    assert judged > 50


@needs_suite
@pytest.mark.parametrize("draft", DRAFTS)
def test_optional_tests(draft: str) -> None:
    """All but the content keywords, which are annotations here, and remote documents."""
    wrong = []
    for file, group in groups(draft, "optional/*.json"):
        if file in ("content", "cross-draft", "format-assertion"):
            continue
        faults = wrong_verdicts(group["schema"], group["tests"], default_dialect=DRAFTS[draft])
        wrong += [(file, group["description"], fault) for fault in faults]
    assert not wrong


@needs_bench
def test_every_instance_of_the_sampled_schemas() -> None:
    wrong, judged = [], 0
    with gzip.open(BENCH, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            judged += len(case["tests"])
            wrong += [(case["id"], fault) for fault in wrong_verdicts(case["schema"], case["tests"])]
    assert not wrong
    assert judged > 2500


def machine_verdict(machine: PushdownAutomaton, value: Any) -> bool:
    state = machine.start()
    for byte in json.dumps(value, ensure_ascii=False).encode():
        state = machine.step(state, byte)
        if state is None:
            return False
    return machine.accepts(state)


def machine_of(schema: Any, **options: Any) -> PushdownAutomaton | None:
    """``None`` where nothing satisfies the schema."""
    try:
        return PushdownAutomaton(json_source(schema, **options))
    except UnsupportedGrammarError:
        raise
    except GrammarError:
        return None


@needs_suite
@pytest.mark.parametrize("draft", DRAFTS)
def test_the_machine_on_every_required_test(draft: str) -> None:
    wrong, refused, served = [], [], 0
    for file, group in groups(draft):
        if file in ("refRemote", "vocabulary"):
            continue
        formats = JsonOptions(order=Order.ANY, assert_formats=False)  # the required tests take them as annotations
        try:
            machine = machine_of(group["schema"], options=formats, default_dialect=DRAFTS[draft])
        except UnsupportedGrammarError as error:
            refused.append(error.reason)
            continue
        served += 1
        wrong += [
            (file, group["description"], test["description"])
            for test in group["tests"]
            if (machine is not None and machine_verdict(machine, test["data"])) != test["valid"]
        ]
    assert not wrong
    assert served >= {"draft4": 150, "draft7": 240, "draft2019-09": 350, "draft2020-12": 360}[draft]
    reasons = ("leads out of the document", "remainders")  # and a divisor of nine digits
    assert all(any(reason in text for reason in reasons) for text in refused)


@needs_bench
@pytest.mark.parametrize("order", list(Order))
def test_the_machine_on_the_sampled_schemas(order: Order) -> None:
    """The first of them; ``latticework bench masks`` goes through all. In declared order, only false accepts count."""
    wrong, refused, judged = [], [], 0
    with gzip.open(BENCH, "rt", encoding="utf-8") as lines:
        cases = [json.loads(line) for line in islice(lines, 100)]
    for case in cases:
        try:
            machine = machine_of(case["schema"], options=JsonOptions(order=order))
        except UnsupportedGrammarError as error:
            refused.append(error.reason)
            continue
        judged += len(case["tests"])
        verdicts = [machine is not None and machine_verdict(machine, test["data"]) for test in case["tests"]]
        wrong += [
            (case["id"], test["data"])
            for test, verdict in zip(case["tests"], verdicts, strict=True)
            if verdict != test["valid"] and (verdict or order is Order.ANY)
        ]
    assert not wrong
    assert len(refused) <= 1
    assert judged > 200
