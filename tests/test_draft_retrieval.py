"""Datastores: sorted and searched as brute force would, drafted from, built from text files."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from typer.testing import CliRunner

from latticework.adapters.cli.main import app
from latticework.plugins import retrieval_drafters
from latticework.plugins.options import RequestOptions
from latticework.plugins.settings import DrafterSettings, Settings
from latticework.speculative.datastore import Datastore, add_dense, build, open_datastore
from latticework.speculative.dense_index import DenseIndex
from latticework.speculative.dense_retrieval import DenseRetrievalDrafter
from latticework.speculative.draft import Draft
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.retrieval import RetrievalDrafter
from latticework.speculative.suffix_array import BETWEEN, continuations, longest_occurring, sort_suffixes
from latticework.structured.errors import LatticeworkError

TEXTS = st.lists(st.lists(st.integers(0, 2), max_size=40), min_size=1, max_size=4)


def array(tokens: list[int]) -> np.ndarray:
    return np.array(tokens, np.int32)


def joined(documents: list[list[int]]) -> list[int]:
    return [token for document in documents for token in (*document, BETWEEN)]


def store(documents: list[list[int]]) -> Datastore:
    tokens = array(joined(documents))
    return Datastore(tokens, sort_suffixes(tokens))


class TestLaws(DrafterLaws):
    @pytest.fixture
    def make_drafter(self) -> MakeDrafter:
        datastore = store([np.random.default_rng(0).integers(0, 5, 400).tolist()])
        return lambda: RetrievalDrafter(datastore)


class TestDenseLaws(DrafterLaws):
    @pytest.fixture
    def make_drafter(self) -> MakeDrafter:
        return lambda: DenseRetrievalDrafter(dense_store()[0])


@given(documents=TEXTS)
def test_suffixes_are_sorted(documents: list[list[int]]) -> None:
    tokens = joined(documents)
    rounds: list[tuple[int, int]] = []
    order = sort_suffixes(array(tokens), lambda *done: rounds.append(done))
    assert sorted(order.tolist()) == list(range(len(tokens)))
    beginnings = [tokens[at : at + 32] for at in order.tolist()]
    assert beginnings == sorted(beginnings)
    assert rounds == [(i, 6) for i in range(1, 7)]


@given(documents=TEXTS, text=st.lists(st.integers(0, 3), max_size=8))
@settings(max_examples=200)
def test_the_longest_end_is_found_everywhere_it_occurs(documents: list[list[int]], text: list[int]) -> None:
    datastore, tokens = store(documents), joined(documents)
    matched, low, high = longest_occurring(datastore.tokens, datastore.suffixes, array(text), 16)
    expected, places = 0, set()
    for length in range(len(text), 0, -1):
        end = text[-length:]
        if places := {at for at in range(len(tokens)) if tokens[at : at + length] == end}:
            expected = length
            break
    assert matched == expected
    if matched:
        assert set(datastore.suffixes[low:high].tolist()) == places


def following(documents: list[list[int]], end: list[int], depth: int) -> Counter[tuple[int, ...]]:
    """How often each text of at most ``depth`` tokens follows ``end`` within a document."""
    counted: Counter[tuple[int, ...]] = Counter()
    for document in documents:
        for at in range(len(document) - len(end) + 1):
            if document[at : at + len(end)] == end:
                rest = tuple(document[at + len(end) : at + len(end) + depth])
                counted.update(rest[:i] for i in range(1, len(rest) + 1))
    return counted


def paths(draft: Draft) -> list[tuple[int, ...]]:
    lines: list[tuple[int, ...]] = []
    for token, parent in zip(draft.token.tolist(), draft.parent.tolist(), strict=True):
        lines.append((*(lines[parent] if parent >= 0 else ()), token))
    return lines


@given(documents=TEXTS, text=st.lists(st.integers(0, 2), min_size=1, max_size=4), nodes=st.integers(1, 12))
def test_the_commonest_beginnings_are_drafted(documents: list[list[int]], text: list[int], nodes: int) -> None:
    datastore = store([*documents, [0, 1, 2]])
    drafter, request = RetrievalDrafter(datastore), RequestView("r", array(text), 0)
    matched, low, high = longest_occurring(datastore.tokens, datastore.suffixes, array(text), 16)
    counted = following([*documents, [0, 1, 2]], text[-matched:], 10)
    draft = drafter.draft(request, DraftBudget(nodes, 16))
    draft.check()
    lines = paths(draft)
    assert len(lines) == len(set(lines)) == min(nodes, len(counted))
    drafted = [counted[line] for line in lines]
    assert drafted == sorted(counted.values(), reverse=True)[: len(lines)], (
        "no beginning is commoner than those drafted"
    )
    if len(draft):
        assert draft.score is not None
        assert draft.score == pytest.approx(np.array(drafted) / (high - low))
    chain = paths(drafter.draft(request, DraftBudget(nodes, 16, branching=False)))
    for shorter, longer in itertools.pairwise([(), *chain]):
        siblings = [line for line in counted if line[:-1] == shorter]
        assert counted[longer] == max(counted[line] for line in siblings)


def test_of_many_places_evenly_spaced_ones_are_looked_at() -> None:
    datastore = store([[17, following] for following in range(10) for _ in range(20)])
    _, low, high = longest_occurring(datastore.tokens, datastore.suffixes, array([17]), 16)
    token, _, _, count, places = continuations(datastore.tokens, datastore.suffixes, 1, low, high, 50, 10)
    assert places == 50
    assert dict(zip(token.tolist(), count.tolist(), strict=True)) == dict.fromkeys(range(10), 5)


def test_a_datastore_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = build(tmp_path / "a" / "b", [array([1, 2]), array([]), array([3])], "print")
    read = open_datastore(tmp_path / "a" / "b")
    assert read.tokens.tolist() == written.tokens.tolist() == [1, 2, BETWEEN, 3, BETWEEN]
    assert read.suffixes.tolist() == written.suffixes.tolist()
    assert (read.fingerprint, read.dense) == ("print", None)
    assert paths(RetrievalDrafter(read).draft(RequestView("r", array([1]), 1), DraftBudget(4, 4))) == [(2,)]
    for documents, reason in (([], "1 to"), ([array([-1])], "negative")):
        with pytest.raises(LatticeworkError, match=reason):
            build(tmp_path / "c", documents)
    with pytest.raises(LatticeworkError, match="not a datastore"):
        open_datastore(tmp_path)


def dense_store(size: int = 12) -> tuple[Datastore, np.ndarray, np.ndarray]:
    """A corpus whose positions have random states; the states, and where each one's next token stands."""
    chance = np.random.default_rng(1)
    plain = store([chance.integers(0, 4, 60).tolist(), chance.integers(0, 4, 60).tolist()])
    positions = np.array([at for at in range(1, len(plain.tokens)) if BETWEEN not in plain.tokens[at - 1 : at + 1]])
    hidden = (chance.normal(size=(len(positions), size)) * np.arange(1, size + 1) + 5).astype(np.float32)
    index = DenseIndex.fit(hidden, positions, plain.tokens[positions], width=size)
    return Datastore(plain.tokens, plain.suffixes, index), hidden, positions


