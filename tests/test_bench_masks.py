"""``latticework bench masks``: what is measured, counted, written and drawn."""

import json

import pytest
from typer.testing import CliRunner

from latticework.adapters.cli.main import app
from latticework.bench.cases import BUILTIN, case_of, read_cases
from latticework.bench.engines import registry
from latticework.bench.engines.base import RefusedError, Walk
from latticework.bench.masks.plan import Plan, Run, measure, prepare
from latticework.bench.masks.record import record, runs_from
from latticework.bench.masks.summary import refusals, summarize
from latticework.bench.masks.table import COLUMNS, cells
from latticework.bench.tokenizers import BYTES, TokenizerSource, find_tokenizer
from latticework.bench.workers.protocol import CaseResult, Clock, Opened, Status
from latticework.bench.workers.worker import Bench
from latticework.structured.errors import LatticeworkError

SOURCE = TokenizerSource(BYTES, None, "")


@pytest.fixture(scope="module")
def runs():
    """The built-in schemas on two engines, with a schema that one of them must refuse."""
    refused = case_of({"id": "refused", "schema": {"not": {"type": "string", "pattern": "(a)\\1"}}, "tests": []})
    plan = Plan(["lattice", "llguidance"], [SOURCE], [*BUILTIN, refused], case_seconds=60.0)
    seen = []
    found, whole = measure(plan, lambda run: seen.append((run.engine, len(run.results))))
    assert whole
    assert ("lattice", 0) in seen
    assert ("llguidance", len(BUILTIN)) in seen
    return plan, found


def test_engines_are_right_about_the_built_in_schemas(runs):
    for run in runs[1]:
        assert run.failure == ""
        *builtin, refused = run.results
        assert [(result.name, result.status, result.right) for result in builtin] == [
            (case.name, Status.COMPILED, True) for case in BUILTIN
        ]
        assert refused.status is Status.REFUSED
        assert refused.reason.startswith("unsupported: ")
        # A valid instance is walked to its end, an invalid one to the byte that is not allowed.
        for case, result in zip(BUILTIN, builtin, strict=True):
            valid = sum(len(instance.text.encode()) for instance in case.instances if instance.valid)
            assert len(result.token_ns) > valid
            assert result.first_mask_ns >= result.compile_ns > 0


def test_summary_and_table(runs):
    summary = summarize(runs[1][0])
    assert (summary.schemas, summary.compiled, summary.right, summary.refused) == (6, 5, 5, 1)
    assert (summary.false_accepts, summary.false_refusals, summary.lost) == (0, 0, {})
    assert summary.token_us is not None
    assert list(summary.token_us) == sorted(summary.token_us)
    assert summary.peak_rss >= summary.base_rss > 10 << 20
    (reason,) = refusals(runs[1][0])
    assert reason[1:] == (1, "refused")
    row = cells(summary)
    assert row[2] == "5 of 6"
    assert len(row) == len(COLUMNS)


def test_the_document_holds_everything_that_was_measured(runs):
    plan, found = runs
    document = json.loads(json.dumps(record(plan, found, "built in")))
    assert document["clock"] == "cpu"
    assert document["data"] == {"source": "built in", "schemas": 6, "sha256": document["data"]["sha256"]}
    assert {"processor", "cores", "system", "python"} == set(document["machine"])
    assert [run["summary"]["compiled"] for run in document["runs"]] == [5, 5]
    again = runs_from(document)
    assert [summarize(run) for run in again] == [summarize(run) for run in found]


def test_percentiles_are_values_that_were_measured():
    opened = Opened("x 1", 1.0, 2.0, 0, 1)
    results = [CaseResult("a", "b", Status.COMPILED, first_mask_ns=10**6, token_ns=[*range(1000, 1001_000, 1000)])]
    summary = summarize(Run("x", "y", opened, results=results))
    assert summary.token_us == (500.0, 990.0, 999.0)
    assert summary.first_mask_ms == (1.0, 1.0)
    assert summarize(Run("x", "y", opened)).token_us is None


def test_lost_schemas_are_counted_apart():
    results = [CaseResult("a", "b", status) for status in (Status.TIMEOUT, Status.TIMEOUT, Status.CRASH)]
    summary = summarize(Run("x", "y", Opened("x 1", 1.0, 2.0, 0, 1), results=results))
    assert summary.lost == {"timeout": 2, "crash": 1}
    assert cells(summary)[2] == "0 of 3, 1 crash, 2 timeout"


class Scripted:
    """An engine whose masks allow the bytes of one text, and whose accept may say otherwise."""

    version = "scripted 1"

    def __init__(self, text, *, liar=False, broken=False):
        self.text, self.liar, self.broken = text, liar, broken

    def compile(self, schema):
        import numpy as np

        if schema is False:
            raise RefusedError("invalid", "nothing")
        if self.broken:
            raise ZeroDivisionError("oops")

        def start():
            row, at = np.zeros(9, np.int32), [0]

            def fill():
                row[:] = 0
                if at[0] < len(self.text):
                    byte = self.text[at[0]]
                    row.view(np.uint32)[byte >> 5] = 1 << (byte & 31)

            def accept(token):
                fits = at[0] < len(self.text) and token == self.text[at[0]]
                at[0] += 1
                return fits != self.liar

            return Walk(row, fill, accept, lambda: at[0] == len(self.text))

        return start


