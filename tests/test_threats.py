"""What hostile options can do: docs/threats.md, and that it names the tests behind each of its rows."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from latticework.adapters import http_facts
from latticework.plugins.ab.facts import MAX_IDENTITY, RequestFacts
from latticework.plugins.ab.routing import Router
from latticework.plugins.access import AccessSettings
from latticework.plugins.base import KEPT, Role
from latticework.plugins.draft_counts import MAX_ARMS, DraftCounts, arm_label
from latticework.plugins.inputs import RequestInput
from latticework.plugins.options import RequestOptions
from latticework.plugins.registry import registry
from latticework.plugins.requests import ARM_LABEL, LOG_ID, is_configured, without_forgery
from latticework.plugins.scoping import tenant_of_salt
from latticework.plugins.session import SessionTable
from latticework.plugins.settings import DrafterSettings, Settings, read_settings
from latticework.speculative.drafter import DraftBudget
from latticework.structured.engines.select import compile_grammar
from latticework.structured.errors import LatticeworkError
from latticework.structured.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "threats.md"
FOLDERS = (ROOT / "tests", ROOT / "integration" / "tests")
INSTALLED = registry()
BYTES = Vocabulary([bytes([i]) for i in range(256)] + [b""], eos_ids=[256])
FACTORIES = [
    (role, name) for role in (Role.GRAMMAR, Role.DRAFTER, Role.PROCESSOR, Role.SEARCH) for name in INSTALLED.names(role)
]


def refused(extra: Mapping[str, Any], deployment: Settings | None = None) -> LatticeworkError:
    with pytest.raises(LatticeworkError) as caught:
        RequestOptions.parse(extra, deployment or Settings(), INSTALLED)
    return caught.value


# The page


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_row_of_the_page_names_tests_that_exist() -> None:
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(table) > 12
    for row in table[1:]:
        named = re.findall(r"`(test_\w+)::(\w+)`", row)
        assert named, f"no test in {row[:60]!r}"
        for file, test in named:
            path = next(folder / f"{file}.py" for folder in FOLDERS if (folder / f"{file}.py").exists())
            assert test in functions(path), f"{file}.py has no {test}"


def test_the_page_names_every_test_of_threats() -> None:
    for path in sorted((ROOT / "tests").glob("test_threats*.py")):
        tests = {name for name in functions(path) if name.startswith("test_") and "the_page" not in name}
        assert {name for name in tests if f"`{path.stem}::{name}`" not in PAGE.read_text()} == set()


# Names


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "os:system",
        "latticework.plugins.drafters:FusionPlugin",
        "latticework.plugins.drafters",
        "__import__('os').system('id')",
        "fusion\0",
        "",
    ],
)
def test_options_name_no_file_no_module_and_no_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr("builtins.open", lambda *args, **_: opened.append(args))
    monkeypatch.setattr(os, "stat", lambda *args, **_: opened.append(args))
    monkeypatch.setattr("importlib.import_module", lambda *args: opened.append(args))
    errors = [refused({f"lw_{role}": name}) for role in Role]
    errors.append(refused({"lw_drafter": "model", "lw_drafter_model": name}))
    errors += [
        refused({"lw_drafter": drafter, "lw_drafter_datastore": name}) for drafter in ("retrieval", "dense_retrieval")
    ]
    monkeypatch.undo()
    assert opened == []
    assert all(error.field.startswith("lw_") for error in errors)


def test_catalogues_are_those_of_the_settings(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden\n")
    extra = {"lw_grammar": "closed_ie", "lw_grammar_relations": ["r"], "lw_grammar_entity_catalogue": str(secret)}
    selection = RequestOptions.parse(extra, Settings(), INSTALLED).grammar
    assert selection is not None
    made = INSTALLED.factory(Role.GRAMMAR, "closed_ie").create(selection.options).grammar(RequestInput())
    with pytest.raises(LatticeworkError, match="catalogue") as caught:
        compile_grammar(made, BYTES)
    assert "hidden" not in str(caught.value)


# Sizes


def bounds(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[str]:
    """What of a value's JSON schema is without a bound."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].removeprefix("#/$defs/")]
    for branch in schema.get("anyOf", ()):
        yield from bounds(branch, defs)
    if "enum" in schema or "const" in schema:
        return
    match schema.get("type"):
        case "string" if "maxLength" not in schema:
            yield "a text of any length"
        case "integer" | "number":
            if not {"minimum", "exclusiveMinimum"} & set(schema) or not {"maximum", "exclusiveMaximum"} & set(schema):
                yield "a number of any size"
        case "array":
            if "maxItems" not in schema:
                yield "a list of any length"
            for items in [schema["items"]] if "items" in schema else schema.get("prefixItems", []):
                yield from bounds(items, defs)
        case "object":
            yield "an object"


