"""Grammars made out of a request's input: options, errors, and masks that never mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from engine_walks import BYTES
from preset_texts import accepts, allowed_by

from latticework.plugins.base import PluginOptions, Role
from latticework.plugins.input_grammars import grammar_for_request
from latticework.plugins.inputs import RequestInput
from latticework.plugins.options import RequestOptions
from latticework.plugins.registry import Registry, registry
from latticework.plugins.serving import check_options, compile_for_request
from latticework.plugins.settings import GrammarSettings, Settings
from latticework.structured import GrammarSpec, bitmask
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.errors import LatticeworkError

SENTENCE = "A first [START_TEXT] demo [END_TEXT] and then [START_TEXT] the cat sat [END_TEXT] please"
MENTION = "Who? [START_ENT] US [END_ENT] ... leaders of the [START_ENT] EU [END_ENT] met."


SCHEMA = "Write one query.\n\nCREATE TABLE singer (id INT PRIMARY KEY, \"birth year\" INT);\n\nWho is the oldest?"


def spec_of(extra: Mapping[str, Any], request: RequestInput | str = "", own: str | None = None) -> GrammarSpec:
    given = RequestInput(text=request) if isinstance(request, str) else request
    spec = grammar_for_request(RequestOptions.parse(extra, Settings(), registry()), given, own)
    assert spec is not None
    return spec


def grammar_of(extra: Mapping[str, Any], request: RequestInput | str = "") -> CompiledGrammar:
    return compile_for_request(spec_of(extra, request), BYTES, RequestOptions())


def test_no_option_means_no_grammar() -> None:
    options = RequestOptions.parse({}, Settings(), registry())
    assert grammar_for_request(options, RequestInput(text="x"), "regex") is None


ASKED = {
    "closed_ie": (
        {"lw_grammar": "closed_ie", "lw_grammar_entities": ["Bari", "Italy"], "lw_grammar_relations": ["in"]},
        "",
        "[s] Bari [r] in [o] Italy [e]",
        "[s] Bari [r] of [o] Italy [e]",
    ),
    "entity_disambiguation": (
        {"lw_grammar": "entity_disambiguation", "lw_grammar_candidates": ["European Union", "Europe"]},
        MENTION,
        "EU [Europe]",
        "US [Europe]",
    ),
    "constituency": (
        {"lw_grammar": "constituency"},
        SENTENCE,
        "[(S (NP (DT the) (NN cat)) (VP (VBD sat)))]",
        "[(S (NP (DT the)) (VP (VBD sat)))]",
    ),
    "lasuie": (
        {"lw_grammar": "lasuie", "lw_grammar_form": "span", "lw_grammar_attributes": ["animal"]},
        SENTENCE,
        "<extra_id_0><extra_id_0>the cat<extra_id_2>animal<extra_id_1><extra_id_1>",
        "<extra_id_0><extra_id_0>the dog<extra_id_2>animal<extra_id_1><extra_id_1>",
    ),
    "refvlm": (
        {"lw_grammar": "refvlm", "lw_grammar_names": ["cat"]},
        "",
        "<Task>\nUnit decode (False).\n</Task>\nNothing.",
        "<Task>\nUnit decode (False).\n</Task>\n<Phrase>cat</Phrase>",
    ),
    "sql": (
        {"lw_grammar": "sql"},
        SCHEMA,
        'SELECT id FROM singer ORDER BY "birth year" LIMIT 1;',
        "SELECT name FROM singer LIMIT 1",
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_presets_are_asked_for_by_request_options(name: str) -> None:
    extra, prompt, taken, refused = ASKED[name]
    grammar = grammar_of(extra, prompt)
    assert accepts(grammar, taken)
    assert not accepts(grammar, refused)


def test_the_prompt_may_come_as_tokens() -> None:
    request = RequestInput(token_ids=list(MENTION.encode()), decode=lambda tokens: bytes(tokens).decode())
    assert accepts(grammar_of(ASKED["entity_disambiguation"][0], request), "EU [Europe]")
    with pytest.raises(LatticeworkError, match="no text"):
        spec_of(ASKED["entity_disambiguation"][0], RequestInput(token_ids=[1, 2]))


@pytest.mark.parametrize("extra", [{"lw_grammar_ddl": "CREATE TABLE b (c)"}, {"lw_grammar_tables": '{"b": ["c"]}'}])
def test_tables_stand_in_for_the_prompt(extra: Mapping[str, Any]) -> None:
    grammar = grammar_of({"lw_grammar": "sql", **extra}, SCHEMA)
    assert accepts(grammar, "SELECT c FROM b")
    assert not accepts(grammar, "SELECT id FROM singer")


def test_options_stand_in_for_the_prompt() -> None:
    names = {"lw_grammar_labels": ["S"], "lw_grammar_tags": ["N"]}
    extra = {**ASKED["constituency"][0], **names, "lw_grammar_text": "(a) b"}
    assert accepts(grammar_of(extra), "[(S (N -LRB-a-RRB-) (N b))]")


# --- Requests never see each other's constraint ---


def test_two_requests_of_one_batch_never_see_each_others_mask() -> None:
    """Two sentences, decoded side by side in both orders: each row is that of the request alone."""
    extra = ASKED["constituency"][0]
    prompts = [f"[START_TEXT]{words}[END_TEXT]" for words in ("the cat", "cat the")]
    texts = ["[(NP (DT the) (NN cat))]", "[(NP (NN cat) (DT the))]"]
    for order in ((0, 1), (1, 0)):
        grammars = [grammar_of(extra, prompts[i]) for i in order]
        matchers = [grammar.matcher() for grammar in grammars]
        for step in range(len(texts[0])):
            batch = np.zeros((2, bitmask.words(BYTES.size)), np.int32)
            for row, matcher in zip(batch, matchers, strict=True):
                matcher.fill_bitmask(row)
            for number, row, matcher in zip(order, batch, matchers, strict=True):
                alone = grammar_of(extra, prompts[number]).matcher()
                assert all(alone.accept(byte) for byte in texts[number][:step].encode())
                assert set(bitmask.indices(row).tolist()) == allowed_by(grammars[0], alone)
                assert matcher.accept(texts[number].encode()[step])
        assert all(matcher.can_end for matcher in matchers)


def test_equal_inputs_share_one_grammar() -> None:
    extra = ASKED["entity_disambiguation"][0]
    assert grammar_of(extra, MENTION) is grammar_of(extra, "Other words. [START_ENT] EU [END_ENT]")
    assert grammar_of(extra, MENTION) is not grammar_of(extra, "[START_ENT] UN [END_ENT]")


def test_catalogues_of_the_deployment_may_be_named(tmp_path) -> None:
    path = tmp_path / "rivers.txt"
    path.write_text("Rhine\nRhone\n", encoding="utf-8")
    settings = Settings(
        grammar=GrammarSettings(
            catalogues={"test-rivers": str(path)}, options={"closed_ie": {"entity_catalogue": "test-rivers"}}
        )
    )
    extra = {"lw_grammar": "closed_ie", "lw_grammar_relations": ["joins"]}
    options = RequestOptions.parse(extra, settings, registry())
    spec = grammar_for_request(options, RequestInput(), None)
    assert spec is not None
    grammar = compile_for_request(spec, BYTES, options, settings)
    assert accepts(grammar, "[s] Rhine [r] joins [o] Rhone [e]")
    assert not accepts(grammar, "[s] Rhin [r] joins [o] Rhone [e]")


# --- Errors ---


def test_a_request_with_a_constraint_of_its_own_is_refused() -> None:
    with pytest.raises(LatticeworkError, match="of its own") as error:
        spec_of(ASKED["refvlm"][0], own="json_schema")
    assert error.value.field == "lw_grammar"
    assert "json_schema" in error.value.reason


@pytest.mark.parametrize(
    ("extra", "prompt", "field"),
    [
        ({"lw_grammar": "closed_iee"}, "", "lw_grammar"),
        ({"lw_grammar": "closed_ie"}, "", "lw_grammar"),
        ({"lw_grammar": "closed_ie", "lw_grammar_entity": ["a"]}, "", "lw_grammar_entity"),
        ({"lw_grammar_entities": ["a"]}, "", "lw_grammar_entities"),
        ({"lw_grammar": "closed_ie", "lw_grammar_entities": ["a"] * 10_001}, "", "lw_grammar_entities"),
        ({"lw_grammar": "closed_ie", "lw_grammar_entities": ["a" * 501]}, "", "lw_grammar_entities"),
        ({"lw_grammar": "closed_ie", "lw_grammar_entities": [3]}, "", "lw_grammar_entities"),
        ({"lw_grammar": "closed_ie", "lw_grammar_entities": ["[s]"], "lw_grammar_relations": ["r"]}, "",
         "lw_grammar_entities"),
        ({"lw_grammar": "entity_disambiguation"}, MENTION, "lw_grammar"),
        ({"lw_grammar": "entity_disambiguation", "lw_grammar_candidates": ["a"]}, "no mention", "lw_grammar_mention"),
        ({"lw_grammar": "constituency"}, "no markers", "lw_grammar_text"),
        ({"lw_grammar": "constituency", "lw_grammar_text": "a" * 20_001}, "", "lw_grammar_text"),
        ({"lw_grammar": "lasuie", "lw_grammar_form": "tree", "lw_grammar_attributes": ["a"]}, SENTENCE,
         "lw_grammar_form"),
        ({"lw_grammar": "lasuie", "lw_grammar_form": "pair", "lw_grammar_attributes": ["a"]}, SENTENCE,
         "lw_grammar_relations"),
        ({"lw_grammar": "refvlm", "lw_grammar_names": ["a"], "lw_grammar_max_count": 0}, "", "lw_grammar_max_count"),
        ({"lw_grammar": "sql"}, "no tables", "lw_grammar_ddl"),
        ({"lw_grammar": "sql"}, "CREATE TABLE a (b", "lw_grammar_ddl"),
        ({"lw_grammar": "sql"}, "CREATE TABLE a (b, B)", "lw_grammar_ddl"),
        ({"lw_grammar": "sql", "lw_grammar_ddl": "SELECT 1"}, SCHEMA, "lw_grammar_ddl"),
        ({"lw_grammar": "sql", "lw_grammar_tables": "[]"}, SCHEMA, "lw_grammar_tables"),
        ({"lw_grammar": "sql", "lw_grammar_tables": '{"a": []}'}, SCHEMA, "lw_grammar_tables"),
        ({"lw_grammar": "sql", "lw_grammar_tables": "{}", "lw_grammar_ddl": "x"}, SCHEMA, "lw_grammar"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(extra: Mapping[str, Any], prompt: str, field: str) -> None:
    with pytest.raises(LatticeworkError) as error:
        spec_of(extra, prompt)
    assert error.value.field == field


def test_a_server_without_our_grammar_backend_refuses() -> None:
    extra = ASKED["refvlm"][0]
    assert check_options(extra, None, {}).grammar is not None
    with pytest.raises(LatticeworkError, match="--grammar-flag") as error:
        check_options(extra, None, {Role.ENGINE: "--grammar-flag"})
    assert error.value.field == "lw_grammar"


# --- Plugins from outside ---


class EchoOptions(PluginOptions):
    """The options of the plugin below."""

    mode: str = "echo"


class EchoPlugin:
    """Repeats the prompt; or misbehaves."""

    name = "echo"
    summary = "for this test"
    options = EchoOptions

    def create(self, options: EchoOptions) -> Any:
        class Echo:
            def grammar(self, request: RequestInput) -> Any:
                if options.mode == "fail":
                    raise RuntimeError("bad day")
                if options.mode == "refuse":
                    raise LatticeworkError("mode", "not today")
                return "text" if options.mode == "mistake" else GrammarSpec.choice([request.prompt])

        return Echo()


PLUGINS = Registry({Role.GRAMMAR: {"echo": lambda: EchoPlugin}})


def echo(mode: str, prompt: str = "hello") -> GrammarSpec | None:
    options = RequestOptions.parse(
        {"lw_drafter": "off", "lw_grammar": "echo", "lw_grammar_mode": mode}, Settings(), PLUGINS
    )
    return grammar_for_request(options, RequestInput(text=prompt), None, PLUGINS)


def test_a_plugin_from_outside_makes_any_kind_of_constraint() -> None:
    spec = echo("echo", "say this")
    assert spec == GrammarSpec.choice(["say this"])
    grammar = compile_for_request(spec, BYTES, RequestOptions())
    for seed in range(3):  # one possible text, whatever the logits
        logits, matcher, text = np.random.default_rng(seed).normal(size=(20, BYTES.size)), grammar.matcher(), b""
        for row in logits:
            allowed = sorted(allowed_by(grammar, matcher))
            token = allowed[int(np.argmax(row[allowed]))]
            assert matcher.accept(token)
            if matcher.finished:
                break
            text += BYTES.tokens[token]
        assert text == b"say this"


@pytest.mark.parametrize(
    ("mode", "field", "reason"),
    [
        ("fail", "lw_grammar", "'echo' failed on this request (RuntimeError)"),
        ("mistake", "lw_grammar", "'echo' gave no constraint"),
        ("refuse", "lw_grammar_mode", "not today"),
    ],
)
def test_a_plugin_that_fails_fails_one_request(mode: str, field: str, reason: str) -> None:
    with pytest.raises(LatticeworkError) as error:
        echo(mode)
    assert (error.value.field, error.value.reason) == (field, reason)