def instance(text, valid):
    return {"valid": valid, "tokens": list(text)}


def test_a_walk_stops_where_the_mask_says_no():
    bench = Bench(Scripted(b"abc"), Clock.WALL)
    texts = [(b"abc", True), (b"ab", True), (b"abd", False), (b"abcd", False)]
    result = bench.case({}, [instance(text, valid) for text, valid in texts])
    assert result["status"] is Status.COMPILED
    found = [(each["accepted"], each["stopped"]) for each in result["instances"]]
    assert found == [(True, None), (False, 2), (False, 2), (False, 3)]
    assert len(result["token_ns"]) == 3 + 2 + 3 + 4


def test_where_mask_and_accept_disagree():
    """What the mask forbids is never sampled, whatever ``accept`` would say; what it allows must be accepted."""
    result = Bench(Scripted(b"abc", liar=True), Clock.WALL).case({}, [instance(b"abc", True), instance(b"x", False)])
    allowed, forbidden = result["instances"]
    assert allowed["accepted"] is None
    assert "in the mask" in allowed["error"]
    assert forbidden["accepted"] is False


def test_refusals_and_failures_are_told_apart():
    assert Bench(Scripted(b""), Clock.WALL).case(False, [])["status"] is Status.REFUSED
    failed = Bench(Scripted(b"", broken=True), Clock.WALL).case({}, [])
    assert (failed["status"], failed["reason"]) == (Status.ERROR, "ZeroDivisionError: oops")


def test_cases_are_read_from_both_formats(tmp_path):
    path = tmp_path / "cases.jsonl"
    lines = [
        {"id": "one", "family": "f", "schema": {}, "tests": [{"valid": True, "data": {"ü": 1}}]},
        {"file": "anyOf.json", "description": "two", "schema": True, "tests": [{"data": 1, "valid": False}]},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    one, two = read_cases(path)
    assert (one.name, one.family, one.instances[0].text) == ("one", "f", '{"ü": 1}')
    assert (two.name, two.family, two.instances[0].valid) == ("anyOf: two", "anyOf", False)
    assert len(read_cases(path, 1)) == 1
    assert prepare([one], SOURCE.vocabulary())[0][0]["tokens"] == list('{"ü": 1}'.encode())


def test_unknown_names_are_errors(tmp_path):
    with pytest.raises(LatticeworkError, match="unknown engine 'x'"):
        registry.check_names(["lattice", "x"])
    with pytest.raises(LatticeworkError, match="neither a file nor one of"):
        find_tokenizer("nothing", tmp_path)


def test_a_peer_that_is_not_installed_is_skipped_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("LATTICEWORK_PEERS", str(tmp_path))
    monkeypatch.setattr(registry.util, "find_spec", lambda name: None)
    reason = registry.missing("glrmask")
    assert f"pip install --no-deps --target {tmp_path} glrmask==" in reason
    assert registry.missing("lattice") is None
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, ["bench", "masks", "--engines", "glrmask", "--tokenizer", "bytes"])
    assert result.exit_code == 2
    assert "pip install" in result.output


def test_the_command_measures_writes_and_draws(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("LATTICEWORK_DATA", str(tmp_path))
    document, picture = tmp_path / "masks.json", tmp_path / "masks.png"
    arguments = ["--engines", "llguidance", "--tokenizer", "bytes", "--schemas", "2", "--clock", "wall"]
    result = CliRunner().invoke(app, ["bench", "masks", *arguments, "--json", str(document), "--picture", str(picture)])
    assert result.exit_code == 0, result.output
    assert "2 of 2" in result.output
    assert json.loads(document.read_text())["data"]["source"] == "built in"
    assert picture.read_bytes().startswith(b"\x89PNG")
    twice = ["--redraw", str(document), "--redraw", str(document)]
    again = CliRunner().invoke(app, ["bench", "masks", *twice, "--markdown"])
    assert again.exit_code == 0
    assert again.output.startswith("| engine |")
    assert again.output.count("2 of 2") == 2
    document.write_text(document.read_text().replace('"wall"', '"cpu"', 1))
    other = tmp_path / "other.json"
    other.write_text(document.read_text().replace('"cpu"', '"wall"', 1))
    mixed = CliRunner().invoke(app, ["bench", "masks", "--redraw", str(document), "--redraw", str(other)])
    assert mixed.exit_code == 2
    assert "different terms" in mixed.output


def test_an_interruption_keeps_what_was_measured():
    def interrupt(run):
        if len(run.results) == 1:
            raise KeyboardInterrupt

    plan = Plan(["llguidance"], [SOURCE], BUILTIN)
    (run,), whole = measure(plan, interrupt)
    assert not whole
    assert [result.name for result in run.results] == [BUILTIN[0].name]
    assert record(plan, [run], "built in", whole=whole)["runs"][0]["summary"]["compiled"] == 1


@pytest.mark.parametrize("arguments", [["--clock", "sun"], ["--engines", "nobody"], ["--data", "/nowhere"]])
def test_a_wrong_option_is_a_message(arguments):
    result = CliRunner().invoke(app, ["bench", "masks", "--tokenizer", "bytes", *arguments])
    assert result.exit_code == 2
    assert "error:" in result.output