@pytest.mark.parametrize(("role", "name"), FACTORIES)
def test_every_option_is_bounded(role: Role, name: str) -> None:
    model = INSTALLED.factory(role, name).options
    assert model.model_config.get("extra") == "forbid"
    schema = model.model_json_schema()
    for option, value in schema["properties"].items() if "properties" in schema else ():
        assert list(bounds(value, schema.get("$defs", {}))) == [], option


MOST_KEPT = [
    (name, option, field)
    for role, name in FACTORIES
    for option, field in INSTALLED.factory(role, name).options.model_fields.items()
    if field.json_schema_extra == KEPT
]


@pytest.mark.parametrize(("name", "option", "field"), MOST_KEPT)
def test_a_request_gets_no_more_memory_than_the_deployment_keeps(name: str, option: str, field: Any) -> None:
    key, default = f"lw_drafter_{option}", field.default
    error = refused({"lw_drafter": name, key: default + 1})
    assert (error.field, f"at most {default}" in error.reason) == (key, True)
    RequestOptions.parse({"lw_drafter": name, key: default - 1}, Settings(), INSTALLED)
    larger = Settings(drafter=DrafterSettings(options={name: {option: default + 1}}))
    RequestOptions.parse({"lw_drafter": name, key: default + 1}, larger, INSTALLED)
    assert f"drafter.options.{name}.{option}" in refused({"lw_drafter": name, key: default + 2}, larger).reason


def test_some_options_say_how_much_is_kept() -> None:
    assert len(MOST_KEPT) >= 7


def test_identities_names_and_headers_are_cut() -> None:
    facts = RequestFacts("r", user="u" * 1_000_000, headers={"x-session-id": "s" * 1_000_000})
    for source in ("user", "header:x-session-id"):
        found = facts.identity([source])
        assert found is not None
        assert len(found[1]) <= MAX_IDENTITY + len(source) + 1
    http = http_facts.HttpFacts({"headers": []})
    for number in range(10_000):
        http.tell(f"drafting=arm{number}")
    assert len(http.arms) <= http_facts.MAX_HEADER
    assert http.arms.startswith("drafting=arm0; drafting=arm1; ")


# Options


