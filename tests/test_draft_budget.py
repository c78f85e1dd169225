"""The budget policy: more where drafts are kept, nothing where verifying does not pay, and never much worse."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latticework.speculative.acceptance import Acceptance
from latticework.speculative.budget_policy import BudgetPolicy
from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.step_cost import StepCost

MARGIN = 0.04  #: What may be lost against drafting nothing, of tokens a second: probes and plain steps.
LONGEST = 8

Cost = Callable[[int, int], float]


def line(row: float, request: float = 0.0, drafting: float = 0.0) -> Cost:
    """Time of a step of ``batch`` requests and ``nodes`` drafted tokens, whose first row takes one."""
    return lambda batch, nodes: 1.0 + row * (batch + nodes) + request * batch + drafting * (nodes > 0)


def chain(rate: float, scored: bool) -> Draft:
    draft = Draft.chain(range(LONGEST))
    return replace(draft, score=np.power(rate, draft.depth).astype(np.float32)) if scored else draft


def simulate(
    policy: BudgetPolicy,
    rates: Sequence[float],
    cost: Cost,
    steps: int = 400,
    *,
    padded: bool = False,
    scored: bool = False,
    noise: float = 0.0,
) -> tuple[float, list[float]]:
    """Requests whose chains are kept token by token with fixed chances.

    Returns tokens a unit of time against drafting nothing, over the second half, and each request's mean budget.
    """
    chance = random.Random(3)
    names = [f"r{i}" for i in range(len(rates))]
    for name in names:
        policy.begin(name)
    tokens = spent = 0.0
    budgets = np.zeros(len(rates))
    batch = len(rates)
    for step in range(steps):
        drafts = {name: chain(rate, scored) for name, rate in zip(names, rates, strict=True) if policy.wants(name)}
        chosen = policy.choose(drafts, batch)
        sizes = [len(chosen.get(name, EMPTY_DRAFT)) for name in names]
        gained = 0
        for name, rate, nodes in zip(names, rates, sizes, strict=True):
            kept = next((i for i in range(nodes) if chance.random() >= rate), nodes)
            policy.observe(name, tuple(range(kept)))
            gained += kept
        nodes = batch * max(sizes) if padded else sum(sizes)
        time = cost(batch, nodes)
        policy.costs.observe(batch, nodes, time * (1.0 + noise * chance.expovariate(1.0)))
        if step >= steps // 2:
            tokens += batch + gained
            spent += time
            budgets += sizes
    plain = batch / cost(batch, 0)
    return tokens / spent / plain, (budgets / (steps - steps // 2)).tolist()


@pytest.mark.parametrize("scored", [False, True])
def test_what_is_kept_is_drafted_longer(scored: bool) -> None:
    gain, (likely, unlikely) = simulate(BudgetPolicy(), [0.95, 0.1], line(0.05), scored=scored)
    assert gain > 1.5
    assert likely > 6 > 2 > unlikely


def test_drafting_stops_when_verifying_does_not_pay() -> None:
    """Load: where every row costs as much as a token is worth, drafts shrink to probes."""
    _, idle = simulate(BudgetPolicy(), [0.6], line(0.02))
    _, loaded = simulate(BudgetPolicy(), [0.6] * 8, line(1.0))
    assert idle[0] > 2
    assert max(loaded) < 0.2


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize(("rate", "row"), list(itertools.product([0.0, 0.4, 0.9], [0.0, 0.1, 2.0])))
def test_never_much_worse_than_no_speculation(rate: float, row: float, padded: bool, scored: bool) -> None:
    for requests in (1, 8):
        policy = BudgetPolicy(padded=padded)
        gain, _ = simulate(policy, [rate] * requests, line(row), padded=padded, scored=scored)
        assert gain > 1 - MARGIN


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_what_drafting_at_all_costs_is_found_out(noise: float) -> None:
    """A step that verifies anything takes twice as long here: only good drafts are worth it."""
    cost = line(0.02, drafting=1.0)
    poor, budgets = simulate(BudgetPolicy(), [0.4], cost, noise=noise)
    assert poor > 1 - MARGIN
    assert budgets[0] < 0.6
    good, _ = simulate(BudgetPolicy(), [0.95], cost, noise=noise)
    assert good > 2


def test_a_machine_that_is_slower_at_times_drafts_on() -> None:
    """Other programs take two thirds of it for a while, now and then; what drafts gain does not depend on that."""
    chance = random.Random(11)
    policy = BudgetPolicy()
    policy.begin("a")
    sizes, busy = [], 1.0
    for step in range(400):
        busy = chance.choice((1.0, 3.0)) if step % 20 == 0 else busy
        predictable = step % 100 > 40  # else nothing is kept, and times are those of steps without drafts
        draft = chain(0.9, False) if predictable else chain(0.0, False)
        chosen = policy.choose({"a": draft} if policy.wants("a") else {}, 1).get("a", EMPTY_DRAFT)
        policy.observe("a", tuple(range(len(chosen))) if predictable else ())
        policy.costs.observe(1, len(chosen), (1.0 + 0.15 * len(chosen)) * busy * chance.uniform(0.9, 1.3))
        sizes.append(len(chosen) if predictable else 0)
    assert np.mean(sizes[240:300] + sizes[340:400]) > 3.5


def test_a_slow_start_and_a_busy_machine_mislead_for_a_few_steps_only() -> None:
    """The first drafts load code, for the time of a hundred steps; and every fifth step is held up by others."""
    chance = random.Random(7)
    policy = BudgetPolicy()
    policy.begin("a")
    sizes = []
    for step in range(80):
        chosen = policy.choose({"a": chain(0.9, True)} if policy.wants("a") else {}, 1).get("a", EMPTY_DRAFT)
        policy.observe("a", tuple(range(len(chosen))))
        held_up = 100.0 if step < 2 else 5.0 if chance.random() < 0.2 else 1.0
        policy.costs.observe(1, len(chosen), (1.0 + 0.1 * len(chosen)) * held_up)
        sizes.append(len(chosen))
    assert np.mean(sizes[20:]) > 6


@pytest.mark.parametrize("padded", [False, True])
def test_near_the_best_fixed_length(padded: bool) -> None:
    """Within a tenth of what the best constant length gives, alone and in a mixed batch."""
    for rates in ([0.7], [0.9, 0.2, 0.2, 0.2]):
        for row in (0.05, 0.3):
            gain, _ = simulate(BudgetPolicy(padded=padded), rates, line(row), padded=padded)
            assert gain > 0.9 * best_constant(rates, line(row), padded)


def best_constant(rates: Sequence[float], cost: Cost, padded: bool) -> float:
    batch = len(rates)

    def speed(lengths: Sequence[int]) -> float:
        gain = sum(sum(rate**i for i in range(1, n + 1)) for rate, n in zip(rates, lengths, strict=True))
        nodes = batch * max(lengths) if padded else sum(lengths)
        return (batch + gain) / cost(batch, nodes) / (batch / cost(batch, 0))

    return max(speed(lengths) for lengths in itertools.product(range(LONGEST + 1), repeat=batch))


def test_unlikely_nodes_are_left_out_of_a_tree() -> None:
    policy = BudgetPolicy()
    policy.begin("a")
    tree = Draft(
        np.arange(4, dtype=np.int32),
        np.array([-1, -1, 0, 1], np.int32),
        np.array([1, 1, 2, 2], np.int32),
        score=np.array([0.9, 0.03, 0.8, 0.02], np.float32),
    )
    for _ in range(8):
        policy.costs.observe(1, 0, 1.0)
        policy.costs.observe(1, 4, 1.8)
    chosen = policy.choose({"a": tree}, 1)["a"]
    chosen.check()
    assert chosen.token.tolist() == [0, 2]


def test_scores_that_promise_too_much_are_seen_through() -> None:
    policy = BudgetPolicy()
    boast = replace(Draft.chain(range(4)), score=np.full(4, 0.95, np.float32))
    policy.begin("a")
    sizes = []
    for _ in range(60):
        chosen = policy.choose({"a": boast} if policy.wants("a") else {}, 1).get("a", EMPTY_DRAFT)
        sizes.append(len(chosen))
        policy.observe("a", ())
        policy.costs.observe(1, len(chosen), 1.0 + 0.3 * len(chosen))
    assert sizes[0] == 4
    assert sum(sizes[30:]) < 4


def test_fixed_drafts_are_verified_whatever_they_cost() -> None:
    for padded in (False, True):
        policy = BudgetPolicy(padded=padded)
        for name in "ab":
            policy.begin(name)
        for nodes in (0, 8, 0, 8, 0, 8, 0, 8):
            policy.costs.observe(2, nodes, 1.0 + nodes)
        chosen = policy.choose({"a": chain(0.5, False), "b": chain(0.5, False)}, 2, frozenset("a"))
        assert len(chosen["a"]) == LONGEST
        # Where rows are padded, the other request's cost nothing any more.
        assert (len(chosen["b"]) == LONGEST) == padded


def test_a_request_that_has_become_predictable_is_found_out() -> None:
    policy = BudgetPolicy()
    simulate(policy, [0.0], line(0.3), steps=200)
    policy.end("r0")
    policy.begin("late")
    sizes = []
    for _ in range(600):
        chosen = policy.choose({"late": chain(1.0, False)} if policy.wants("late") else {}, 1).get("late", EMPTY_DRAFT)
        policy.observe("late", tuple(range(len(chosen))))
        sizes.append(len(chosen))
    assert sizes[-2] > 4


def test_drafts_that_take_longer_than_they_gain_are_not_made() -> None:
    policy = BudgetPolicy()
    policy.begin("a")
    asked = 0
    for _ in range(600):
        drafts = {"a": chain(0.05, True)} if policy.wants("a") else {}
        asked += len(drafts)
        policy.drafted(len(drafts), 0.5 * len(drafts))  # half of a step's time
        nodes = len(policy.choose(drafts, 1).get("a", EMPTY_DRAFT))
        policy.observe("a", ())
        policy.costs.observe(1, nodes, 1.0 + nodes)
    assert asked < 90


def test_everything_is_forgotten_at_the_end() -> None:
    policy = BudgetPolicy()
    policy.begin("a")
    policy.choose({"a": chain(0.5, False)}, 1)
    policy.end("a")
    policy.end("a")
    policy.observe("a", (0,))
    assert policy.choose({}, 0) == {}
    with pytest.raises(KeyError):
        policy.wants("a")


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 500), st.floats(1e-6, 10)), max_size=40))
def test_cost_never_falls_with_nodes(steps: list[tuple[int, int, float]]) -> None:
    model = StepCost()
    for batch, nodes, seconds in steps:
        model.observe(batch, nodes, seconds)
    costs = [model.cost(3, nodes) for nodes in range(600)]
    assert (np.diff(costs) >= -1e-12 * costs[-1]).all()
    assert min(costs) > 0
    model.observe(0, 0, 1.0)
    model.observe(1, 0, float("nan"))
    assert costs == [model.cost(3, nodes) for nodes in range(600)], "nonsense is not counted"


def test_the_parts_of_the_cost_are_told_apart() -> None:
    chance = random.Random(5)
    model = StepCost()
    for _ in range(400):
        batch, nodes = chance.randint(1, 8), chance.choice((0, 0, 3, 8, 20))
        seconds = 5 + 0.5 * (batch + nodes) + 1.0 * batch + 3 * (nodes > 0)
        model.observe(batch, nodes, seconds * chance.uniform(0.9, 1.1))
    expected = [5 + 0.5 * 4 + 4, 5 + 0.5 * 5 + 4 + 3, 5 + 0.5 * 14 + 4 + 3]
    assert [model.cost(4, nodes) for nodes in (0, 1, 10)] == pytest.approx(expected, rel=0.05)


def test_acceptance_is_the_share_kept_of_nodes_alike() -> None:
    own, usual = Acceptance(decay=1.0), Acceptance()
    pair = Draft.chain([1, 2])
    assert own.judge(pair, usual)[1] == pytest.approx([0.6, 0.36]), "what was not tried is judged by depth"
    cells, _ = own.judge(pair, usual)
    for _ in range(500):
        own.observe(cells, (0,))
        own.observe(cells, (0, 1))
    assert own.judge(Draft.chain([1, 2, 3]), usual)[1] == pytest.approx([1.0, 0.5, 0.75**3], abs=0.01)


def test_chances_do_not_rise_along_a_path() -> None:
    scores = np.array([0.5, 0.25, 0.95, 0.15], np.float32)
    tree = Draft(
        np.arange(4, dtype=np.int32),
        np.array([-1, -1, 0, 1], np.int32),
        np.array([1, 1, 2, 2], np.int32),
        score=scores,
    )
    _, chances = Acceptance().judge(tree, Acceptance())
    assert chances == pytest.approx([0.5, 0.25, 0.5, 0.15])


def test_wrong_settings_are_refused() -> None:
    for wrong in ({"price": 0.0}, {"margin": -1.0}):
        with pytest.raises(ValueError, match="need"):
            BudgetPolicy(**wrong)  # type: ignore[arg-type]
