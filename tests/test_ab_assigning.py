"""Who gets which arm: uniform, sticky, independent, and the same everywhere."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from latticework.plugins.ab.assigning import arm_of, chosen, is_enrolled, is_held_out, point, unit_of
from latticework.plugins.ab.settings import AbSettings, Arm, Experiment

#: False-alarm rate of every test of a distribution here. Seeds are fixed, so a pass is a pass for ever.
ALPHA = 1e-4

#: ``(key, purpose, identity, point)``, computed by an implementation of RFC 7693 that shares nothing with Python's.
VECTORS = [
    ("", "arm drafting", "user=1", "0x1.b7a3c030bbb10p-3"),
    ("secret", "arm drafting", "user=1", "0x1.540ea0e172b5ep-2"),
    ("secret", "enrol drafting", "user=1", "0x1.8d8a5b7c31d66p-2"),
    ("secret", "holdout", "user=\u00fcn\u00efcode", "0x1.e06c7010ab440p-4"),
    ("k" * 64, "arm x", "", "0x1.443c79bc13a8cp-2"),
]


def experiment(**weights: float) -> Experiment:
    return Experiment(arms={name: Arm(weight=weight) for name, weight in weights.items()}, control=next(iter(weights)))


def settings(**fields: object) -> AbSettings:
    return AbSettings(key="a key", **fields)


def test_a_million_identities_follow_the_weights() -> None:
    tested = experiment(control=90, a=9, b=1)
    ab = settings()
    counts = Counter(arm_of(ab, "drafting", tested, f"user={number}") for number in range(1_000_000))
    expected = [900_000, 90_000, 10_000]
    assert chisquare([counts[arm] for arm in tested.arms], expected).pvalue > ALPHA


def test_points_are_uniform() -> None:
    points = np.array([point("k", "arm x", f"user={number}") for number in range(200_000)])
    assert points.min() >= 0.0
    assert points.max() < 1.0
    assert chisquare(np.histogram(points, bins=100, range=(0, 1))[0]).pvalue > ALPHA


@pytest.mark.parametrize("other", ["another name", "another salt", "another key", "enrolment"])
def test_assignments_are_independent(other: str) -> None:
    """Of another experiment, of the same one under another salt or key, and of whether one takes part."""
    one = experiment(control=1, a=2)
    salted, half = one.model_copy(update={"salt": "2"}), one.model_copy(update={"share": 0.5})
    ours, theirs = settings(), AbSettings(key="other")
    table = np.zeros((2, 2))
    for number in range(50_000):
        identity = f"user={number}"
        first = arm_of(ours, "one", one, identity) == "a"
        match other:
            case "another name":
                second = arm_of(ours, "two", one, identity) == "a"
            case "another salt":
                second = arm_of(ours, "one", salted, identity) == "a"
            case "another key":
                second = arm_of(theirs, "one", one, identity) == "a"
            case _:
                second = is_enrolled(ours, "one", half, identity)
        table[int(first), int(second)] += 1
    assert chi2_contingency(table).pvalue > ALPHA


def test_neighbouring_identities_are_not_alike() -> None:
    """A weak hash gives the identities user=1, user=2, ... neighbouring points."""
    points = np.array([point("k", "arm x", f"user={number}") for number in range(100_000)])
    correlation = np.corrcoef(points[:-1], points[1:])[0, 1]
    assert abs(correlation) < 3.9 / np.sqrt(len(points))  # two-sided 1e-4 under independence


@pytest.mark.parametrize(("key", "purpose", "identity", "expected"), VECTORS)
def test_known_answers(key: str, purpose: str, identity: str, expected: str) -> None:
    assert point(key, purpose, identity) == float.fromhex(expected)


def test_another_process_with_another_hash_seed_agrees() -> None:
    code = "from latticework.plugins.ab.assigning import point; print(repr(point('k', 'arm x', 'user=1')))"
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        assert float(done.stdout) == point("k", "arm x", "user=1")


def test_growing_the_share_or_a_later_arm_keeps_those_who_had_it() -> None:
    small, large, ab = experiment(control=99, a=1), experiment(control=80, a=20), settings()
    shares = [small.model_copy(update={"share": share}) for share in (0.01, 0.3)]
    for number in range(20_000):
        identity = f"user={number}"
        if arm_of(ab, "x", small, identity) == "a":
            assert arm_of(ab, "x", large, identity) == "a"
        enrolled = [is_enrolled(ab, "x", tested, identity) for tested in shares]
        assert enrolled[0] <= enrolled[1]


def test_holdout_has_its_share_and_nobody_without_one() -> None:
    ab = settings(holdout=0.05)
    held = sum(is_held_out(ab, f"user={number}") for number in range(100_000))
    assert abs(held - 5000) < 3.9 * np.sqrt(100_000 * 0.05 * 0.95)
    assert not any(is_held_out(settings(), f"user={number}") for number in range(1000))


@given(
    st.lists(st.floats(0.0, 1e6), min_size=2, max_size=10).filter(lambda weights: sum(weights) > 0),
    st.floats(0, 1, exclude_max=True),
)
def test_every_point_belongs_to_an_arm_with_weight(weights: list[float], at: float) -> None:
    named = {f"arm{number}": weight for number, weight in enumerate(weights)}
    tested = Experiment(arms={name: Arm(weight=weight) for name, weight in named.items()}, control="arm0")
    assert named[chosen(tested.shares, at)] > 0


def test_units_do_not_show_the_identity_and_depend_on_the_key() -> None:
    assert unit_of(settings(), "user=anna") == unit_of(settings(), "user=anna")
    assert unit_of(settings(), "user=anna") != unit_of(AbSettings(key="other"), "user=anna")
    assert "anna" not in unit_of(settings(), "user=anna")


@given(st.text(max_size=50))
def test_any_text_can_be_assigned(identity: str) -> None:
    assert 0 <= point("k", "arm x", identity) < 1
