"""Request options, deployment settings and the registry: precise errors, nothing silent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from latticework.plugins.base import OFF, PluginOptions, Role
from latticework.plugins.json_layout import JsonLayout
from latticework.plugins.options import RequestOptions, Selection, compile_options
from latticework.plugins.registry import Registry, registry
from latticework.plugins.settings import (
    DrafterSettings,
    GrammarSettings,
    RoleSettings,
    SearchSettings,
    Settings,
    load_settings,
)
from latticework.structured.errors import LatticeworkError
from latticework.structured.json_options import JsonOptions, OnUnsupported, Order, Whitespace

INSTALLED = registry()


class WideOptions(PluginOptions):
    """Every type that a request can carry."""

    count: int = 1
    ratio: float = 0.5
    flag: bool = False
    word: str = "a"
    maybe: int | None = None
    several: tuple[int, ...] = ()
    bounded: int = Field(default=1, ge=1, le=9)


class WidePlugin:
    name = "wide"
    summary = "for this test"
    options = WideOptions

    def create(self, options: WideOptions) -> object:
        return object()


def broken() -> object:
    raise ImportError("no module named 'somewhere'")


PLUGINS = Registry(
    {
        Role.ENGINE: {},
        Role.DRAFTER: {"wide": lambda: WidePlugin, "broken": broken},
        Role.PROCESSOR: {"wide": lambda: WidePlugin},
        Role.SEARCH: {"wide": lambda: WidePlugin},
    }
)
ALL_OFF = Settings(drafter=DrafterSettings(default=OFF))


def parse(extra: Mapping[str, Any] | None, settings: Settings | None = None) -> RequestOptions:
    return RequestOptions.parse(extra, settings or Settings(), INSTALLED)


def wide(**options: object) -> WideOptions:
    extra = {"lw_drafter": "wide", **{f"lw_drafter_{name}": value for name, value in options.items()}}
    selection = RequestOptions.parse(extra, ALL_OFF, PLUGINS).drafter
    assert selection is not None
    assert isinstance(selection.options, WideOptions)
    return selection.options


def test_nothing_asked_for_gives_the_defaults() -> None:
    for extra in (None, {}, {"other": 1}):
        options = parse(extra)
        assert options.engine == "auto"
        assert options.drafter is not None
        assert options.drafter.name == "auto"
        assert (options.processor, options.search) == (None, None)


def test_every_role_can_be_named_and_switched_off() -> None:
    options = parse(
        {
            "lw_engine": "xgrammar",
            "lw_drafter": "off",
            "lw_processor": "fsd",
            "lw_processor_alpha": 0.3,
            "lw_search": "best_of_n",
            "lw_search_n": 8,
        }
    )
    assert options.engine == "xgrammar"
    assert options.drafter is None
    assert options.processor is not None
    assert options.processor.options.model_dump()["alpha"] == 0.3
    assert options.search is not None
    assert options.search.options.model_dump() == {"n": 8, "temperature": 0.8, "seed": None}


def test_equal_requests_are_equal_and_hashable() -> None:
    extra = {"lw_drafter": "prompt_lookup", "lw_drafter_max_match": 5}
    assert parse(extra) == parse({**extra, "lw_drafter_max_match": 5.0})
    assert len({parse(extra), parse(extra), parse({})}) == 2


def test_null_is_as_good_as_absent() -> None:
    assert parse({"lw_drafter": None, "lw_search_n": None}) == parse({})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"count": 4.0}, {"count": 4}),
        ({"ratio": 1}, {"ratio": 1.0}),
        ({"flag": True}, {"flag": True}),
        ({"flag": 1}, {"flag": True}),
        ({"flag": 0.0}, {"flag": False}),
        ({"maybe": 3.0}, {"maybe": 3}),
        ({"several": [1, 2]}, {"several": (1, 2)}),
        ({"word": "off"}, {"word": "off"}),
    ],
)
def test_what_the_transport_blurs_is_restored(given: dict[str, object], kept: dict[str, object]) -> None:
    dumped = wide(**given).model_dump()
    for name, value in kept.items():
        assert dumped[name] == value
        assert type(dumped[name]) is type(value)


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("count", 4.5, "integer"),
        ("count", True, "integer"),
        ("count", "4", "integer"),
        ("count", [1], "integer"),
        ("count", math.nan, "integer"),
        ("ratio", "0.5", "number"),
        ("ratio", True, "number"),
        ("ratio", math.inf, "finite"),
        ("flag", 2, "boolean"),
        ("flag", "true", "boolean"),
        ("word", 3, "string"),
        ("several", 3, "array"),
        ("bounded", 10, "less than or equal to 9"),
        ("bounded", 0, "greater than or equal to 1"),
    ],
)
def test_wrong_values_name_the_option_and_the_expected_type(option: str, value: object, reason: str) -> None:
    with pytest.raises(LatticeworkError, match=reason) as caught:
        wide(**{option: value})
    assert caught.value.field == f"lw_drafter_{option}"
    assert "got " in caught.value.reason


@pytest.mark.parametrize(
    ("extra", "field", "reason"),
    [
        ({"lw_draftr": "auto"}, "lw_draftr", "did you mean 'lw_drafter'"),
        ({"lw_xyzzy": 1}, "lw_xyzzy", "unknown option"),
        ({"lw_drafter_max_mach": 3}, "lw_drafter_max_mach", "did you mean 'lw_drafter_max_match'"),
        ({"lw_drafter_max_mach": 3}, "lw_drafter_max_mach", "lw_drafter_min_match, lw_drafter_max_match"),
        ({"lw_drafter": "grammar", "lw_drafter_max_match": 3}, "lw_drafter_max_match", "'grammar' has no such option"),
        ({"lw_drafter": "off", "lw_drafter_max_match": 3}, "lw_drafter_max_match", "none is on; set lw_drafter"),
        ({"lw_search_n": 3}, "lw_search_n", "none is on; set lw_search (one of best_of_n)"),
        ({"lw_engine_speed": 3}, "lw_engine_speed", "unknown option"),
        ({"lw_drafter": "promt_lookup"}, "lw_drafter", "did you mean 'prompt_lookup'"),
        ({"lw_drafter": "nope"}, "lw_drafter", "known: off, auto, dense_retrieval, fusion, grammar"),
        ({"lw_engine": "off"}, "lw_engine", "known: auto, lattice, llguidance, xgrammar"),
        ({"lw_engine": 3}, "lw_engine", "must be a name"),
        ({"lw_processor": ["fsd"]}, "lw_processor", "must be a name"),
        ({"lw_drafter_min_match": 9}, "lw_drafter", "min_match (9) must not exceed max_match (8)"),
        ({"lw_search": "best_of_n", "lw_search_n": 17}, "lw_search_n", "less than or equal to 16"),
        ({"lw_search": "best_of_n", "lw_search_n": {"a": 1}}, "lw_search_n", "integer"),
        ({"lw_search": "best_of_n", "lw_search_n": object()}, "lw_search_n", "scalar"),
    ],
)
def test_bad_requests_name_the_field_and_the_reason(extra: dict[str, object], field: str, reason: str) -> None:
    with pytest.raises(LatticeworkError) as caught:
        parse(extra)
    assert caught.value.field == field
    assert reason in caught.value.reason


def test_huge_values_are_not_echoed() -> None:
    with pytest.raises(LatticeworkError) as caught:
        parse({"lw_drafter": "x" * 100_000})
    assert len(str(caught.value)) < 500
    with pytest.raises(LatticeworkError) as caught:
        parse({"lw_search": "best_of_n", "lw_search_n": "9" * 100_000})
    assert len(str(caught.value)) < 500


def test_deployment_bounds_the_size_of_searches() -> None:
    settings = Settings(search=SearchSettings(max_n=3))
    parse({"lw_search": "best_of_n", "lw_search_n": 3}, settings)
    with pytest.raises(LatticeworkError, match="at most 3 on this server, got 4"):
        parse({"lw_search": "best_of_n"}, settings)


def test_requests_override_the_deployment_which_overrides_the_plugin() -> None:
    settings = Settings(
        drafter=DrafterSettings(default="prompt_lookup", options={"prompt_lookup": {"max_match": 20, "min_match": 3}}),
        processor=RoleSettings(default="fsd"),
    )
    chosen = parse({"lw_drafter_max_match": 30}, settings)
    assert chosen.drafter is not None
    assert chosen.drafter.options.model_dump() == {"min_match": 3, "max_match": 30, "window": 32768}
    assert chosen.processor is not None
    assert parse({"lw_processor": "off"}, settings).processor is None
    assert parse({"lw_drafter": "auto"}, settings).drafter == parse({}).drafter, "another plugin's options do not leak"


def test_a_wrong_default_is_blamed_on_the_setting() -> None:
    bad_name = Settings(drafter=DrafterSettings(default="nope"))
    bad_option = Settings(drafter=DrafterSettings(options={"auto": {"max_match": "x"}}))
    unknown_option = Settings(drafter=DrafterSettings(options={"auto": {"maximum": 1}}))
    bad_engine = Settings(grammar=GrammarSettings(engine="nope"))
    for settings, field in (
        (bad_name, "drafter.default"),
        (bad_option, "drafter.options.auto.max_match"),
        (unknown_option, "drafter.options.auto.maximum"),
        (bad_engine, "grammar.engine"),
    ):
        with pytest.raises(LatticeworkError) as caught:
            parse({}, settings)
        assert caught.value.field == field


def test_broken_plugins_are_reported_and_refused_but_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    plugins = Registry({Role.DRAFTER: {"broken": broken, "wide": lambda: WidePlugin}})
    assert plugins.names(Role.DRAFTER) == ("broken", "wide"), "looking does not import"
    for _ in range(2):
        with pytest.raises(LatticeworkError, match="cannot be loaded: ImportError: no module") as caught:
            RequestOptions.parse({"lw_drafter": "broken"}, ALL_OFF, plugins)
        assert caught.value.field == "lw_drafter"
    assert plugins.names(Role.DRAFTER) == ("wide",)
    assert [(b.role, b.name) for b in plugins.broken] == [(Role.DRAFTER, "broken")]
    assert len(caplog.records) == 1
    assert RequestOptions.parse({"lw_drafter": "wide"}, ALL_OFF, plugins).drafter is not None


def test_what_is_no_plugin_is_broken() -> None:
    plugins = Registry(
        {Role.DRAFTER: {"no_options": lambda: object(), "no_create": lambda: type("X", (), {"options": PluginOptions})}}
    )
    assert {b.name for b in plugins.load_all()} == {"no_options", "no_create"}


def test_everything_installed_loads() -> None:
    assert Registry().load_all() == ()
    assert set(INSTALLED.names(Role.DRAFTER)) >= {"auto", "prompt_lookup", "grammar"}
    assert INSTALLED.engine("lattice").name == "lattice"
    with pytest.raises(LatticeworkError, match="unknown drafter 'nope'"):
        INSTALLED.factory(Role.DRAFTER, "nope")


def test_our_own_defaults_are_valid() -> None:
    need_settings = {"retrieval", "dense_retrieval", "model"}
    for role in (Role.DRAFTER, Role.PROCESSOR, Role.SEARCH):
        for name in set(INSTALLED.names(role)) - need_settings:
            factory = INSTALLED.factory(role, name)
            assert factory.name == name
            assert factory.summary
            factory.create(Selection(name, factory.options()).options)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    load_settings.cache_clear()
    yield monkeypatch
    load_settings.cache_clear()


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_settings_come_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"latticework{suffix}"
    values = {
        "grammar": {"engine": "llguidance", "limits": {"max_states": 99}},
        "drafter": {"options": {"auto": {"max_match": 3}}},
    }
    toml = (
        '[grammar]\nengine = "llguidance"\n[grammar.limits]\nmax_states = 99\n[drafter.options.auto]\nmax_match = 3\n'
    )
    path.write_text(toml if suffix == ".toml" else json.dumps(values))
    environment.setenv("LATTICEWORK_CONFIG", str(path))
    settings = load_settings()
    assert settings.grammar.engine == "llguidance"
    assert settings.grammar.limits.max_states == 99
    assert settings.grammar.limits.max_nesting == 64, "what the file leaves out keeps its default"
    assert settings.drafter.options == {"auto": {"max_match": 3}}
    assert load_settings() is settings


def test_variables_win_over_the_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('[drafter]\ndefault = "grammar"\n[search]\nmax_n = 5\n')
    environment.setenv("LATTICEWORK_CONFIG", str(path))
    environment.setenv("LATTICEWORK_DRAFTER__DEFAULT", "off")
    environment.setenv("LATTICEWORK_GRAMMAR__LIMITS__COMPILE_SECONDS", "2.5")
    settings = load_settings()
    assert settings.drafter.default == "off"
    assert settings.search.max_n == 5
    assert settings.grammar.limits.compile_seconds == 2.5


@pytest.mark.parametrize(
    ("variables", "file", "field", "reason"),
    [
        ({"LATTICEWORK_DRAFTR__DEFAULT": "x"}, None, "LATTICEWORK_DRAFTR__DEFAULT", "no section 'draftr'"),
        ({"LATTICEWORK_DRAFTER__DEFALT": "x"}, None, "drafter.defalt", "not permitted"),
        ({"LATTICEWORK_SEARCH__MAX_N": "0"}, None, "search.max_n", "greater than or equal to 1"),
        ({"LATTICEWORK_DRAFTER__OPTIONS": "{"}, None, "LATTICEWORK_CONFIG", "drafter"),
        ({}, "[drafter]\ndefault = 3\n", "drafter.default", "string"),
        ({}, "[drafterr]\n", "drafterr", "not permitted"),
        ({}, "[grammar.limits]\nmax_stats = 3\n", "grammar.limits.max_stats", "nexpected"),
        ({}, "[", "LATTICEWORK_CONFIG", "neither TOML nor"),
        ({"LATTICEWORK_CONFIG": "/nowhere.toml"}, None, "LATTICEWORK_CONFIG", "cannot read '/nowhere.toml'"),
    ],
)
def test_wrong_settings_name_the_setting(
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    file: str | None,
    field: str,
    reason: str,
) -> None:
    if file is not None:
        (tmp_path / "x.toml").write_text(file)
        environment.setenv("LATTICEWORK_CONFIG", str(tmp_path / "x.toml"))
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(LatticeworkError) as caught:
        load_settings()
    assert caught.value.field == field
    assert reason in caught.value.reason


def test_how_json_is_written_is_an_option_of_the_request_and_the_deployment() -> None:
    assert RequestOptions.parse(None, Settings(), INSTALLED).json == JsonOptions()
    deployed = Settings(grammar=GrammarSettings(json_layout=JsonLayout(whitespace=Whitespace.COMPACT)))
    assert RequestOptions.parse({}, deployed, INSTALLED).json == JsonOptions(whitespace=Whitespace.COMPACT)
    asked = {"lw_json_order": "any", "lw_json_formats": "annotate", "lw_json_on_unsupported": "warn"}
    wanted = JsonOptions(Order.ANY, Whitespace.COMPACT, False, OnUnsupported.WARN)
    assert RequestOptions.parse(asked, deployed, INSTALLED).json == wanted


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"lw_json_order": "alphabetical"}, "must be 'any' or 'declared'"),
        ({"lw_json_whitespace": 3}, "must be 'compact', 'line' or 'flexible'"),
        ({"lw_json_ordr": "any"}, "did you mean 'lw_json_order'?"),
        ({"lw_json": "any"}, "unknown option"),
    ],
)
def test_wrong_ways_of_writing_json_are_named(extra: dict[str, object], reason: str) -> None:
    with pytest.raises(LatticeworkError) as caught:
        RequestOptions.parse(extra, Settings(), INSTALLED)
    assert caught.value.field == next(iter(extra))
    assert reason in caught.value.reason


def test_only_what_decides_a_compilation_is_part_of_its_key() -> None:
    extra = {"lw_engine": "lattice", "lw_json_order": "any", "lw_drafter": "off", "lw_json_formats": None, "mine": 1}
    assert compile_options(extra) == {"lw_engine": "lattice", "lw_json_order": "any"}
    assert compile_options(None) == {}
