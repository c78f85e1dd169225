"""Random documents out of the masks are valid and never stuck: ``latticework bench walks``, and a slice of it.

The whole walk, two million tokens over 300 schemas, is the command's default; docs/benchmarks.md quotes its result.
"""

from __future__ import annotations

import json
import random

import pytest
from typer.testing import CliRunner

from latticework.adapters.cli.main import app
from latticework.bench.cases import BUILTIN, read_cases
from latticework.bench.tokenizers import BYTES, TokenizerSource
from latticework.bench.walks.judge import Judge
from latticework.bench.walks.run import required_names, walk_case
from latticework.bench.walks.walk import Fate, Tokens, Walk, Walker
from latticework.structured.engines.lattice import LatticeEngine
from latticework.structured.json_machine import json_source
from latticework.structured.json_options import JsonOptions
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.automaton import PushdownAutomaton
from latticework.structured.pushdown.protocol import Action, Enter, PlainSource, Return
from latticework.structured.pushdown.steering import DeadEndError, Steering
from latticework.structured.pushdown.table import build_table
from latticework.structured.spec import GrammarSpec

VOCABULARY = TokenizerSource(BYTES, None, "").vocabulary()
TOKENS = Tokens(VOCABULARY)


def test_documents_of_real_schemas(data_directory, smollm2_vocabulary) -> None:
    """30 schemas from all over the file, 20,000 tokens."""
    cases = read_cases(data_directory / "jsonschema" / "dev.jsonl.gz")[::20][:30]
    tokens = Tokens(smollm2_vocabulary)
    found = [walk_case(case, tokens, 20_000 // len(cases)) for case in cases]
    assert [(walks.name, *fault) for walks in found for fault in walks.faults] == []
    assert sum(not walks.refused for walks in found) >= 29
    assert sum(walks.tokens for walks in found) >= 19_000
    assert sum(walks.fates[Fate.VALID] for walks in found) > 400


@pytest.mark.parametrize("case", BUILTIN, ids=lambda case: case.name)
def test_documents_of_built_in_schemas(case) -> None:
    walks = walk_case(case, TOKENS, 500)
    assert walks.faults == []
    assert walks.fates[Fate.VALID] > 5


def walk(schema, reference=None, judged=None, longest: int = 20, seed: int = 0) -> Walk:
    """A walk by the masks of one schema, steered by a second and judged by a third."""
    options = JsonOptions()
    grammar = LatticeEngine().compile(GrammarSpec.json_schema(schema, options), VOCABULARY, GrammarLimits())
    source = json_source(schema if reference is None else reference, options)
    judge = Judge(schema if judged is None else judged)
    return Walker(grammar, TOKENS, source, judge).walk(random.Random(seed), longest)


def test_faults_are_found() -> None:
    strings, numbers = {"type": "string"}, {"type": "number"}
    assert walk(strings, judged=numbers).fate is Fate.INVALID
    assert walk(strings, reference=numbers).fate is Fate.CONTRADICTED
    # The reference ends where the masks do not, and goes on with what they forbid.
    assert walk({"const": [1, 2]}, reference={"const": [1]}, longest=2).fate is Fate.CONTRADICTED
    assert walk({"const": [1]}, reference={"const": [1, 2]}, longest=2).fate is Fate.CONTRADICTED
    assert walk(strings).fate is Fate.VALID


class Trap(PlainSource):
    """``a*`` or ``b``, after which a promise is broken: nothing can follow, and the text cannot end."""

    TABLE = build_table([[(0x61, 0x61, 0), (0x62, 0x62, 1)], []], [0, 1], end=[-1, 1])
    NOTHING = build_table([[(0x63, 0x63, 1)], []], [-1, 0])

    def start(self) -> Action:
        return Enter(("after", "word"), self.TABLE, 0)

    def resume(self, symbol, result):
        return Enter(("nothing",), self.NOTHING, 0) if symbol == "word" and result == 1 else Return(0)

    def goal(self, symbol) -> int:
        return 3 if symbol == "word" else 0


def test_a_dead_end_is_told_from_an_end_that_is_not_found() -> None:
    automaton = PushdownAutomaton(Trap())
    steering = Steering(automaton)
    trapped = automaton.step(automaton.start(), ord("b"))
    assert trapped is not None
    with pytest.raises(DeadEndError):
        steering.to_an_end(trapped, random.Random(0), 100)
    many = PushdownAutomaton(json_source({"type": "array", "minItems": 500}))
    assert Steering(many).to_an_end(many.start(), random.Random(0), 100) is None


def test_an_end_is_found_where_chance_would_not() -> None:
    """One name of a hundred is required; the others open objects that require it again."""
    part = {"$ref": "#"}
    schema = {"type": "object", "properties": {f"p{i}": part for i in range(99)}, "required": ["id"]}
    automaton = PushdownAutomaton(json_source(schema))
    state = automaton.start()
    for byte in b'{"p7": {"p1":':
        state = automaton.step(state, byte)
    rest = Steering(automaton, required_names(schema)).to_an_end(state, random.Random(3), 2000)
    assert rest is not None
    assert Judge(schema).fault(b'{"p7": {"p1":' + rest) is None


def test_walks_repeat() -> None:
    case = BUILTIN[0]
    assert walk_case(case, TOKENS, 200) == walk_case(case, TOKENS, 200)
    assert walk_case(case, TOKENS, 200, seed=1) != walk_case(case, TOKENS, 200)


DRAFT4 = {"$schema": "http://json-schema.org/draft-04/schema#"}


@pytest.mark.parametrize(
    ("schema", "text", "valid"),
    [
        ({"type": "integer"}, "1.0", True),
        ({**DRAFT4, "type": "integer"}, "1.0", False),
        ({"multipleOf": 0.1}, "0.3", True),
        ({"multipleOf": 0.1}, "0.35", False),
        ({"enum": [0.1]}, "0.1", True),
        ({"maximum": 0.3}, "0.30000000000000000001", False),
        ({"pattern": "^a$"}, '"a\\n"', False),
        ({"pattern": r"^\d$"}, '"٣"', False),
        ({"patternProperties": {"^a$": False}, "additionalProperties": {"type": "null"}}, '{"b": null}', True),
        ({"patternProperties": {"^a$": False}}, '{"a": null}', False),
        ({"additionalProperties": False}, '{"a": null}', False),
        ({"format": "date"}, '"2026-02-29"', False),
        ({"format": "color"}, '"anything"', True),
        ({}, '{"a": 1, "a": 2}', False),
        ({}, "[1,]", False),
        ({}, "NaN", False),
        ({}, '"\\ud800"', True),
    ],
)
def test_the_judge(schema, text: str, valid: bool) -> None:
    assert (Judge(schema).fault(text.encode()) is None) == valid


def test_the_command(tmp_path) -> None:
    data = tmp_path / "cases.jsonl"
    lines = [
        {"id": "one", "family": "f", "schema": {"type": "integer"}, "tests": []},
        {"id": "refused", "family": "f", "schema": {"pattern": "(a)\\1"}, "tests": []},
        {"id": "two", "family": "f", "schema": {"enum": ["a", "b"]}, "tests": []},
    ]
    data.write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "walks.json"
    arguments = ["bench", "walks", "--data", data, "--tokenizer", "bytes", "--schemas", 2, "--tokens", 60]
    result = CliRunner().invoke(app, list(map(str, [*arguments, "--json", out])))
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert [(walks["name"], bool(walks["refused"])) for walks in found] == [
        ("one", False),
        ("refused", True),
        ("two", False),
    ]
    assert all(walks["refused"] or walks["tokens"] >= 30 for walks in found)
    assert all(walks["fates"].keys() <= {"valid"} for walks in found)
    result = CliRunner().invoke(app, ["bench", "walks", "--data", str(data), "--case", "three", "--tokenizer", "bytes"])
    assert result.exit_code == 2
    assert "three" in result.output