WORDS = st.one_of(
    st.sampled_from(["lw_drafter", "lw_engine", "lw_search", "lw_json_order", "lw_drafter_scope", "lw_arm", "lw_"]),
    st.text(max_size=20).map(lambda text: f"lw_{text}"),
    st.sampled_from(["lw_drafter_" + "x" * 10_000, "lw_drafter\r\nx-latticework-arm: a", "lw_\x1b[2J", "lw_\u2028"]),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["fusion", "off", "auto", "best_of_n", '{"lw_search_n": 4}', "x" * 10_000, "\ud800", "a\nb"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=4,
)


def deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


@given(st.dictionaries(WORDS, VALUES, max_size=4))
@settings(max_examples=200)
def test_any_options_are_served_or_refused_by_a_short_name(extra: dict[str, Any]) -> None:
    error = None
    try:
        RequestOptions.parse(extra, Settings(), INSTALLED)
    except LatticeworkError as caught:
        error = caught
    assert error is None or (error.field.isprintable() and len(error.field) < 150 and len(error.reason) < 2000)


SCALARS_NOT = [deep(50_000), 10**5000, [10**5000], {"a": 1}, '{"n": 4}', "4", "../n", True]


@pytest.mark.parametrize("value", SCALARS_NOT, ids=range(len(SCALARS_NOT)))
def test_values_that_are_no_scalars_are_refused(value: Any) -> None:
    assert refused({"lw_search": "best_of_n", "lw_search_n": value}).field == "lw_search_n"


def test_a_client_cannot_write_what_the_front_end_does() -> None:
    forged = {ARM_LABEL: "x", LOG_ID: "y", "lw_drafter": "off"}
    assert without_forgery(forged) == {"lw_drafter": "off"}
    assert arm_label({ARM_LABEL: ["a", "list"]}) == arm_label({ARM_LABEL: "x" * 100_000}) == "other"


ACCESS = AccessSettings(
    options=("lw_engine", "lw_json_*"), header="X-Group", groups={"research": ("lw_search*", "lw_arm")}
)


@pytest.mark.parametrize(
    ("extra", "group", "field"),
    [
        ({"lw_engine": "auto", "lw_json_order": "any", "temperature": 1}, None, None),
        ({"lw_engine_x": "auto"}, None, "lw_engine_x"),
        ({"lw_search": None}, None, None),
        ({"lw_search": "best_of_n"}, None, "lw_search"),
        ({"lw_search": "best_of_n", "lw_search_n": 2}, "research", None),
        ({"lw_search": "best_of_n"}, "research ", "lw_search"),
        ({"lw_arm": "x/control"}, None, "lw_arm"),
        ({"lw_drafter": "off"}, "research", "lw_drafter"),
        ({"lw_\n" + "y" * 500: 1}, None, "lw_\\n" + "y" * 96),
    ],
)
def test_settings_say_who_may_name_what(extra: Mapping[str, Any], group: str | None, field: str | None) -> None:
    router = Router(Settings(access=ACCESS), INSTALLED)
    assert not router.idle
    headers = {} if group is None else {"x-group": group}
    for prompts in ((extra,), ({}, {}, extra)):
        facts = RequestFacts("r", extra=prompts[0], others=prompts[1:], headers=headers)
        if field is None:
            router.route(facts)
            continue
        with pytest.raises(LatticeworkError, match="access") as caught:
            router.route(facts)
        assert caught.value.field == field


def test_access_binds_clients_and_not_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = {"control": {"weight": 0}, "fusion": {"options": {"lw_drafter": "fusion"}}}
    ab = {"experiments": {"x": {"identity": ["request"], "arms": arms}}}
    router = Router(Settings(access=AccessSettings(options=()), ab=ab), INSTALLED)  # type: ignore[arg-type]
    assert router.route(RequestFacts("r")).extra == {"lw_drafter": "fusion"}
    for name in [name for name in os.environ if name.startswith("LATTICEWORK_")]:
        monkeypatch.delenv(name)
    assert not is_configured()
    monkeypatch.setenv("LATTICEWORK_ACCESS__OPTIONS", "[]")
    assert is_configured()
    assert not read_settings().access.is_open


def test_custom_params_of_sglang_are_an_object() -> None:
    from latticework.adapters.sglang.options import custom_of, with_choice

    for params in ({"custom_params": [1]}, {"custom_params": "lw_drafter"}, {"custom_params": 3}):
        for look in (custom_of, with_choice):
            with pytest.raises(LatticeworkError, match="must be an object") as caught:
                look(params)
            assert caught.value.field == "custom_params"
    assert custom_of({}) == custom_of({"custom_params": None}) == {}


# Tenants


SECRET = range(100, 150)


#: Those that know texts or models of the deployment are in `test_draft_lifecycle`, with made-up ones.
DRAFTERS = [name for name in INSTALLED.names(Role.DRAFTER) if name not in ("model", "retrieval", "dense_retrieval")]
#: Of them, those that have learnt something from this text for its own tenant.
LEARNING = {"fusion", "guided", "ngram_pool", "ngram_trie", "trigram"}


@pytest.mark.parametrize("name", DRAFTERS)
def test_no_token_of_one_tenant_is_in_anothers_draft(name: str) -> None:
    """What a tenant wrote, after the same prompt and the same tokens; drafters that learn are shown its text twice."""
    options = RequestOptions.parse({"lw_drafter": name}, Settings(), INSTALLED)
    table = SessionTable(200, Settings(), INSTALLED)
    prompt, salts = [1, 2, 3, 1, 2, 3, 1, 2], ("alice's", "bob's", None)

    def drafted(request: str, salt: str | None, written: list[int]) -> set[int]:
        table.begin(request, options, np.array(prompt, np.int32), tenant=tenant_of_salt(salt), constraint="x")
        seen: set[int] = set()
        for end in range(len(written) + 1):
            table.sync(request, np.array(prompt + written[:end], np.int32))
            seen |= set(table.draft(request, DraftBudget(8, 8)).token.tolist())
        table.end(request)
        return seen

    for number in range(2):
        drafted(f"teacher {number}", salts[0], [3, *SECRET, 3, *SECRET])
    for salt in salts[1:]:
        assert not drafted(f"learner {salt}", salt, [3, 1, 2, 3]) & set(SECRET)
    assert bool(drafted("pupil", salts[0], [3]) & set(SECRET)) == (name in LEARNING)


# Metrics


def samples() -> int:
    return sum(len(family.samples) for family in REGISTRY.collect() if family.name.startswith("latticework_"))


def test_a_hundred_thousand_names_make_no_labels() -> None:
    arm_label(None)
    first = samples()
    for number in range(100_000):
        label = arm_label({ARM_LABEL: f"x/arm{number}"})
        if number % 1000 == 0:
            DraftCounts("fusion", label).accepted(1)
            refused({"lw_drafter": f"drafter{number}"})
            refused({f"lw_option{number}": 1})
            table = SessionTable(200, Settings(), INSTALLED)
            options = RequestOptions.parse({"lw_drafter": "ngram_pool"}, Settings(), INSTALLED)
            table.begin("r", options, np.array([1], np.int32), tenant=tenant_of_salt(f"tenant {number}"))
            table.end("r")
    assert arm_label({ARM_LABEL: "one more"}) == "other"
    assert samples() - first <= 10 * (MAX_ARMS + 1)
