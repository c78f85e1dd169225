"""Choosing an engine, visible fallback, limits, and the cache of compiled grammars."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from engine_walks import BYTES, accepts

from latticework.structured import (
    BudgetExceededError,
    GrammarError,
    GrammarLimits,
    GrammarSpec,
    LatticeworkError,
    UnsupportedGrammarError,
    Vocabulary,
    compile_grammar,
)
from latticework.structured.engines import (
    BUILTIN_ENGINES,
    Fallback,
    add_fallback_listener,
    cache_info,
    clear_cache,
    remove_fallback_listener,
)
from latticework.structured.engines.base import GrammarEngine

#: Only xgrammar serves grammars inside tags.
#: Where the free text ends and the document begins is not told by the next byte: xgrammar follows both, nobody else.
FORMAT_TAG = {
    "type": "structural_tag",
    "format": {
        "type": "sequence",
        "elements": [{"type": "any_text"}, {"type": "json_schema", "json_schema": True}],
    },
}


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    clear_cache()
    yield
    clear_cache()


@pytest.fixture
def fallbacks() -> Iterator[list[Fallback]]:
    seen: list[Fallback] = []
    add_fallback_listener(seen.append)
    yield seen
    remove_fallback_listener(seen.append)


class Recording:
    """An engine that counts its calls, and can be slow, refuse or fail."""

    name = "recording"

    def __init__(self, error: Exception | None = None, seconds: float = 0.0) -> None:
        self.calls = 0
        self._error = error
        self._seconds = seconds

    def compile(self, spec: GrammarSpec, vocabulary: Vocabulary, limits: GrammarLimits) -> Any:
        self.calls += 1
        time.sleep(self._seconds)
        if self._error is not None:
            raise self._error
        return BUILTIN_ENGINES["lattice"].compile(spec, vocabulary, limits)


def test_builtin_engines_are_named_as_they_say() -> None:
    assert list(BUILTIN_ENGINES) == ["lattice", "llguidance", "xgrammar"]
    for name, engine in BUILTIN_ENGINES.items():
        assert engine.name == name
        assert isinstance(engine, GrammarEngine)


def test_importing_loads_no_engine() -> None:
    code = (
        "import sys, latticework.structured\n"
        "print([m for m in ('torch', 'xgrammar', 'llguidance', 'transformers') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_unknown_engine_is_named_with_the_known_ones() -> None:
    with pytest.raises(LatticeworkError) as caught:
        compile_grammar(GrammarSpec.regex("a"), BYTES, engine="outlines")
    assert caught.value.field == "engine"
    assert caught.value.reason == "unknown grammar engine 'outlines'; available: auto, lattice, llguidance, xgrammar"


@pytest.mark.parametrize(
    ("spec", "engine"),
    [
        (GrammarSpec.regex("a+b"), "lattice"),
        (GrammarSpec.choice(["yes", "no"]), "lattice"),
        (GrammarSpec.json_object(), "lattice"),
        (GrammarSpec.json_schema({"type": "integer"}), "lattice"),
        (GrammarSpec.grammar('root ::= "a" root | "b"'), "lattice"),
        (GrammarSpec.structural_tag(FORMAT_TAG), "xgrammar"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_auto_takes_the_first_that_enforces_all_of_it(spec: GrammarSpec, engine: str) -> None:
    assert compile_grammar(spec, BYTES).engine == engine


def test_fallback_is_visible(fallbacks: list[Fallback], caplog: pytest.LogCaptureFixture) -> None:
    spec = GrammarSpec.structural_tag(FORMAT_TAG)
    with caplog.at_level(logging.INFO, logger="latticework.structured"):
        compile_grammar(spec, BYTES)
    assert [(event.from_engine, event.to_engine, event.kind) for event in fallbacks] == [
        ("lattice", "llguidance", "structural_tag"),
        ("llguidance", "xgrammar", "structural_tag"),
    ]
    lines = [record.getMessage() for record in caplog.records if record.name == "latticework.structured"]
    assert len(lines) == 1
    assert "xgrammar" in lines[0]
    assert fallbacks[1].reason in lines[0]


def test_no_fallback_no_line(fallbacks: list[Fallback], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="latticework.structured"):
        compile_grammar(GrammarSpec.regex("a"), BYTES)
    assert fallbacks == []
    assert not caplog.records


def test_all_refusals_are_quoted() -> None:
    spec = GrammarSpec.json_schema({"not": {"pattern": r"(a)\1"}})
    with pytest.raises(UnsupportedGrammarError) as caught:
        compile_grammar(spec, BYTES)
    for words in ("lattice: #/not: keyword 'pattern'", 'llguidance: Unimplemented keys: ["not"]', "xgrammar: at #/not"):
        assert words in caught.value.reason


@pytest.mark.parametrize("engine", ["auto", *BUILTIN_ENGINES])
@pytest.mark.parametrize(
    "spec",
    [
        GrammarSpec.json_schema({"type": 5}),
        GrammarSpec.json_schema({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}),
        GrammarSpec.json_schema({"pattern": "("}),
        GrammarSpec.regex("a("),
        GrammarSpec.regex("[z-a]"),
        GrammarSpec.regex("a\\"),
    ],
    ids=lambda spec: spec.text,
)
def test_malformed_is_a_grammar_error_whatever_the_engine(spec: GrammarSpec, engine: str) -> None:
    with pytest.raises(GrammarError) as caught:
        compile_grammar(spec, BYTES, engine=engine)
    assert not isinstance(caught.value, UnsupportedGrammarError)
    assert caught.value.field == spec.kind


@pytest.mark.parametrize(
    "source",
    ['root ::= ("a"', 'root ::= "a" missing', "start: missing", 'start: "a" "b', "garbage", 'root ::= "a'],
)
def test_malformed_grammar_is_a_grammar_error(source: str) -> None:
    with pytest.raises(GrammarError) as caught:
        compile_grammar(GrammarSpec.grammar(source), BYTES)
    assert not isinstance(caught.value, UnsupportedGrammarError)


@pytest.mark.parametrize(
    "tag",
    [
        {"triggers": ["<a"]},
        {"structures": [], "triggers": ["<a"]},
        {"structures": [{"begin": "<a>", "schema": {}, "end": "</a>"}], "triggers": ["<b"]},
        {"structures": [{"begin": "<a>", "schema": {"type": 5}, "end": "</a>"}], "triggers": ["<a"]},
        {"structures": [{"begin": "<a>", "end": "</a>"}], "triggers": ["<a"]},
        {"type": "structural_tag", "format": {"type": "no such format"}},
        {"type": "structural_tag", "format": {"type": "json_schema", "json_schema": {"type": "strin"}}},
    ],
)
def test_malformed_structural_tag_is_a_grammar_error(tag: dict[str, Any]) -> None:
    with pytest.raises(GrammarError) as caught:
        compile_grammar(GrammarSpec.structural_tag(tag), BYTES)
    assert not isinstance(caught.value, UnsupportedGrammarError)
    assert caught.value.field.startswith("structural_tag")


@pytest.mark.parametrize("engine", ["llguidance", "xgrammar"])
def test_schemas_inside_tags_are_enforced(engine: str) -> None:
    """Inside a tag, a schema must bind as it does alone."""
    schema = {
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "required": ["x"],
        "additionalProperties": False,
    }
    tag = {"structures": [{"begin": "<f=a>", "schema": schema, "end": "</f>"}], "triggers": ["<f="]}
    grammar = compile_grammar(GrammarSpec.structural_tag(tag), BYTES, engine=engine)
    for text in ("just text", 'so <f=a>{"x": 1}</f> it is', '<f=a>{"x": 1}</f><f=a>{"x": 2}</f>', "a < b <f"):
        assert accepts(grammar, text), text
    for text in ('<f=a>{"y": 1}</f>', "<f=b>", '<f=a>{"x": 1}', '<f=a>{"x": "1"}</f>', "<f="):
        assert not accepts(grammar, text), text
    weak = {"structures": [{"begin": "<f=a>", "schema": {"not": {}}, "end": "</f>"}], "triggers": ["<f="]}
    with pytest.raises(UnsupportedGrammarError):
        compile_grammar(GrammarSpec.structural_tag(weak), BYTES, engine=engine)


@pytest.mark.parametrize(
    "content",
    [
        {"type": "json_schema", "json_schema": {"type": "object", "properties": {}}, "style": "qwen_xml"},
        {"type": "json_schema", "json_schema": {"type": "object", "properties": {}}, "any_order": True},
        {"type": "json_schema", "json_schema": {"type": "integer", "multipleOf": 3}},
    ],
)
def test_tag_formats_that_xgrammar_would_weaken_are_refused(content: dict[str, Any]) -> None:
    tag = {"type": "structural_tag", "format": {"type": "sequence", "elements": [content]}}
    with pytest.raises(UnsupportedGrammarError):
        compile_grammar(GrammarSpec.structural_tag(tag), BYTES, engine="xgrammar")


@pytest.mark.parametrize("engine", ["auto", "llguidance", "xgrammar"])
def test_choices_are_verbatim(engine: str) -> None:
    options = ["a", "ab", 'say "hi"\\', "line\nbreak\t", "é🙂", "/x/", "{}[]()|", "nul\0"]
    grammar = compile_grammar(GrammarSpec.choice(options), BYTES, engine=engine)
    for option in options:
        assert accepts(grammar, option), option
    for text in ("b", "a|ab", "aba", "say"):
        assert not accepts(grammar, text), text


@pytest.mark.parametrize("pattern", ["(?=a)b", "a^b", "a$b", "(?<!a)b", "x(?!y)z"])
def test_regex_constructs_that_xgrammar_ignores_are_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedGrammarError):
        compile_grammar(GrammarSpec.regex(pattern), BYTES, engine="xgrammar")


@pytest.mark.parametrize("engine", ["auto", *BUILTIN_ENGINES])
def test_half_a_surrogate_pair_is_refused(engine: str) -> None:
    for spec in (GrammarSpec.choice(["ok", "\ud800"]), GrammarSpec.json_schema({"const": "\ud800"})):
        with pytest.raises(GrammarError, match="not valid Unicode"):
            compile_grammar(spec, BYTES, engine=engine)


class TestLimits:
    def test_source_size(self) -> None:
        spec = GrammarSpec.json_schema({"description": "x" * 1_000_000})
        with pytest.raises(BudgetExceededError) as caught:
            compile_grammar(spec, BYTES)
        assert caught.value.field == "json_schema"
        assert f"{len(spec.text)} bytes" in caught.value.reason
        assert str(GrammarLimits().max_source_bytes) in caught.value.reason

    @pytest.mark.parametrize("engine", ["auto", *BUILTIN_ENGINES])
    def test_deep_schema(self, engine: str) -> None:
        text = '{"items":' * 5_000 + "{}" + "}" * 5_000
        spec = GrammarSpec(GrammarSpec.json_schema({}).kind, text)  # past what the constructor would parse
        with pytest.raises(BudgetExceededError, match="5001 levels"):
            compile_grammar(spec, BYTES, engine=engine)

    @pytest.mark.parametrize("engine", ["auto", *BUILTIN_ENGINES])
    @pytest.mark.parametrize(
        "spec",
        [GrammarSpec.regex("(" * 50_000 + ")" * 50_000), GrammarSpec.grammar("root ::= " + "(" * 50_000)],
        ids=["regex", "grammar"],
    )
    def test_deep_groups(self, engine: str, spec: GrammarSpec) -> None:
        with pytest.raises(BudgetExceededError, match="nested"):
            compile_grammar(spec, BYTES, engine=engine)

    def test_brackets_in_strings_and_classes_do_not_count(self) -> None:
        compile_grammar(GrammarSpec.regex("[(]{3}" * 80), BYTES)
        compile_grammar(GrammarSpec.json_schema({"const": "[{" * 100}), BYTES)
        compile_grammar(GrammarSpec.grammar('root ::= "' + "(" * 100 + '" [(]'), BYTES)

    def test_tighter_limits(self) -> None:
        spec = GrammarSpec.json_schema({"items": {"items": {}}})
        compile_grammar(spec, BYTES)
        with pytest.raises(BudgetExceededError):
            compile_grammar(spec, BYTES, limits=GrammarLimits(max_nesting=2))


class TestCache:
    def test_same_request_compiles_once(self) -> None:
        engine = Recording()
        spec = GrammarSpec.regex("ab?")
        first = compile_grammar(spec, BYTES, engine=engine)
        assert compile_grammar(GrammarSpec.regex("ab?"), BYTES, engine=engine) is first
        assert engine.calls == 1
        assert (cache_info().hits, cache_info().misses, cache_info().size) == (1, 1, 1)

    def test_what_makes_a_difference(self) -> None:
        engine = Recording()
        spec = GrammarSpec.regex("ab?")
        compile_grammar(spec, BYTES, engine=engine)
        compile_grammar(spec, BYTES, engine=engine, limits=GrammarLimits(max_states=77))
        compile_grammar(spec, BYTES.with_eos([0]), engine=engine)
        compile_grammar(GrammarSpec.choice(["ab?"]), BYTES, engine=engine)
        assert engine.calls == 4
        other = Recording()
        compile_grammar(spec, BYTES, engine=other)
        assert other.calls == 1

    def test_threads_share_one_compilation(self) -> None:
        engine = Recording(seconds=0.2)
        results: list[Any] = []
        barrier = threading.Barrier(6)

        def work() -> None:
            barrier.wait()
            results.append(compile_grammar(GrammarSpec.regex("ab?"), BYTES, engine=engine))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert engine.calls == 1
        assert len(results) == 6
        assert all(result is results[0] for result in results)

    def test_failures_are_not_remembered(self) -> None:
        engine = Recording(error=UnsupportedGrammarError("regex", "not today"))
        for _ in range(2):
            with pytest.raises(UnsupportedGrammarError, match="not today"):
                compile_grammar(GrammarSpec.regex("ab?"), BYTES, engine=engine)
        assert engine.calls == 2
        assert cache_info().size == 0

    def test_bounded(self) -> None:
        capacity = cache_info().capacity
        engine = Recording()
        for i in range(capacity + 20):
            compile_grammar(GrammarSpec.choice([str(i)]), BYTES, engine=engine)
        assert cache_info().size == capacity
        compile_grammar(GrammarSpec.choice([str(capacity + 19)]), BYTES, engine=engine)
        assert engine.calls == capacity + 20
        compile_grammar(GrammarSpec.choice(["0"]), BYTES, engine=engine)
        assert engine.calls == capacity + 21


def test_slow_native_compilation_is_given_up() -> None:
    from latticework.structured.engines.deadline import run_with_deadline

    assert run_with_deadline(lambda: 7, 5.0, "regex", "it") == 7
    with pytest.raises(ZeroDivisionError):
        run_with_deadline(lambda: 1 // 0, 5.0, "regex", "it")
    release = threading.Event()
    with pytest.raises(BudgetExceededError) as caught:
        run_with_deadline(release.wait, 0.05, "regex", "it")
    release.set()
    assert caught.value.field == "regex"


def test_matchers_of_one_grammar_work_in_parallel_threads() -> None:
    spec = GrammarSpec.json_schema({"type": "array", "items": {"type": "integer"}})
    for engine in ("llguidance", "xgrammar"):
        grammar = compile_grammar(spec, BYTES, engine=engine)
        outcomes: list[bool] = []

        def work(grammar: Any = grammar, outcomes: list[bool] = outcomes) -> None:
            outcomes.extend(accepts(grammar, str(list(range(n)))) for n in range(20))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes == [True] * 80
