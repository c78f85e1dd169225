"""Who learns from whom: by default nobody whose sender is not known, and never across tenants."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from latticework.adapters.vllm import tenants
from latticework.plugins.base import OFF
from latticework.plugins.options import RequestOptions
from latticework.plugins.scoping import SCOPE_OPTION, Scope, scope_of, tenant_of_salt
from latticework.plugins.session import SessionTable
from latticework.plugins.settings import DrafterSettings, Settings
from latticework.speculative.drafter import DraftBudget
from latticework.structured.errors import LatticeworkError

ALICE, BOB = tenant_of_salt("alice's secret"), tenant_of_salt("bob's secret")
SECRET = list(range(100, 130))


def test_a_scope_is_shared_by_those_alone_that_it_is_for() -> None:
    """Two requests are of one scope exactly if all that their scope asks for is equal and known."""
    requests = list(itertools.product(Scope, (None, ALICE, BOB), ("", "us"), ("", "{}", "[]")))
    for first, second in itertools.product(requests, repeat=2):
        (kind, tenant, configured, constraint), (kind2, tenant2, configured2, constraint2) = first, second
        same = kind is kind2 and kind is not Scope.REQUEST
        if kind in (Scope.TENANT, Scope.SCHEMA):
            who, who2 = tenant or configured, tenant2 or configured2
            same &= bool(who) and who == who2
        if kind is Scope.SCHEMA:
            same &= constraint == constraint2
        a, b = scope_of(*first), scope_of(*second)
        assert (a is not None and a == b) == same, (first, second)


def test_a_salt_cannot_be_read_off_and_cannot_pass_for_a_name() -> None:
    salt = "alice's secret"
    assert tenant_of_salt(salt) == tenant_of_salt(salt) != tenant_of_salt("other")
    assert tenant_of_salt(None) is tenant_of_salt("") is None
    assert salt not in str(tenant_of_salt(salt))
    assert scope_of(Scope.TENANT, tenant_of_salt("us"), "", "") != scope_of(Scope.TENANT, None, "us", "")
    forged = str(tenant_of_salt("us"))
    assert scope_of(Scope.TENANT, None, forged, "") != scope_of(Scope.TENANT, tenant_of_salt("us"), "", "")


def drafted(asked: Scope | None, teacher: str | None, learner: str | None, configured: str = "") -> set[int]:
    """What a request of ``learner`` is drafted after one of ``teacher`` has written :data:`SECRET`."""
    settings = Settings(drafter=DrafterSettings(tenant=configured))
    extra = {"lw_drafter": "fusion"} | ({} if asked is None else {SCOPE_OPTION: asked.value})
    options = RequestOptions.parse(extra, settings)
    table = SessionTable(200, settings)
    table.begin("a", options, np.array([1, 2, 3], np.int32), tenant=teacher, constraint="x")
    table.sync("a", np.array([1, 2, 3, *SECRET], np.int32))
    table.end("a")
    table.begin("b", options, np.array([1, 2, 3, *SECRET[:3]], np.int32), tenant=learner, constraint="x")
    return set(table.draft("b", DraftBudget(8, 8)).token.tolist())


@pytest.mark.parametrize(
    ("asked", "teacher", "learner", "configured", "learnt"),
    [
        (None, None, None, "", False),
        (None, ALICE, BOB, "", False),
        (None, ALICE, None, "", False),
        (None, ALICE, ALICE, "", True),
        (None, None, None, "us", True),
        (None, ALICE, None, "us", False),
        (Scope.REQUEST, ALICE, ALICE, "us", False),
        (Scope.SCHEMA, ALICE, ALICE, "", True),
        (Scope.SCHEMA, ALICE, BOB, "", False),
        (Scope.GLOBAL, ALICE, BOB, "", True),
    ],
)
def test_sessions_keep_tenants_apart(
    asked: Scope | None, teacher: str | None, learner: str | None, configured: str, learnt: bool
) -> None:
    assert bool(drafted(asked, teacher, learner, configured) & set(SECRET)) == learnt


def test_the_option() -> None:
    assert RequestOptions.parse({}).scope is Scope.TENANT
    settings = Settings(drafter=DrafterSettings(scope=Scope.REQUEST))
    assert RequestOptions.parse({}, settings).scope is Scope.REQUEST
    assert RequestOptions.parse({SCOPE_OPTION: "schema"}, settings).scope is Scope.SCHEMA
    for wrong in ("everyone", 3, True, ["tenant"]):
        with pytest.raises(LatticeworkError, match="must be one of request, tenant, schema, global") as caught:
            RequestOptions.parse({SCOPE_OPTION: wrong})
        assert caught.value.field == SCOPE_OPTION
    with pytest.raises(LatticeworkError, match="none is on"):
        RequestOptions.parse({"lw_drafter": OFF, SCOPE_OPTION: "tenant"})
    with pytest.raises(LatticeworkError, match=f"did you mean '{SCOPE_OPTION}'"):
        RequestOptions.parse({"lw_drafter": "suffix", "lw_drafter_scop": "tenant"})


class Params:
    """What of vLLM's ``SamplingParams`` is looked at."""

    def __init__(self, extra_args: dict[str, str] | None) -> None:
        self.extra_args = extra_args

    def clone(self) -> Params:
        return Params(self.extra_args)


@pytest.mark.parametrize("claimed", [None, {}, {"lw_drafter": "suffix"}, {"latticework_tenant": str(ALICE)}])
def test_the_way_through_vllm_carries_the_salt_and_no_claim(claimed: dict[str, str] | None) -> None:
    others = {key: value for key, value in (claimed or {}).items() if key.startswith("lw_")}
    for prompt, sender in (
        ({"prompt_token_ids": [1], "cache_salt": "bob's secret"}, BOB),
        (SimpleNamespace(cache_salt="bob's secret"), BOB),
        ({"prompt_token_ids": [1]}, None),
        ("text", None),
    ):
        given = Params(claimed)
        params = tenants.with_tenant(given, prompt)
        assert tenants.tenant_of(params) == sender
        assert {key: value for key, value in (params.extra_args or {}).items() if key.startswith("lw_")} == others
        assert given.extra_args == claimed, "the caller's own are left as they are"


def test_drafters_are_shown_no_placeholder() -> None:
    """One of an image (an id that the deployment names), or one that some engines make up outside the vocabulary."""
    settings = Settings(drafter=DrafterSettings(placeholders=(7,)))
    table = SessionTable(200, settings)
    options = RequestOptions.parse({"lw_drafter": "prompt_lookup"}, settings)
    prompt = np.array([1, 2, 3, *[7] * 9, *[900_000] * 9, 1, 2], np.int32)
    table.begin("r", options, prompt)
    table.sync("r", prompt)
    assert table.draft("r", DraftBudget(4, 4)).token.tolist() == [3, 1, 2, 3]
