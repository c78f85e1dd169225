"""Settings of experiments, and what a request is served with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from latticework.plugins.ab.assigning import arm_of
from latticework.plugins.ab.facts import RequestFacts
from latticework.plugins.ab.routing import Router, merged, role_of
from latticework.plugins.ab.settings import AbSettings, Experiment
from latticework.plugins.options import RequestOptions
from latticework.plugins.registry import registry
from latticework.plugins.settings import Settings
from latticework.structured.errors import LatticeworkError

FUSION = {"lw_drafter": "fusion"}
DRAFTING: dict[str, Any] = {
    "identity": ["user"],
    "arms": {"control": {"weight": 1}, "fusion": {"weight": 1, "options": FUSION}},
}
SEARCHING: dict[str, Any] = {"arms": {"control": {}, "four": {"options": {"lw_search": "best_of_n", "lw_search_n": 4}}}}


def router(switch: Mapping[str, Any] | None = None, **ab: Any) -> Router:
    ab = {"key": "k", "experiments": {"drafting": DRAFTING}, **ab}
    return Router(Settings.model_validate({"ab": ab, "switch": switch or {}}), registry())


def facts(user: str | None = "anna", **fields: Any) -> RequestFacts:
    return RequestFacts("r1", user=user, **fields)


def user_of(arm: str, tested: Router, name: str = "drafting") -> str:
    settings = tested.settings.ab
    users = (f"u{number}" for number in range(1000))
    return next(u for u in users if arm_of(settings, name, settings.experiments[name], f"user={u}") == arm)


def test_the_arm_of_a_request_gives_it_its_options() -> None:
    tested = router()
    route = tested.route(facts(user_of("fusion", tested)))
    assert route.extra == FUSION
    assert route.own == {}
    assert (route.label, route.header) == ("drafting/fusion", "drafting=fusion")
    (given,) = route.assignments
    assert (given.arm, given.share, given.source, given.counts) == ("fusion", 0.5, "user", True)
    route = tested.route(facts(user_of("control", tested)))
    assert (route.extra, route.label) == ({}, "drafting/control")


def test_a_replica_with_the_same_settings_decides_alike() -> None:
    one, two = router(), router()
    assert all(one.route(facts(f"u{n}")) == two.route(facts(f"u{n}")) for n in range(200))


def test_what_a_request_names_itself_is_its_own_by_whole_roles() -> None:
    assert merged({"lw_drafter": "suffix"}, {"lw_drafter": "fusion"}, {"lw_drafter": "suffix"}) == {
        "lw_drafter": "suffix"
    }
    arm = {"lw_drafter": "prompt_lookup", "lw_drafter_max_match": 9, "lw_engine": "lattice"}
    own = {"lw_drafter_scope": "request", "other": 1}
    assert merged(own, arm, own) == {**own, "lw_engine": "lattice"}
    tested = router()
    route = tested.route(facts(user_of("fusion", tested), extra={"lw_drafter": "off"}))
    assert (route.extra, route.label) == ({"lw_drafter": "off"}, "drafting/fusion")


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("lw_drafter", "drafter"),
        ("lw_drafter_scope", "drafter"),
        ("lw_grammar_depth", "grammar"),
        ("lw_json_order", "lw_json_order"),
        ("lw_drafters", "lw_drafters"),
        ("drafter", "drafter"),
    ],
)
def test_roles_of_options(key: str, role: str) -> None:
    assert role_of(key) == role


@pytest.mark.parametrize(
    ("eligible", "fits"),
    [
        ({}, True),
        ({"endpoints": ["/v1/chat/completions"]}, True),
        ({"endpoints": ["/v1/completions"]}, False),
        ({"models": ["m", "n"]}, True),
        ({"models": ["n"]}, False),
        ({"grammar": True}, True),
        ({"grammar": False}, False),
        ({"headers": {"X-Tier": "gold"}}, True),
        ({"headers": {"x-tier": "Gold"}}, False),
        ({"headers": {"x-other": "1"}}, False),
        ({"options": {"lw_search": "best_of_n"}}, True),
        ({"options": {"lw_search": "off"}}, False),
        ({"options": {"lw_engine": "lattice"}}, False),
        ({"models": ["m"], "grammar": False}, False),
    ],
)
def test_eligibility(eligible: Mapping[str, Any], fits: bool) -> None:
    tested = router(experiments={"drafting": {**DRAFTING, "eligible": eligible}})
    request = facts(
        endpoint="/v1/chat/completions",
        model="m",
        headers={"x-tier": "gold"},
        constrained=True,
        extra={"lw_search": "best_of_n"},
    )
    assert bool(tested.route(request).assignments) is fits


def test_the_first_identity_that_a_request_has_is_assigned() -> None:
    tested = router(experiments={"drafting": {**DRAFTING, "identity": ["user", "header:X-Org", "session", "request"]}})

    def source(**fields: Any) -> str:
        return tested.route(RequestFacts("r1", **fields)).assignments[0].source

    assert source(user="u", session="s", headers={"x-org": "o"}) == "user"
    assert source(user="", session="s", headers={"x-org": "o"}) == "header:X-Org"
    assert source(session="s") == "session"
    assert source() == "request"
    assert router().route(facts(user=None)).assignments == ()


def test_equal_values_of_different_sources_are_different_identities() -> None:
    tested = router(experiments={"drafting": {**DRAFTING, "identity": ["user", "session"]}})
    units = {
        tested.route(RequestFacts("r", user="7")).assignments[0].unit,
        tested.route(RequestFacts("r", session="7")).assignments[0].unit,
    }
    assert len(units) == 2


def test_who_is_held_out_takes_part_in_nothing() -> None:
    tested = router(holdout=0.5, identity=["user"], experiments={"drafting": DRAFTING, "searching": SEARCHING})
    labels = [tested.route(facts(f"u{number}")).label for number in range(2000)]
    held = labels.count("holdout")
    assert 900 < held < 1100  # five standard deviations are 112
    assert "" not in labels


def test_experiments_run_beside_each_other() -> None:
    tested = router(experiments={"drafting": DRAFTING, "searching": SEARCHING})
    labels = {tested.route(facts(f"u{number}")).label for number in range(200)}
    assert labels == {f"drafting/{a}+searching/{b}" for a in ("control", "fusion") for b in ("control", "four")}


def test_kill_switches_take_all_arms_away() -> None:
    for tested in (router(enabled=False), router(experiments={"drafting": {**DRAFTING, "enabled": False}})):
        assert tested.idle
        assert tested.route(facts()).assignments == ()


def test_a_tripped_arm_is_served_by_control_and_not_counted() -> None:
    tested = router()
    route = tested.route(facts(user_of("fusion", tested)), tripped={("drafting", "fusion")})
    assert (route.extra, route.header) == ({}, "drafting=control")
    assert not route.assignments[0].counts


def test_a_request_may_choose_its_arm_only_if_the_settings_let_it() -> None:
    asking = facts(extra={"lw_arm": "drafting/fusion", "lw_search": "off"})
    with pytest.raises(LatticeworkError, match="does not let") as caught:
        router().route(asking)
    assert caught.value.field == "lw_arm"
    route = router(forced_arm=True).route(asking)
    assert route.extra == {**FUSION, "lw_search": "off"}
    assert not route.assignments[0].counts


@pytest.mark.parametrize("asked", ["drafting", "drafting/none", "other/fusion", "", 3, ["drafting/fusion"], "x" * 2000])
def test_arms_that_do_not_exist_are_refused_by_name(asked: object) -> None:
    with pytest.raises(LatticeworkError) as caught:
        router(forced_arm=True).route(facts(extra={"lw_arm": asked}))
    assert caught.value.field == "lw_arm"
    assert len(caught.value.reason) < 500


def test_arms_are_unknown_where_nothing_assigns_them() -> None:
    with pytest.raises(LatticeworkError, match="experiments"):
        RequestOptions.parse({"lw_arm": "drafting/fusion"}, Settings(), registry())


def test_what_the_operator_switches_off_is_off_for_all() -> None:
    tested = router(switch={"off": ["drafter", "search"]})
    own = {"lw_search": "best_of_n", "lw_search_n": 3, "lw_engine": "lattice", "other": 1}
    route = tested.route(facts(user_of("fusion", tested), extra=own))
    assert route.extra == {"lw_engine": "lattice", "other": 1, "lw_drafter": "off", "lw_search": "off"}
    assert not router(switch={"off": ["drafter"]}, experiments={}).idle
    for role in ("engine", "grammar", "nothing"):
        with pytest.raises(ValidationError, match="off"):
            router(switch={"off": [role]})


class TestSettling:
    """An arm must not hurt a client."""

    def check(self, extra: Mapping[str, Any]) -> None:
        if extra.get("lw_drafter") == "fusion":
            raise LatticeworkError("lw_drafter", "not here")
        if "bad" in extra:
            raise LatticeworkError("bad", "always")

    def test_options_that_fit_are_kept(self) -> None:
        tested = router()
        route = tested.route(facts(user_of("control", tested)))
        assert route.settled(self.check) is route

    def test_options_that_do_not_fit_are_left_out(self) -> None:
        tested = router()
        route = tested.route(facts(user_of("fusion", tested), extra={"lw_engine": "auto"})).settled(self.check)
        assert (route.extra, route.fits, route.label) == ({"lw_engine": "auto"}, False, "drafting/fusion")

    @pytest.mark.parametrize("arm", ["control", "fusion"])
    def test_a_bad_request_is_refused_in_every_arm(self, arm: str) -> None:
        tested = router()
        with pytest.raises(LatticeworkError, match="always"):
            tested.route(facts(user_of(arm, tested), extra={"bad": 1})).settled(self.check)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"lw_drafter": "quick"}, "lw_drafter"),
        ({"lw_drafter": "fusion", "lw_drafter_no": 1}, "lw_drafter_no"),
        ({"temperature": 0}, "temperature"),
        ({"lw_arm": "drafting/fusion"}, "lw_arm"),
    ],
)
def test_wrong_options_of_an_arm_are_named(options: Mapping[str, Any], field: str) -> None:
    experiment = {"arms": {"control": {}, "a": {"options": options}}}
    with pytest.raises(LatticeworkError) as caught:
        router(experiments={"x": experiment})
    assert caught.value.field == f"ab.experiments.x.arms.a.options.{field}"


def test_two_experiments_may_not_want_the_same_role() -> None:
    other = {"arms": {"control": {}, "suffix": {"options": {"lw_drafter_scope": "request"}}}}
    with pytest.raises(LatticeworkError, match="same role"):
        router(experiments={"drafting": DRAFTING, "other": other})
    router(experiments={"drafting": DRAFTING, "other": {**other, "enabled": False}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"arms": {"control": {}}},
        {"arms": {"a": {}, "b": {}}},
        {"arms": {"control": {"weight": -1}, "a": {}}},
        {"arms": {"control": {"weight": 0}, "a": {"weight": 0}}},
        {"arms": {"control": {"weight": float("inf")}, "a": {}}},
        {"arms": {"control": {}, "A/b": {}}},
        {"arms": {"control": {}, **{f"a{n}": {} for n in range(10)}}},
        {**SEARCHING, "share": 1.1},
        {**SEARCHING, "identity": []},
        {**SEARCHING, "identity": ["name"]},
        {**SEARCHING, "identity": ["header:"]},
        {**SEARCHING, "weights": {}},
        {**SEARCHING, "guardrails": {"error_rate": 2}},
        {**SEARCHING, "eligible": {"endpoint": "/v1"}},
    ],
)
def test_wrong_experiments_are_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Experiment.model_validate(wrong)


def test_labels_are_bounded() -> None:
    four = {"arms": {"control": {}, "a": {}, "b": {}}}
    AbSettings.model_validate({"experiments": {f"e{n}": four for n in range(4)}})
    with pytest.raises(ValidationError, match="combinations"):
        AbSettings.model_validate({"experiments": {f"e{n}": four for n in range(5)}})
    with pytest.raises(ValidationError, match="64 bytes"):
        AbSettings(key="ü" * 40)
