"""Sessions follow the engine whatever it does, and survive whatever a plugin does; compilation is counted."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np
import prometheus_client
import pytest
import torch

from latticework.plugins import guard
from latticework.plugins.base import OFF, PluginOptions, ProcessorSession, Role
from latticework.plugins.guard import Guard
from latticework.plugins.options import RequestOptions
from latticework.plugins.registry import Registry, registry
from latticework.plugins.serving import check_sampling, compile_for_request
from latticework.plugins.session import SessionTable
from latticework.plugins.settings import DrafterSettings, GrammarSettings, LimitSettings, Settings
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft
from latticework.speculative.drafter import DraftBudget, RequestView, TokenArray, VerifiedRows
from latticework.structured import (
    BudgetExceededError,
    GrammarError,
    GrammarLimits,
    GrammarSpec,
    LatticeworkError,
    UnsupportedGrammarError,
    Vocabulary,
    bitmask,
)
from latticework.structured.engines.base import CompiledGrammar, Matcher
from latticework.structured.engines.lattice import LatticeEngine

VOCABULARY = Vocabulary([None, *(bytes([b]) for b in range(256))], [0])
ID = {chr(b): b + 1 for b in range(128)}
BUDGET = DraftBudget(8, 8)
SETTINGS = Settings()


def compiled(pattern: str) -> CompiledGrammar:
    return LatticeEngine().compile(GrammarSpec.regex(pattern), VOCABULARY, GrammarLimits())


def ids(text: str) -> list[int]:
    return [ID[c] for c in text]


def array(tokens: Sequence[int]) -> TokenArray:
    return np.array(tokens, np.int32)


def sample(name: str, **labels: str) -> float:
    """Sum of the samples whose labels include ``labels``."""
    return sum(
        found.value
        for family in prometheus_client.REGISTRY.collect()
        for found in family.samples
        if found.name == name and labels.items() <= found.labels.items()
    )


class Recorder:
    """A drafter that writes down what it is told and checks that it makes sense; proposes what it is set to."""

    def __init__(self) -> None:
        self.live: dict[str, list[int]] = {}
        self.views: dict[str, RequestView] = {}
        self.proposal: Draft = EMPTY_DRAFT
        self.fails_in = ""
        self.drafts = 0

    def begin(self, request: RequestView) -> None:
        self._maybe_fail("begin", request)
        assert request.request_id not in self.live
        assert len(request.tokens) == request.prompt_length
        self.live[request.request_id] = request.tokens.tolist()
        self.views[request.request_id] = request

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        self._maybe_fail("observe", request)
        self.live[request.request_id] += committed
        assert request.tokens.tolist() == self.live[request.request_id]

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        self.drafts += 1
        self._maybe_fail("draft", request)
        assert request.tokens.tolist() == self.live[request.request_id]
        return self.proposal

    def end(self, request: RequestView) -> None:
        self._maybe_fail("end", request)
        self.live.pop(request.request_id, None)
        self.views.pop(request.request_id, None)

    def _maybe_fail(self, where: str, request: RequestView) -> None:
        if where == self.fails_in:
            if request.matcher is not None:
                request.matcher.accept(ID["a"])  # leaves the matcher displaced, as a real failure would
            raise RuntimeError(f"failed in {where}\nwith a second line")


class LastToken:
    """A processor that forbids the last token; its session records its text."""

    greedy_only = False

    def __init__(self) -> None:
        self.fails_in = ""
        self.sessions: list[LastTokenSession] = []

    def begin(self, prompt_ids: Sequence[int]) -> ProcessorSession:
        session = LastTokenSession(self, list(prompt_ids))
        self.sessions.append(session)
        session.maybe_fail("begin")
        return session


class LastTokenSession:
    def __init__(self, owner: LastToken, text: list[int]) -> None:
        self._owner = owner
        self.text = text

    def advance(self, token_ids: Sequence[int]) -> None:
        self.maybe_fail("advance")
        self.text += token_ids

    def rollback(self, count: int) -> None:
        assert 0 < count <= len(self.text)
        del self.text[-count:]

    def apply(self, logits: torch.Tensor) -> None:
        logits[self.text[-1]] = -torch.inf
        self.maybe_fail("apply")

    def maybe_fail(self, where: str) -> None:
        if where == self._owner.fails_in:
            raise RuntimeError(f"failed in {where}")


class World:
    """A table with a recording drafter and processor."""

    def __init__(self) -> None:
        self.drafter = Recorder()
        self.processor = LastToken()
        plugins = Registry(
            {
                Role.DRAFTER: {"recorder": lambda: _plugin(self.drafter)},
                Role.PROCESSOR: {"last": lambda: _plugin(self.processor)},
            }
        )
        settings = Settings(drafter=DrafterSettings(default=OFF))
        self.options = RequestOptions.parse({"lw_drafter": "recorder", "lw_processor": "last"}, settings, plugins)
        self.table = SessionTable(VOCABULARY.size, settings, plugins, process="test")


def _plugin(product: object) -> object:
    class Plugin:
        options = PluginOptions

        def create(self, options: PluginOptions) -> object:
            return product

    return Plugin()


@pytest.fixture
def world() -> Iterator[World]:
    guard._last_logged.clear()
    world = World()
    yield world
    for request_id in list(world.table._sessions):
        world.table.end(request_id)


def auto_table() -> SessionTable:
    return SessionTable(VOCABULARY.size, SETTINGS, registry(), process="test")


@pytest.mark.parametrize("seed", range(30))
def test_sync_follows_the_engine_forwards_and_backwards(seed: int) -> None:
    """Growing, repeating, shrinking and rewriting in any order leaves drafter, processor and matcher at the truth."""
    world, chance, grammar = World(), random.Random(seed), compiled("[ab]*")
    prompt, output = ids("xyz"), list[int]()
    world.table.begin("r", world.options, array(prompt), grammar)
    for _ in range(40):
        action = chance.random()
        if action < 0.3 and output:
            del output[chance.randrange(len(output)) :]
        if action < 0.15 or action > 0.4:
            output += [ID[chance.choice("ab")] for _ in range(chance.randint(0, 4))]
        buffer = array(prompt + output)
        world.table.sync("r", buffer)
        assert world.drafter.live["r"] == prompt + output
        assert world.processor.sessions[-1].text == prompt + output
        world.table.draft("r", BUDGET)
        matcher = world.drafter.views["r"].matcher
        assert matcher is not None
        matcher.fork().rollback(len(output))
        with pytest.raises(ValueError, match="roll back"):
            matcher.fork().rollback(len(output) + 1)
        buffer[:] = -7  # the engine reuses its memory
    world.table.end("r")
    assert world.drafter.live == {}


def test_synced_matcher_is_where_a_fresh_one_would_be(world: World) -> None:
    grammar = compiled("(?:a{3}b)*")
    world.table.begin("r", world.options, array(ids("p")), grammar)
    for text in ("aa", "aaab", "aaaba", "a", "aaa"):
        world.table.sync("r", array(ids("p" + text)))
        world.table.draft("r", BUDGET)
        fresh = grammar.matcher()
        assert all(fresh.accept(token) for token in ids(text))
        assert _mask(world.drafter.views["r"].matcher) == _mask(fresh)


def _mask(matcher: Matcher | None) -> list[int]:
    row = np.zeros(bitmask.words(VOCABULARY.size), np.int32)
    assert matcher is not None
    matcher.fill_bitmask(row)
    return row.tolist()


def test_prefill_in_pieces_is_not_a_rewind(world: World) -> None:
    world.table.begin("r", world.options, array(ids("long prompt")))
    world.table.sync("r", array(ids("long")))
    world.table.sync("r", array(ids("long prompt")))
    assert world.drafter.live["r"] == ids("long prompt")


def test_grammar_that_is_still_compiling_is_caught_up_with() -> None:
    table, promise = auto_table(), Future[CompiledGrammar]()
    table.begin("r", RequestOptions.parse({}, SETTINGS), array(ids("p")), promise)
    table.sync("r", array(ids("paa")))
    assert len(table.draft("r", BUDGET)) == 0
    promise.set_result(compiled("aaabbb"))
    draft = table.draft("r", BUDGET)
    assert draft.token.tolist() == [*ids("abbb"), 0]
    table.sync("r", array(ids("paaab")))
    assert table.draft("r", BUDGET).token.tolist() == [*ids("bb"), 0]
    table.end("r")


def test_grammar_that_fails_to_compile_costs_only_itself() -> None:
    table, promise = auto_table(), Future[CompiledGrammar]()
    table.begin("r", RequestOptions.parse({}, SETTINGS), array(ids("abcabc")), promise)
    promise.set_exception(GrammarError("regex", "no"))
    assert table.draft("r", DraftBudget(3, 3)).token.tolist() == ids("abc"), "prompt lookup goes on without it"
    table.end("r")


def test_refused_committed_token_drops_the_grammar_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    table, before = auto_table(), sample("latticework_matcher_desyncs_total")
    table.begin("r", RequestOptions.parse({}, SETTINGS), array(ids("p")), compiled("aaa"))
    assert len(table.draft("r", BUDGET)) == 4
    table.sync("r", array(ids("pxq")))
    assert len(table.draft("r", BUDGET)) == 0
    table.sync("r", array(ids("pxqxq")))
    assert table.draft("r", DraftBudget(2, 2)).token.tolist() == ids("xq"), "no longer pruned"
    assert sample("latticework_matcher_desyncs_total") == before + 1
    assert len(caplog.records) == 1
    table.end("r")


def test_text_beyond_an_ignored_end_token_is_no_desync() -> None:
    table, before = auto_table(), sample("latticework_matcher_desyncs_total")
    table.begin("r", RequestOptions.parse({}, SETTINGS), array(ids("p")), compiled("aa"))
    table.sync("r", array([*ids("paa"), 0, *ids("zz")]))
    table.draft("r", BUDGET)
    assert sample("latticework_matcher_desyncs_total") == before
    table.end("r")


@pytest.mark.parametrize("where", ["begin", "observe", "draft", "end"])
def test_failing_drafter_is_off_for_its_request_only(
    world: World, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = sample("latticework_errors_total", role="drafter", plugin="recorder")
    grammar = compiled("a*")
    world.table.begin("good", world.options, array(ids("p")), grammar)
    world.drafter.proposal = Draft.chain(ids("aa"))
    world.drafter.fails_in = where
    world.table.begin("bad", world.options, array(ids("p")), grammar)
    world.table.sync("bad", array(ids("pa")))
    world.table.draft("bad", BUDGET)
    world.drafter.fails_in = where if where == "end" else ""
    calls = world.drafter.drafts
    for text in ("paa", "paaa"):
        world.table.sync("bad", array(ids(text)))
        assert (len(world.table.draft("bad", BUDGET)) == 0) == (where != "end")
    assert world.drafter.drafts == calls + (2 if where == "end" else 0), "a drafter that failed is not asked again"
    world.table.end("bad")
    world.drafter.fails_in = ""
    assert len(world.table.draft("good", BUDGET)) == 2, "other requests keep it"
    assert sample("latticework_errors_total", role="drafter", plugin="recorder") == before + 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    message = caplog.records[0].getMessage()
    assert f"failed in {where} with a second line" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "proposal",
    [
        Draft.chain([VOCABULARY.size]),
        Draft.chain([1, -1]),
        Draft.chain([1] * 9),
        Draft(array([1, 2]), array([ROOT, 1]), array([1, 2])),
    ],
    ids=["beyond the vocabulary", "negative", "over budget", "no tree"],
)
def test_drafts_that_would_hurt_the_engine_never_reach_it(world: World, proposal: Draft) -> None:
    world.table.begin("r", world.options, array(ids("p")))
    world.drafter.proposal = proposal
    assert len(world.table.draft("r", BUDGET)) == 0
    world.drafter.proposal = Draft.chain([1])
    assert len(world.table.draft("r", BUDGET)) == 0, "it is not trusted again"


@pytest.mark.parametrize("where", ["begin", "advance", "apply"])
def test_failing_processor_leaves_the_row_as_it_was(world: World, where: str) -> None:
    before = sample("latticework_errors_total", role="processor", plugin="last")
    world.processor.fails_in = where
    world.table.begin("r", world.options, array(ids("p")))
    world.table.sync("r", array(ids("pa")))
    logits = torch.arange(VOCABULARY.size, dtype=torch.float32)
    if (processor := world.table.processor_for("r")) is not None:
        processor.apply(logits)
    assert torch.equal(logits, torch.arange(VOCABULARY.size, dtype=torch.float32))
    assert world.table.processor_for("r") is None
    assert sample("latticework_errors_total", role="processor", plugin="last") == before + 1


def test_processor_sees_the_committed_text_and_may_look_ahead(world: World) -> None:
    world.table.begin("r", world.options, array(ids("p")))
    world.table.sync("r", array(ids("pa")))
    processor = world.table.processor_for("r")
    assert processor is not None
    for text, forbidden in (("bc", "c"), ("", "a")):
        logits = torch.zeros(VOCABULARY.size)
        processor.advance(ids(text))
        processor.apply(logits)
        processor.rollback(len(text))
        assert torch.isinf(logits).nonzero().flatten().tolist() == ids(forbidden)
    world.table.sync("r", array(ids("pad")))
    assert world.processor.sessions[-1].text == ids("pad")


def test_unknown_requests_are_harmless(world: World) -> None:
    world.table.sync("nobody", array([1]))
    assert world.table.draft("nobody", BUDGET) is EMPTY_DRAFT
    assert world.table.processor_for("nobody") is None
    world.table.end("nobody")
    assert "nobody" not in world.table


def test_sessions_are_counted_and_none_is_left(world: World) -> None:
    before = sample("latticework_sessions", process="test")
    for request_id in ("a", "b", "a"):
        world.table.begin(request_id, world.options, array(ids("p")))
    assert world.table.live() == 2
    assert sample("latticework_sessions", process="test") == before + 2
    assert sorted(world.drafter.live) == ["a", "b"]
    for request_id in ("a", "b", "b"):
        world.table.end(request_id)
    assert world.table.live() == 0
    assert sample("latticework_sessions", process="test") == before
    assert world.drafter.live == {}


@pytest.mark.parametrize(
    ("draft", "written", "accepted"),
    [("abc", "abcd", 3), ("abc", "abc", 2), ("abc", "abx", 2), ("abc", "x", 0), ("abc", "a", 0), ("", "a", 0)],
)
def test_accepted_tokens_are_counted_without_the_targets_own(
    world: World, draft: str, written: str, accepted: int
) -> None:
    """The last committed token is the target's own even where it equals a drafted one that was trimmed."""
    names = ("latticework_draft_tokens_total", "latticework_draft_accepted_tokens_total")
    before = [sample(name, drafter="recorder") for name in names]
    world.table.begin("r", world.options, array(ids("p")))
    world.drafter.proposal = Draft.chain(ids(draft))
    world.table.draft("r", BUDGET)
    world.table.sync("r", array(ids("p")))
    world.table.sync("r", array(ids("p" + written)))
    world.table.sync("r", array(ids("p" + written + "abc")))
    after = [sample(name, drafter="recorder") for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [len(draft), accepted]


def test_forced_tokens_are_counted() -> None:
    table, before = auto_table(), sample("latticework_forced_tokens_total")
    table.begin("r", RequestOptions.parse({}, SETTINGS), array(ids("p")), compiled("aaa[bc]"))
    assert table.draft("r", BUDGET).token.tolist() == ids("aaa")
    assert sample("latticework_forced_tokens_total") == before + 3
    table.end("r")


def test_instances_are_shared_by_equal_options_and_bounded() -> None:
    settings = Settings(limits=LimitSettings(plugin_instances=2))
    table = SessionTable(VOCABULARY.size, settings, registry(), process="test")
    for i, length in enumerate((4, 4, 5, 6, 7)):
        options = RequestOptions.parse({"lw_drafter_max_match": length}, settings)
        table.begin(f"r{i}", options, array(ids("abcabc")))
    drafters = [table._sessions[f"r{i}"].drafter for i in range(5)]
    assert drafters[0] is drafters[1]
    assert len(set(map(id, drafters))) == 4
    assert len(table._drafters) == 2
    assert all(len(table.draft(f"r{i}", BUDGET)) for i in range(5)), "an evicted instance serves its requests on"


def test_log_lines_are_rate_limited_and_counts_are_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard._last_logged.clear()
    now = [1000.0]
    monkeypatch.setattr(guard.time, "monotonic", lambda: now[0])
    before = sample("latticework_errors_total", role="drafter", plugin="noisy")
    for step in range(4):
        now[0] += guard.LOG_INTERVAL + 1 if step == 3 else 1
        with Guard(Role.DRAFTER, "noisy", "nothing happens"):
            raise ValueError("again")
    assert sample("latticework_errors_total", role="drafter", plugin="noisy") == before + 4
    assert len(caplog.records) == 2
    assert "2 more since the last line" in caplog.records[1].getMessage()


def test_guard_swallows_native_panics_but_not_interrupts() -> None:
    class PanicException(BaseException):
        pass

    with Guard(Role.ENGINE, "native", "x") as attempt:
        raise PanicException("a panic in native code")
    assert attempt.failed
    for fatal in (KeyboardInterrupt, SystemExit):
        with pytest.raises(fatal), Guard(Role.ENGINE, "native", "x"):
            raise fatal


def compiles(engine: str, outcome: str, kind: str = "regex") -> float:
    return sample("latticework_grammar_compiles_total", engine=engine, kind=kind, outcome=outcome)


@pytest.mark.parametrize(
    ("spec", "engine", "error", "label", "outcome"),
    [
        (GrammarSpec.regex("ab+"), "auto", None, "lattice", "ok"),
        (GrammarSpec.regex("ab+c"), "lattice", None, "lattice", "ok"),
        (GrammarSpec.regex("(ab"), "auto", GrammarError, "auto", "invalid"),
        (GrammarSpec.json_schema({"pattern": r"(a)\1"}), "lattice", UnsupportedGrammarError, "lattice", "unsupported"),
        (GrammarSpec.regex("x" * 600_000), "auto", BudgetExceededError, "auto", "budget"),
    ],
)
def test_compilations_are_counted_by_outcome(
    spec: GrammarSpec, engine: str, error: type[Exception] | None, label: str, outcome: str
) -> None:
    before = compiles(label, outcome, spec.kind)
    options = RequestOptions(engine=engine)
    if error is None:
        assert compile_for_request(spec, VOCABULARY, options, SETTINGS).engine == label
    else:
        with pytest.raises(error):
            compile_for_request(spec, VOCABULARY, options, SETTINGS)
    assert compiles(label, outcome, spec.kind) == before + 1


def test_fallbacks_are_counted() -> None:
    labels = {"from_engine": "llguidance", "to_engine": "xgrammar", "kind": "structural_tag"}
    before = sample("latticework_grammar_fallbacks_total", **labels)
    text = {"type": "any_text"}
    tag = {"format": {"type": "sequence", "elements": [text, {"type": "json_schema", "json_schema": True}]}}
    compile_for_request(GrammarSpec.structural_tag(tag), VOCABULARY, RequestOptions(), SETTINGS)
    assert sample("latticework_grammar_fallbacks_total", **labels) == before + 1


class ExternalEngine:
    name = "external"

    def compile(self, spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> CompiledGrammar:
        if "crash" in spec.text:
            raise MemoryError("out of it")
        return LatticeEngine().compile(spec, vocabulary, limits)


def test_external_engines_are_served_and_their_crashes_are_the_requests_error() -> None:
    plugins = Registry({Role.ENGINE: {"external": lambda: ExternalEngine}})
    options = RequestOptions.parse({"lw_engine": "external"}, Settings(drafter=DrafterSettings(default=OFF)), plugins)
    assert compile_for_request(GrammarSpec.regex("a"), VOCABULARY, options, SETTINGS, plugins).matcher().accept(ID["a"])
    with pytest.raises(LatticeworkError, match="'external' failed to compile it") as caught:
        compile_for_request(GrammarSpec.regex("crash"), VOCABULARY, options, SETTINGS, plugins)
    assert caught.value.field == "regex"
    assert compiles("external", "crashed") == 1
    assert sample("latticework_errors_total", role="engine", plugin="external") == 1


def test_limits_of_the_deployment_apply() -> None:
    settings = Settings(grammar=GrammarSettings(limits=GrammarLimits(max_source_bytes=10)))
    with pytest.raises(BudgetExceededError):
        compile_for_request(GrammarSpec.regex("a" * 11), VOCABULARY, RequestOptions(), settings)


def test_greedy_only_processors_are_refused_on_sampled_requests() -> None:
    fsd = RequestOptions.parse({"lw_processor": "fsd"}, SETTINGS)
    check_sampling(fsd, 0.0)
    check_sampling(RequestOptions.parse({}, SETTINGS), 0.7)
    for temperature in (0.7, None):
        with pytest.raises(LatticeworkError, match="set temperature to 0") as caught:
            check_sampling(fsd, temperature)
        assert caught.value.field == "lw_processor"
