"""The wrapped engines satisfy the same laws as our own, over a trained, a bytes-only and a real vocabulary."""

from __future__ import annotations

import json

import pytest
from engine_walks import small_vocabulary

from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary
from latticework.structured.engines import BUILTIN_ENGINES
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.laws import MatcherLaws

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
LEGACY_TAG = {
    "structures": [{"begin": "<function=area>", "schema": SCHEMA, "end": "</function>"}],
    "triggers": ["<function="],
}
SPECS = {
    "json_schema": GrammarSpec.json_schema(SCHEMA),
    "json_object": GrammarSpec.json_object(),
    "regex": GrammarSpec.regex("[a-c]{2,5}(-[0-9]+)?"),
    "regex_text": GrammarSpec.regex("The name is [A-Zäöü][a-z]{0,5}\\."),
    "choice": GrammarSpec.choice(["yes", "no", "yes, but no", "naïve"]),
    "gbnf": GrammarSpec.grammar('root ::= "(" root ")" | [0-9]+'),
    "lark": GrammarSpec.grammar('start: "SELECT " /[a-z]+/ (" WHERE " /[a-z]+/ "=" /[0-9]+/)?'),
    "legacy_tag": GrammarSpec.structural_tag(LEGACY_TAG),
}
FORMAT_TAG = GrammarSpec.structural_tag(
    {
        "type": "structural_tag",
        "format": {
            "type": "tag",
            "begin": "<think>",
            "content": {"type": "json_schema", "json_schema": SCHEMA},
            "end": "</think>",
        },
    }
)
ENGINES = ("llguidance", "xgrammar")
CASES = [(engine, kind) for engine in ENGINES for kind in SPECS]
SOME_CASES = [(engine, kind) for engine in ENGINES for kind in ("json_schema", "regex_text", "legacy_tag")]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    return small_vocabulary(tmp_path_factory.mktemp("tokenizer"))


class TestOverATrainedTokenizer(MatcherLaws):
    @pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
    def grammar(self, request: pytest.FixtureRequest, trained: Vocabulary) -> CompiledGrammar:
        engine, kind = request.param
        return BUILTIN_ENGINES[engine].compile(SPECS[kind], trained, GrammarLimits())


class TestOverRawBytes(MatcherLaws):
    """No serialized tokenizer: only what each token writes."""

    @pytest.fixture(params=SOME_CASES, ids=lambda case: "-".join(case))
    def grammar(self, request: pytest.FixtureRequest, trained: Vocabulary) -> CompiledGrammar:
        engine, kind = request.param
        vocabulary = Vocabulary(trained.tokens, trained.eos_ids, special_ids=trained.special_ids)
        return BUILTIN_ENGINES[engine].compile(SPECS[kind], vocabulary, GrammarLimits())


class TestWithSeveralEndTokens(MatcherLaws):
    """One special token, and one that has a text of its own."""

    @pytest.fixture(params=SOME_CASES, ids=lambda case: "-".join(case))
    def grammar(self, request: pytest.FixtureRequest, trained: Vocabulary) -> CompiledGrammar:
        engine, kind = request.param
        with_text = trained.tokens.index(b"Z")
        vocabulary = trained.with_eos([*trained.eos_ids, *trained.special_ids, with_text])
        return BUILTIN_ENGINES[engine].compile(SPECS[kind], vocabulary, GrammarLimits())


class TestOverSmolLM2(MatcherLaws):
    @pytest.fixture(params=SOME_CASES, ids=lambda case: "-".join(case))
    def grammar(self, request: pytest.FixtureRequest, smollm2_vocabulary: Vocabulary) -> CompiledGrammar:
        engine, kind = request.param
        return BUILTIN_ENGINES[engine].compile(SPECS[kind], smollm2_vocabulary, GrammarLimits())


class TestFormatTag(MatcherLaws):
    @pytest.fixture
    def grammar(self, trained: Vocabulary) -> CompiledGrammar:
        return BUILTIN_ENGINES["xgrammar"].compile(FORMAT_TAG, trained, GrammarLimits())


@pytest.mark.parametrize("engine", ["llguidance", "xgrammar"])
def test_keys_are_forced_once_begun(engine: str, smollm2_vocabulary: Vocabulary) -> None:
    schema = {**SCHEMA, "properties": {"country_code": {"enum": ["DE", "FR"]}}, "required": ["country_code"]}
    grammar = BUILTIN_ENGINES[engine].compile(GrammarSpec.json_schema(schema), smollm2_vocabulary, GrammarLimits())
    matcher = grammar.matcher()
    for token in smollm2_vocabulary.encode(b'{"') or []:
        assert matcher.accept(token)
    forced = b"".join(smollm2_vocabulary.tokens[token] for token in matcher.forced_tokens())
    assert forced.startswith(b"country_code")
    assert b'country_code": "'.startswith(forced)


@pytest.mark.parametrize("engine", ["llguidance", "xgrammar"])
@pytest.mark.parametrize("name", ["llama3", "qwen3"])
def test_other_tokenizers(engine: str, name: str, data_directory, tmp_path) -> None:
    import gzip

    packed = data_directory / "tokenizers" / f"{name}.json.gz"
    if not packed.exists():
        pytest.skip(f"no {name} tokenizer in the data")
    path = tmp_path / "tokenizer.json"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    names = {"llama3": "<|end_of_text|>", "qwen3": "<|im_end|>"}
    vocabulary = Vocabulary.from_tokenizer_json(path, eos_token=names[name])
    grammar = BUILTIN_ENGINES[engine].compile(SPECS["json_schema"], vocabulary, GrammarLimits())
    matcher = grammar.matcher()
    document = json.dumps({"name": "Zoë 🙂", "age": 41}, ensure_ascii=False)
    tokens = [*(vocabulary.encode(document.encode()) or []), min(vocabulary.eos_ids)]
    assert matcher.count_valid(tokens) == len(tokens)
    assert all(matcher.accept(token) for token in tokens)
    assert matcher.finished
