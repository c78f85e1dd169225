"""A hundred real schemas, each served by our own grammar engine: whatever was finished validates.

A quarter of them are served by `make test` and all by `make test-long`.

The schemas are the sample of JSONSchemaBench beside the repository; without it the test is skipped.
"""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest

from integration.server import Server
from integration.tests.client import chat, error_of
from latticework.bench.data import data_directory

pytestmark = pytest.mark.engine

COUNT = 100
FIRST = 25
#: A small model writes on where a schema lets it: most answers are cut, whatever their number.
MAX_TOKENS = 48
ENOUGH = 5
#: With speculation eight requests at once are slow on a CPU, and most of what could go wrong is the same.
COUNT_SPECULATING = 20
_FOLDER = data_directory()
_FILE = _FOLDER / "jsonschema" / "dev.jsonl.gz" if _FOLDER else None
needs_schemas = pytest.mark.skipif(
    _FILE is None or not _FILE.exists(), reason="the sample of JSONSchemaBench is not beside the repository"
)


def schemas() -> list[tuple[str, dict[str, Any]]]:
    assert _FILE is not None
    with gzip.open(_FILE, "rt", encoding="utf-8") as lines:
        cases = [json.loads(line) for line, _ in zip(lines, range(COUNT), strict=False)]
    return [(case["id"], case["schema"]) for case in cases]


def fault(server: Server, schema: dict[str, Any]) -> str | None:
    """What is wrong with an answer under ``schema``; ``"cut"`` if it was not finished, ``"refused"`` with a reason."""
    prompt = f"Write a short JSON document. {schema.get('title', '')} {schema.get('description', '')}"[:400]
    response = chat(
        server, prompt, constraint=("json", schema), options={"lw_engine": "lattice"}, max_tokens=MAX_TOKENS
    )
    if response.status_code != 200:
        return f"refused: {error_of(response)['message']}"
    choice = response.json()["choices"][0]
    if choice["finish_reason"] == "length":
        return "cut"
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        validator(schema).validate(json.loads(choice["message"]["content"]))
    except (ValueError, jsonschema.ValidationError) as error:
        return f"invalid: {error}"
    return None


@needs_schemas
@pytest.mark.capability("real schemas")
def test_answers_under_some_real_schemas_are_valid(constraining_server):
    check(constraining_server, schemas()[:FIRST], 1)


@pytest.mark.long
@needs_schemas
@pytest.mark.capability("real schemas")
def test_answers_under_real_schemas_are_valid(constraining_server):
    check(constraining_server, schemas(), ENOUGH)


@pytest.mark.long
@needs_schemas
@pytest.mark.capability("real schemas")
def test_answers_with_speculation_are_valid(server):
    check(server, schemas()[:COUNT_SPECULATING], 1)


def check(server: Server, cases: list[tuple[str, dict[str, Any]]], enough: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda case: fault(server, case[1]), cases))
    faults = dict(zip([name for name, _ in cases], found, strict=True))
    wrong = {name: why for name, why in faults.items() if why and not why.startswith(("cut", "refused"))}
    refused = {name: why for name, why in faults.items() if why and why.startswith("refused")}
    finished = sum(why is None for why in faults.values())
    print(f"{finished} of {len(cases)} answers were finished, {len(refused)} schemas were refused: {refused}")
    assert not wrong
    assert len(refused) <= 2, refused
    assert finished >= enough, "too few answers to judge"
