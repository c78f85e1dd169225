"""Replaying recorded answers: the loop counts what an engine would count."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from latticework.adapters.cli.main import app
from latticework.bench.drafts.replay import replay
from latticework.bench.drafts.report import rows
from latticework.bench.drafts.traces import Trace, read_traces
from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.structured.errors import LatticeworkError


def trace(prompt: Sequence[int], output: Sequence[int], category: str = "some") -> Trace:
    ids = np.array([[token, token + 1, token + 2] for token in output], np.int32)
    return Trace(
        category,
        np.array(prompt, np.int32),
        np.array(output, np.int32),
        ids,
        np.log(np.tile(np.array([0.7, 0.2, 0.1], np.float32), (len(output), 1))),
    )


class Scripted:
    """Always guesses the successors on a circle of ten, with a wrong sibling first; notes what it sees."""

    verified_top_k = 2

    def __init__(self) -> None:
        self.seen: list[tuple[list[int], list[list[int]] | None]] = []

    def begin(self, request: RequestView) -> None:
        self.seen.append((request.tokens.tolist(), None))

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        assert request.tokens.tolist()[-len(committed) :] == list(committed)
        if verified is not None:
            assert verified.token.tolist() == request.tokens.tolist()[-len(committed) - 1 : -1]
            assert verified.top_ids[:, 0].tolist() == list(committed)
            assert verified.parent is not None
            assert verified.parent.tolist() == list(range(-1, len(committed) - 1))
        self.seen.append((list(committed), None if verified is None else verified.top_ids.tolist()))

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        last = int(request.tokens[-1])
        tokens = [(last + 5) % 10, (last + 1) % 10, (last + 2) % 10]
        draft = Draft(np.array(tokens, np.int32), np.array([ROOT, ROOT, 1], np.int32), np.array([1, 1, 2], np.int32))
        return draft if budget.branching else Draft.chain(tokens[1:])

    def end(self, request: RequestView) -> None:
        self.seen.append((request.tokens.tolist(), None))


def test_steps_are_counted_as_an_engine_counts_them() -> None:
    drafter = Scripted()
    ticks = itertools.count(0, 1000)
    found = replay(drafter, [trace([9], [0, 1, 2, 3, 4, 8, 9])], DraftBudget(3, 3), clock=lambda: next(ticks))
    tally = found["some"]
    # The prefill gives 0; steps give 1 2 3, 4 8, 9: six tokens in three steps.
    assert (tally.requests, tally.steps, tally.tokens, tally.nodes) == (1, 3, 6, 9)
    assert (tally.draft_ns, tally.update_ns, tally.request_ns) == (3000, 4000, 2000)
    assert [tokens for tokens, _ in drafter.seen] == [
        [9], [0], [1, 2, 3], [4, 8], [9], [9, 0, 1, 2, 3, 4, 8, 9]
    ]  # fmt: skip
    assert drafter.seen[2][1] == [[1, 2], [2, 3], [3, 4]]
    (everything, category) = rows("x", "tree", 3, found)
    assert (everything["category"], category["category"]) == ("all", "some")
    assert everything["tokens_per_step"] == 2.0
    assert everything["nodes_per_step"] == 3.0
    assert everything["draft_us"] == 1.0


def test_categories_are_counted_apart_and_short_answers_do_no_harm() -> None:
    found = replay(
        Scripted(),
        [trace([1], [2, 3, 4], "a"), trace([1], [5], "b"), trace([1], [], "b")],
        DraftBudget(2, 2, branching=False),
    )
    assert (found["a"].steps, found["a"].tokens) == (1, 2)
    assert (found["b"].requests, found["b"].steps) == (2, 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    texts = [trace([1, 2, 3], [4, 5, 1, 2, 3, 4, 5], "a"), trace([7, 8], [1, 2, 3, 4], "b")]
    arrays = {}
    for i, text in enumerate(texts):
        arrays |= {f"p{i}": text.prompt.astype(np.uint16), f"g{i}": text.output.astype(np.uint16)}
        arrays |= {f"tk{i}": text.top_ids.astype(np.uint16), f"tl{i}": text.top_logprobs.astype(np.float16)}
    np.savez(tmp_path / "t.npz", **arrays)
    (tmp_path / "t.json").write_text(json.dumps({"traces": [{"category": text.category} for text in texts]}))
    return tmp_path / "t.npz"


def test_traces_are_read(file: Path) -> None:
    first, second = read_traces(file)
    assert (first.category, second.category) == ("a", "b")
    assert second.output.tolist() == [1, 2, 3, 4]
    assert second.top_logprobs.dtype == np.float32
    file.with_suffix(".json").unlink()
    assert {found.category for found in read_traces(file)} == {"trace"}


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatticeworkError, match="no such file"):
        read_traces(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", p0=np.zeros(1, np.uint16))
    with pytest.raises(LatticeworkError, match="lacks g0"):
        read_traces(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", other=np.zeros(1))
    with pytest.raises(LatticeworkError, match="no trace"):
        read_traces(tmp_path / "y.npz")


@pytest.mark.parametrize("shape", ["tree", "chain"])
def test_the_command_writes_its_rows(file: Path, shape: str) -> None:
    out = file.with_name("out.json")
    arguments = ["bench", "drafts", "--traces", str(file), "--drafter", "prompt_lookup"]
    result = CliRunner().invoke(app, [*arguments, "--shape", shape, "--budget", "4", "--json", str(out)])
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())["rows"]
    assert [row["category"] for row in found] == ["all", "a", "b"]
    assert all(row["tokens_per_step"] >= 1 for row in found)
    assert {"drafter", "shape", "budget", "steps", "nodes_per_step", "draft_us", "update_us"} <= set(found[0])


@pytest.mark.parametrize(
    "wrong", [["--shape", "star"], ["--drafter", "nobody"], ["--traces", "nowhere.npz"]], ids=lambda wrong: wrong[0]
)
def test_wrong_options_are_told(file: Path, wrong: list[str]) -> None:
    arguments = ["bench", "drafts", "--traces", str(file), "--drafter", "prompt_lookup"]
    result = CliRunner().invoke(app, [*arguments, *wrong])
    assert result.exit_code == 2
    assert "error" in result.output