def test_a_stored_state_returns_itself_and_nearest_is_nearest() -> None:
    datastore, hidden, positions = dense_store()
    index = datastore.dense
    assert index is not None
    keys = index.project(hidden)
    for state, place in zip(keys, positions.tolist(), strict=True):
        first = int(datastore.tokens[place])
        assert index.nearest(state, first, 1).tolist() == [place]
        same = np.flatnonzero(datastore.tokens[positions] == first)
        closeness = keys[same] @ state
        found = index.nearest(state, first, 5)
        worst = min(float(keys[int(np.flatnonzero(positions == at)[0])] @ state) for at in found)
        assert worst >= np.sort(closeness)[-min(5, len(same))] - 2e-3, "half precision"
    assert not len(index.nearest(keys[0], 99, 5))


def test_what_followed_the_nearest_state_is_drafted() -> None:
    datastore, hidden, positions = dense_store()
    drafter = DenseRetrievalDrafter(datastore, drafts=1, length=4)
    for state, place in zip(hidden, positions.tolist(), strict=True):
        pending = int(datastore.tokens[place])
        request = RequestView("r", array([9, pending]), 1)
        shown = VerifiedRows(array([9]), np.zeros((1, 1), np.int32), np.zeros((1, 1), np.float32), None, state[None])
        drafter.begin(request)
        drafter.observe(request, [pending], shown)
        rest = datastore.tokens[place + 1 : place + 5].tolist()
        rest = rest[: rest.index(BETWEEN)] if BETWEEN in rest else rest
        assert drafter.draft(request, DraftBudget(9, 9)).token.tolist() == rest
        request.tokens = array([9, pending, 1])
        assert not len(drafter.draft(request, DraftBudget(9, 9))), "the state is not that of this text"
        drafter.observe(request, [1], None)
        assert not len(drafter.draft(request, DraftBudget(9, 9)))
        drafter.end(request)
    with pytest.raises(ValueError, match="no index"):
        DenseRetrievalDrafter(store([[1]]))


def test_an_index_is_read_as_it_was_written(tmp_path: Path) -> None:
    datastore, hidden, positions = dense_store()
    build(tmp_path, [array([1])])
    assert datastore.dense is not None
    add_dense(tmp_path, datastore.dense)
    read = open_datastore(tmp_path).dense
    assert read is not None
    key = read.project(hidden[0])
    assert read.nearest(key, int(datastore.tokens[positions[0]]), 1).tolist() == [positions[0]]


def test_the_command_builds_and_requests_name_what_was_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "c": 2, "?": 3}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.txt").write_text("a b c\n" * 3)
    (tmp_path / "texts" / "two.md").write_text("c c c")
    out = tmp_path / "out"
    arguments = ["datastore", "build", str(out), str(tmp_path / "texts"), "--tokenizer", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "10 tokens" in result.output
    assert open_datastore(out).tokens.tolist() == [0, 1, 2] * 3 + [BETWEEN]
    missing = CliRunner().invoke(app, [*arguments[:3], str(tmp_path / "nowhere"), *arguments[4:]])
    assert missing.exit_code == 2

    deployment = Settings(drafter=DrafterSettings(datastores={"letters": str(out)}))
    monkeypatch.setattr(retrieval_drafters, "load_settings", lambda: deployment)
    plugin = retrieval_drafters.RetrievalPlugin()
    for options in (plugin.options(), plugin.options(datastore="letters")):
        request = RequestView("r", array([0]), 1)
        assert plugin.create(options).draft(request, DraftBudget(2, 2)).token.tolist() == [1, 2]
    with pytest.raises(LatticeworkError, match="must name a datastore") as caught:
        RequestOptions.parse({"lw_drafter": "retrieval", "lw_drafter_datastore": str(out)})
    assert caught.value.field == "lw_drafter_datastore"
