"""Traces of single requests: what is recorded, what bounds it, and what its file says."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from engine_walks import BYTES
from hypothesis import given
from hypothesis import strategies as st

from latticework.plugins import metrics, traces
from latticework.plugins.enforcing import Enforcement
from latticework.plugins.legal_counts import CountingEnforcement
from latticework.plugins.options import RequestOptions
from latticework.plugins.session import SessionTable
from latticework.plugins.settings import Settings, TraceSettings
from latticework.plugins.trace_file import Trace, escaped, file_name, read_trace, unescaped
from latticework.plugins.trace_record import NotedDraft, Traced, TraceRecord
from latticework.plugins.traces import TraceRecorder
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft
from latticework.structured.bitmask import words
from latticework.structured.engines.select import compile_grammar
from latticework.structured.errors import LatticeworkError
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

#: Letters that can be told apart, an emoji in two halves, and an end token.
VOCABULARY = Vocabulary(
    [b"a", b"b", b"ab", b"\\", b"\xf0\x9f", b"\x98\x80", b"<script>", b"\n", None, None],
    [8],
    special_ids=[8, 9],
    special_names={"<end>": 8, "<tool>": 9},
)
A, B, AB, BACKSLASH, HALF, REST, SCRIPT, LINE, END, TOOL = range(10)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def traced(request_id: str = "r", vocabulary: Vocabulary | None = VOCABULARY, drafter: str | None = "auto") -> Traced:
    return Traced(request_id, "vllm", 7, drafter, lambda: vocabulary)


def tree(tokens: list[int], parents: list[int], score: list[float] | None = None, origin: str = "") -> Draft:
    depths: list[int] = []
    for parent in parents:
        depths.append(1 if parent == ROOT else depths[parent] + 1)
    scores = None if score is None else np.array(score, np.float32)
    return Draft(*(np.array(values, np.int32) for values in (tokens, parents, depths)), score=scores, origin=origin)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[TraceRecorder]:
    found = TraceRecorder(TraceSettings(directory=str(tmp_path), max_files=3, max_requests=2))
    yield found
    found.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- what is recorded


def test_a_step_has_what_was_drafted_and_what_became_of_it() -> None:
    record = TraceRecord(traced(), 100)
    draft = tree([A, B, AB], [ROOT, 0, 1], score=[1.0, float("nan"), 0.25], origin="grammar+prompt_lookup")
    record.step([A, B, SCRIPT], draft, None, 2)
    (step,) = record.as_trace("stop").steps
    assert [(node.id, node.by, node.score, node.accepted) for node in step.drafted] == [
        (A, "grammar", 1.0, True),
        (B, "grammar+prompt_lookup", None, True),
        (AB, "grammar+prompt_lookup", 0.25, False),
    ]
    assert [(token.text, token.draft) for token in step.written] == [("a", 0), ("b", 1), ("<script>", None)]
    assert [node.text for node in step.rejected] == ["ab"]
    assert step.batch == 2


def test_of_a_tree_the_taken_branch_is_accepted() -> None:
    record = TraceRecord(traced(), 100)
    record.step([B, AB, END], tree([A, B, A, AB], [ROOT, ROOT, 0, 1], origin="fusion"), None, 1)
    (step,) = record.as_trace("stop").steps
    assert [node.accepted for node in step.drafted] == [False, True, False, True]
    assert [token.draft for token in step.written] == [1, 3, None]
    assert step.written[-1].name == "<end>"


def test_an_answer_that_ends_within_a_draft_ends_with_an_accepted_token() -> None:
    record = TraceRecord(traced(), 100)
    record.step([A, B], Draft.chain([A, B, AB]), None, 1)
    (step,) = record.as_trace("length").steps
    assert [token.draft for token in step.written] == [0, 1]
    assert [node.by for node in step.drafted] == ["auto"] * 3, "a draft without a name is its request's drafter's"


def test_times_are_between_steps_and_a_step_without_tokens_lends_its_time() -> None:
    clock = Clock()
    record = TraceRecord(traced(), 100, clock)
    for now, output in ((1.5, []), (2.0, [A]), (2.25, [A, B])):
        clock.now = now
        record.step(output, EMPTY_DRAFT, None, 1)
    trace = record.as_trace("stop")
    assert [step.seconds for step in trace.steps] == [2.0, 0.25]
    assert trace.seconds == 2.25


def test_the_draft_of_a_step_is_found_by_the_length_of_the_answer() -> None:
    """On vLLM the next draft is made before the step that the last one was for is reported."""
    record = TraceRecord(traced(), 100)
    record.note(NotedDraft(0, Draft.chain([A]), 0.5))
    record.note(NotedDraft(2, Draft.chain([B]), 0.25))
    assert record.noted is not None
    assert record.noted.token.tolist() == [A]
    record.step([A, B], record.noted, None, 1)
    assert record.noted is not None
    assert record.noted.token.tolist() == [B]
    record.step([A, B, B, A], record.noted, None, 1)
    assert record.noted is None
    assert [step.draft_seconds for step in record.as_trace("stop").steps] == [0.5, 0.25]


def test_an_engine_that_begins_anew_is_followed() -> None:
    record = TraceRecord(traced(), 100)
    record.step([A, B], EMPTY_DRAFT, None, 1)
    record.step([AB], EMPTY_DRAFT, None, 1)
    assert [token.id for token in record.as_trace("stop").written] == [AB]


def test_without_a_vocabulary_texts_are_unknown_and_nothing_is_made_up() -> None:
    record = TraceRecord(traced(vocabulary=None, drafter=None), 100)
    record.step([A, 99], EMPTY_DRAFT, None, 1)
    trace = record.as_trace("stop")
    assert {(token.text, token.name, token.legal) for token in trace.written} == {(None, None, None)}
    assert not any(token.forced for token in trace.written)
    assert (trace.drafter, trace.constraint, trace.grammar) == (None, None, None)


def test_a_trace_that_is_full_counts_what_it_leaves_out() -> None:
    record = TraceRecord(traced(), 4)
    record.step([A, B], Draft.chain([A]), None, 1)
    record.step([A, B, A, B], EMPTY_DRAFT, None, 1)
    record.step([A, B, A, B, A], EMPTY_DRAFT, None, 1)
    trace = record.as_trace("length")
    assert ([token.id for token in trace.written], trace.unrecorded) == ([A, B], 3)


# ---- how many tokens were legal


def masked(grammar: CountingEnforcement, draft: list[int]) -> None:
    """What an engine does before a step: the mask of each position of a draft."""
    row = np.zeros(words(BYTES.size), np.int32)
    walked = 0
    for token in draft:
        grammar.fill(row)
        if not grammar.accept(token):
            break
        walked += 1
    else:
        grammar.fill(row)
    grammar.rollback(walked)


def ids(text: str) -> list[int]:
    return [BYTES.tokens.index(letter.encode()) for letter in text]


def test_legal_tokens_are_counted_at_drafted_and_written_positions() -> None:
    compiled = compile_grammar(GrammarSpec.regex("ab[cd][0-9]"), BYTES, "lattice")
    grammar = CountingEnforcement(Enforcement(compiled))
    record = TraceRecord(traced(vocabulary=BYTES), 100)
    draft, written = ids("abc1"), ids("abd")
    masked(grammar, draft)
    for token in written:
        assert grammar.accept(token)
    record.step(written, Draft.chain(draft), grammar, 1)
    (step,) = (trace := record.as_trace("stop")).steps
    assert [token.legal for token in step.written] == [1, 1, 2]
    assert [node.legal for node in step.drafted] == [1, 1, 2, 10]
    assert [token.forced for token in step.written] == [True, True, False]
    assert (trace.constraint, trace.grammar) == ("regex", "lattice")


def test_branches_of_one_length_are_counted_apart() -> None:
    compiled = compile_grammar(GrammarSpec.regex("a[01]|b[0-4]"), BYTES, "lattice")
    grammar = CountingEnforcement(Enforcement(compiled))
    (a,), (b,), (one,) = ids("a"), ids("b"), ids("1")
    masked(grammar, [a])
    masked(grammar, [b])
    record = TraceRecord(traced(vocabulary=BYTES), 100)
    record.step([b, one], tree([a, b, one, one], [ROOT, ROOT, 0, 1]), grammar, 1)
    (step,) = record.as_trace("stop").steps
    assert [node.legal for node in step.drafted] == [2, 2, 2, 5]
    assert [token.legal for token in step.written] == [2, 5]


def test_a_mask_that_could_not_be_computed_is_not_counted() -> None:
    class Breaking:
        finished = False

        def fill_bitmask(self, row: object) -> None:
            raise RuntimeError("no mask today")

    compiled = compile_grammar(GrammarSpec.regex("ab"), BYTES, "lattice")
    grammar = CountingEnforcement(Enforcement(compiled))
    grammar._matcher = Breaking()  # type: ignore[assignment]
    grammar.fill(np.zeros(words(BYTES.size), np.int32))
    assert grammar.legal(0) is None


# ---- files


def test_a_trace_is_written_when_its_request_ends(recorder: TraceRecorder, tmp_path: Path) -> None:
    record = recorder.begin(traced("chatcmpl-1"))
    assert record is not None
    record.step([A, END], EMPTY_DRAFT, None, 1)
    recorder.end("chatcmpl-1", "stop")
    recorder.close()
    assert files(tmp_path) == [file_name("chatcmpl-1")]
    trace = read_trace(tmp_path / file_name("chatcmpl-1"))
    assert trace == record.as_trace("stop")
    assert not recorder.live


def test_only_the_newest_traces_are_kept_and_other_files_are_left_alone(
    recorder: TraceRecorder, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for number in range(5):
        old = tmp_path / file_name(f"old-{number}")
        old.write_text("{}")
        os.utime(old, (number, number))
    recorder.begin(traced("new"))
    recorder.end("new", "stop")
    recorder.close()
    kept = [file_name("old-3"), file_name("old-4"), file_name("new"), "notes.txt"]
    assert files(tmp_path) == sorted(kept)


def test_more_requests_at_once_than_allowed_are_served_without(recorder: TraceRecorder) -> None:
    before = metrics.TRACES.labels(outcome="busy")._value.get()
    assert recorder.begin(traced("one")) is not None
    assert recorder.begin(traced("two")) is not None
    assert recorder.begin(traced("three")) is None
    assert metrics.TRACES.labels(outcome="busy")._value.get() == before + 1
    recorder.end("three", "stop")
    recorder.end("one", "stop")
    recorder._thread.submit(lambda: None).result()  # what waited is written
    assert recorder.begin(traced("three")) is not None


def test_a_folder_that_is_missing_costs_the_trace_alone(tmp_path: Path) -> None:
    recorder = TraceRecorder(TraceSettings(directory=str(tmp_path / "missing"), max_requests=1))
    before = metrics.TRACES.labels(outcome="failed")._value.get()
    recorder.begin(traced("one"))
    recorder.end("one", "stop")
    recorder._thread.submit(lambda: None).result()
    assert metrics.TRACES.labels(outcome="failed")._value.get() == before + 1
    assert recorder.begin(traced("two")) is not None


def test_a_request_that_is_being_traced_is_not_begun_again(recorder: TraceRecorder) -> None:
    first = recorder.begin(traced("one"))
    assert recorder.begin(traced("one")) is None
    assert recorder.live["one"] is first


@given(st.text())
def test_no_request_id_leads_out_of_the_folder(request_id: str) -> None:
    name = file_name(request_id)
    assert Path("folder", name).parent == Path("folder")
    assert name == Path(name).name
    assert not name.startswith(".")
    assert len(name.encode()) < 128


def test_ids_that_look_alike_have_files_of_their_own() -> None:
    assert file_name("a/b") != file_name("a_b")


@given(st.binary())
def test_bytes_come_back_from_their_text(text: bytes) -> None:
    assert unescaped(escaped(text)) == text


# ---- reading back


def a_trace() -> Trace:
    record = TraceRecord(traced(), 100)
    record.step([HALF, REST, BACKSLASH, END], Draft.chain([HALF, A], origin="ngram_pool"), None, 1)
    return record.as_trace("stop")


def test_half_a_character_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(a_trace().model_dump_json())
    assert [token.text for token in read_trace(path).written] == [r"\xf0\x9f", r"\x98\x80", r"\\", ""]
    assert b"".join(token.raw for token in read_trace(path).written) == "😀\\".encode()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "is of format 2; this version reads format 1"),
        ({"colour": "red"}, "colour"),
        ({"id": 7}, "id"),
        ({"prompt_tokens": -1}, "prompt_tokens"),
        ({"steps": [{"seconds": 1, "batch": 1, "written": []}]}, "steps.0.written"),
        ({"steps": [{"seconds": -1, "batch": 1, "written": [{"id": 1}]}]}, "steps.0.seconds"),
        ({"steps": [{"seconds": 1, "batch": 1, "written": [{"id": 1, "draft": 0}]}]}, "those that were accepted"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "x"
    path.write_text(json.dumps({**a_trace().model_dump(mode="json"), **change}))
    with pytest.raises(LatticeworkError) as error:
        read_trace(path)
    assert error.value.field == str(path)
    assert reason in error.value.reason


def test_a_draft_whose_token_comes_before_its_parent_is_no_trace(tmp_path: Path) -> None:
    node = {"id": 1, "parent": 0, "by": "x", "accepted": False}
    step = {"seconds": 1, "batch": 1, "drafted": [node], "written": [{"id": 1}]}
    with pytest.raises(ValueError, match="after its parent"):
        Trace.model_validate({**a_trace().model_dump(), "steps": [step]})


@pytest.mark.parametrize(("text", "reason"), [("{", "is no JSON"), ("[]", "is no trace"), (None, "cannot be read")])
def test_what_is_no_trace_is_said(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "x"
    if text is not None:
        path.write_text(text)
    with pytest.raises(LatticeworkError, match=reason):
        read_trace(path)


# ---- the option, and what a session notes

ALLOWED = Settings(trace=TraceSettings(directory="/somewhere"))


@pytest.mark.parametrize(("value", "asked"), [(True, True), (1, True), (1.0, True), (False, False), (0, False)])
def test_the_option_is_true_or_false_however_it_travels(value: object, asked: bool) -> None:
    assert RequestOptions.parse({"lw_trace": value}, ALLOWED).trace is asked


@pytest.mark.parametrize("value", ["yes", 2, [], "../../etc/passwd"])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(LatticeworkError, match="must be true or false") as error:
        RequestOptions.parse({"lw_trace": value}, ALLOWED)
    assert error.value.field == "lw_trace"


def test_a_server_that_allows_no_traces_says_who_could() -> None:
    with pytest.raises(LatticeworkError, match=r"trace\.directory") as error:
        RequestOptions.parse({"lw_trace": True}, Settings())
    assert error.value.field == "lw_trace"
    assert not RequestOptions.parse({"lw_trace": False}, Settings()).trace


def drafted_in_a_session(options: dict[str, object]) -> dict[str, NotedDraft]:
    """What is noted of a request that repeats itself, after two steps."""
    table = SessionTable(16, ALLOWED, adaptive=False)
    prompt = np.array([A, B, AB, A, B, AB, A, B], np.int32)
    table.begin("r", RequestOptions.parse({"lw_drafter": "prompt_lookup", **options}, ALLOWED), prompt)
    for output in ([AB], [AB, A, B]):
        table.sync("r", np.array([*prompt, *output], np.int32))
        table.draft_all({"r": 2}, 1)
    return table.take_noted()


def test_a_traced_session_notes_its_last_draft_with_its_place() -> None:
    noted = drafted_in_a_session({"lw_trace": True})["r"]
    assert (noted.length, noted.draft.token.tolist(), noted.draft.origin) == (3, [AB, A], "prompt_lookup")
    assert pickle.loads(pickle.dumps(noted)).draft.token.tolist() == [AB, A], "it travels between processes"


def test_other_sessions_note_nothing() -> None:
    assert drafted_in_a_session({}) == {}


def test_what_is_noted_is_taken_once_and_goes_with_its_session() -> None:
    table = SessionTable(16, ALLOWED, adaptive=False)
    table.begin("r", RequestOptions.parse({"lw_trace": True}, ALLOWED), np.array([A, B, A, B, A, B], np.int32))
    table.sync("r", np.array([A, B, A, B, A, B, A], np.int32))
    table.draft_all({"r": 2}, 1)
    assert table.take_noted().keys() == {"r"}
    assert table.take_noted() == {}
    table.draft_all({"r": 2}, 1)
    table.end("r")
    assert table.take_noted() == {}


def test_without_a_folder_there_is_no_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    traces.recorder.cache_clear()
    monkeypatch.setattr(traces, "load_settings", Settings)
    assert traces.recorder() is None
    traces.recorder.cache_clear()
