"""Budgets in a worker: what requests ask for, what steps are timed, and what of a batch's drafts is verified."""

from __future__ import annotations

import numpy as np
import pytest

from latticework.plugins.budgeting import budget_of
from latticework.plugins.draft_budgets import DraftBudgets
from latticework.plugins.options import RequestOptions
from latticework.plugins.session import SessionTable
from latticework.plugins.settings import Settings
from latticework.speculative.draft import Draft
from latticework.structured.errors import LatticeworkError

REPEATING = [7, 8, 9, 10, 11, 12] * 4


class Worker:
    """An engine of one step after another, whose rows take a fixed time."""

    def __init__(self, base: float, row: float, *, padded: bool = False) -> None:
        self.now, self._base, self._row = 0.0, base, row
        self.budgets = DraftBudgets(padded=padded, margin=0.03, clock=lambda: self.now)

    def step(self, drafts: dict[str, Draft], kept: int, batch: int, pause: float = 0.0) -> dict[str, Draft]:
        """One step; of every draft ``kept`` nodes are accepted."""
        self.budgets.begin_step()
        asked = {name: draft for name, draft in drafts.items() if self.budgets.allowance(name, len(draft))}
        chosen = self.budgets.choose(asked, batch, 0.0)
        nodes = sum(map(len, chosen.values()))
        self.budgets.verifying(batch, nodes)
        self.now += self._base + self._row * (batch + nodes)
        for name, draft in chosen.items():
            self.budgets.settled(name, tuple(range(min(kept, len(draft)))))
        if pause:
            self.budgets.interrupted()
            self.now += pause
        return chosen


def options(**given: object) -> RequestOptions:
    return RequestOptions.parse({"lw_drafter": "prompt_lookup", **given}, Settings())


def table_with(*names: str, **given: object) -> SessionTable:
    table = SessionTable(100, Settings())
    for name in names:
        table.begin(name, options(**given), np.array(REPEATING, np.int32))
    return table


def test_budgets_are_validated_by_name() -> None:
    assert options().budget is None
    assert options(lw_drafter_budget="auto").budget is None
    assert options(lw_drafter_budget=4).budget == options(lw_drafter_budget=4.0).budget == 4
    assert RequestOptions.parse({}, Settings(drafter={"budget": 6})).budget == 6
    assert RequestOptions.parse({"lw_drafter_budget": "auto"}, Settings(drafter={"budget": 6})).budget is None
    for wrong in (0, -1, 1025, True, 2.5, "4", "most", [4], {}):
        with pytest.raises(LatticeworkError, match="must be 'auto' or a whole number from 1 to 1024") as caught:
            options(lw_drafter_budget=wrong)
        assert caught.value.field == "lw_drafter_budget"
    with pytest.raises(LatticeworkError, match="none is on"):
        RequestOptions.parse({"lw_drafter": "off", "lw_drafter_budget": 4}, Settings())
    for setting in ({"budget": 0}, {"budget": "some"}, {"budget_margin": -1}):
        with pytest.raises(ValueError, match="budget"):
            Settings(drafter=setting)


def test_a_budget_is_what_was_said() -> None:
    assert budget_of("auto") is None
    assert budget_of(1024) == 1024


def test_what_costs_too_much_is_not_verified() -> None:
    """The same drafts, whose first node is kept every other time: with free rows, and with dear ones."""
    draft = Draft.chain([1, 2, 3, 4])
    verified = {}
    for name, row in (("free", 0.0), ("dear", 4.0)):
        worker = Worker(1.0, row)
        worker.budgets.begin("a", "x", None)
        verified[name] = [len(worker.step({"a": draft}, i % 2, 1).get("a", ())) for i in range(120)][60:]
    assert np.mean(verified["free"]) > 0.9
    assert np.mean(verified["dear"]) < 0.1


def test_steps_with_prompts_are_not_timed() -> None:
    """Prompts are read after every step with drafts: were their time counted, drafts would seem dear."""
    worker, draft = Worker(1.0, 0.01), Draft.chain([1, 2, 3, 4])
    worker.budgets.begin("a", "x", None)
    sizes: list[int] = []
    for _ in range(120):
        drafted = bool(sizes and sizes[-1])
        sizes.append(len(worker.step({"a": draft}, 2, 1, pause=50.0 * (drafted and len(sizes) % 3 > 0)).get("a", ())))
    assert np.mean(sizes[30:]) >= 2


def test_a_batch_is_drafted_for_and_settled() -> None:
    table = table_with("a", "b")
    drafts = table.draft_all({"a": 4, "b": 1, "unknown": 4}, 3)
    assert drafts["a"].token.tolist()[:2] == [7, 8]
    assert drafts["b"].token.tolist() == [7]
    table.sync("a", np.array([*REPEATING, 7, 1], np.int32))  # the first was accepted
    table.sync("b", np.array([*REPEATING, 1], np.int32))
    assert table.draft_all({"a": 0}, 2) == {}
    for name in "ab":
        table.end(name)


def test_fixed_budgets_are_kept_to() -> None:
    table = table_with("a", lw_drafter_budget=3)
    for _ in range(40):
        table.budgets.verifying(1, 3)
        assert len(table.draft_all({"a": 8}, 1)["a"]) == 3
    assert len(table.draft_all({"a": 2}, 1)["a"]) == 2
    table.end("a")


def test_where_only_chains_are_verified_the_likeliest_path_is_left() -> None:
    table = SessionTable(100, Settings())
    table.begin("a", options(lw_drafter="fusion", lw_drafter_budget=8), np.array([1, 2, 1, 3] * 8, np.int32))
    branching = table.draft_all({"a": 8}, 1)["a"]
    assert not branching.is_chain
    assert table.draft_all({"a": 8}, 1, branching=())["a"].is_chain
    table.end("a")
