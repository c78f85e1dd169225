"""Drafts by arm: labels that a client cannot multiply, and a line a request in the log."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from latticework.plugins import draft_counts
from latticework.plugins.ab.drafts import arms_of_label, by_arm
from latticework.plugins.draft_counts import OTHER, DraftCounts, arm_label
from latticework.speculative.draft import Draft


def test_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_counts, "_arms", {""})
    labels = {arm_label({"latticework_arm": f"x/{number}"}) for number in range(2000)}
    assert len(labels) == draft_counts.MAX_ARMS
    assert OTHER in labels
    assert arm_label({"latticework_arm": "x/0"}) == "x/0"


@pytest.mark.parametrize("extra", [None, {}, {"lw_drafter": "auto"}])
def test_requests_without_an_arm_have_an_empty_label(extra: dict[str, object] | None) -> None:
    assert arm_label(extra) == ""


def test_labels_name_one_arm_of_each_experiment() -> None:
    assert arms_of_label("drafting/fusion+search/off") == [("drafting", "fusion"), ("search", "off")]
    assert arms_of_label("") == arms_of_label("holdout") == arms_of_label(OTHER) == []


def test_counts_reach_the_metrics_of_every_arm_and_the_log() -> None:
    counts = DraftCounts("counted", "one/a+two/b")
    counts.drafted(Draft.chain([1, 2, 3]), 0.5)
    counts.drafted(Draft.chain([]), 0.25)
    counts.accepted(2)
    found = by_arm(REGISTRY.collect())
    assert found["one", "a"] == found["two", "b"] == (3, 2)
    assert counts.record("r") == {
        "kind": "drafts",
        "id": "r",
        "drafter": "counted",
        "steps": 2,
        "drafted": 3,
        "accepted": 2,
        "forced": 0,
        "seconds": 0.75,
    }
