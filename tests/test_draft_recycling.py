"""Token Recycling: the published template, rows as shown, growth by estimate, and seeding by the prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_decoding import ToyTarget, decode

from latticework.plugins.drafters import TokenRecyclingPlugin
from latticework.speculative.draft import ROOT
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows, read_prompt
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.token_recycling import Growth, TokenRecyclingDrafter, template

MAKERS = {
    f"{growth} {tokens}": (
        lambda growth=growth, tokens=tokens: TokenRecyclingPlugin().create(
            TokenRecyclingPlugin.options(tokens=tokens, growth=growth)
        )
    )
    for growth in Growth
    for tokens in (4, 1 << 12)
}
GROWTHS = pytest.mark.parametrize("growth", Growth)


@pytest.mark.parametrize("name", MAKERS)
class TestLaws(DrafterLaws):
    @pytest.fixture
    def make_drafter(self, name: str) -> MakeDrafter:
        return MAKERS[name]


def view(tokens: Sequence[int], name: str = "r", scope: str = "") -> RequestView:
    return RequestView(name, np.array(tokens, np.int32), len(tokens), scope=scope)


def begun(drafter: TokenRecyclingDrafter, tokens: Sequence[int], name: str = "r", scope: str = "") -> RequestView:
    request = view(tokens, name, scope)
    drafter.begin(request)
    return request


def rows(tokens: list[int], ids: list[list[int]], parents: list[int] | None = None) -> VerifiedRows:
    """Rows whose ``k`` tokens share 0.9 of the probability, the first ones more of it."""
    share = 0.5 ** np.arange(len(ids[0]))
    return VerifiedRows(
        np.array(tokens, np.int32),
        np.array(ids, np.int32),
        np.log(np.tile(0.9 * share / share.sum(), (len(ids), 1))).astype(np.float32),
        None if parents is None else np.array(parents, np.int32),
    )


def after(drafter: TokenRecyclingDrafter, request: RequestView, token: int) -> list[int]:
    """What the drafter knows to follow a token."""
    request.tokens = np.array([token], np.int32)
    return drafter.draft(request, DraftBudget(8, 1)).token.tolist()


def test_the_template_is_the_published_one() -> None:
    paths = template()
    assert len(paths) == len(set(paths)) == 80
    assert [sum(len(path) == depth for path in paths) for depth in range(1, 7)] == [8, 21, 25, 15, 8, 3]
    assert all(path[:-1] in {(), *paths} for path in paths)


class Cycle(ToyTarget):
    """Nearly always the next number, of ``size`` numbers in a circle."""

    def row(self, text: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        row = np.full(self.size, 1e-6)
        row[(text[-1] + 1) % self.size] = 1.0
        return row / row.sum()


@GROWTHS
@pytest.mark.parametrize("branching", [False, True])
def test_a_cycle_once_seen_is_drafted_whole(growth: Growth, branching: bool) -> None:
    """After one pass over a cycle every step writes all it may: the longest path of the template, or the chain."""
    target, drafter = Cycle(6, 0), TokenRecyclingDrafter(growth=growth)
    decode(target, drafter, [0], 60, DraftBudget(80, 5, branching), harvest=True)
    answer = decode(target, drafter, [0], 61, DraftBudget(80, 5, branching))
    assert answer.output == [(at + 1) % 6 for at in range(61)]
    assert answer.steps == 1 + 60 / 6


def test_the_template_is_filled_by_rank() -> None:
    drafter = TokenRecyclingDrafter(growth=Growth.TEMPLATE)
    request = begun(drafter, [0])
    ids = [[8 * token + rank + 1 for rank in range(8)] for token in range(80)]
    drafter.observe(request, [1], rows(list(range(80)), ids, [-1] * 80))
    request.tokens = np.array([0], np.int32)
    tree = drafter.draft(request, DraftBudget(80, 80))
    paths: list[tuple[int, ...]] = []
    for token, parent in zip(tree.token.tolist(), tree.parent.tolist(), strict=True):
        above = int(tree.token[parent]) if parent != ROOT else 0
        paths.append((*(paths[parent] if parent != ROOT else ()), token - 8 * above - 1))
    assert set(paths) <= set(template())
    assert {path for path in template() if len(path) <= 2} <= set(paths), "the rows of these tokens are known"


@given(
    st.lists(st.tuples(st.integers(0, 9), st.permutations(range(8))), min_size=1, max_size=12),
    st.lists(st.integers(0, 3), max_size=3),
)
def test_rows_are_those_that_the_target_showed_last(shown: list[tuple[int, list[int]]], path: list[int]) -> None:
    """Of equal tokens the accepted occurrence counts, then the earlier one."""
    tokens, ids = [token for token, _ in shown], [row for _, row in shown]
    parents = [-1, *(max(0, at - 2) for at in range(1, len(shown)))]
    taken, committed = [0], []
    for step in path:
        below = [at for at in range(1, len(shown)) if parents[at] == taken[-1]]
        if not below:
            break
        committed.append(tokens[below[step % len(below)]])
        taken.append(next(at for at in below if tokens[at] == committed[-1]))
    drafter = TokenRecyclingDrafter()
    request = begun(drafter, [tokens[0]])
    drafter.observe(request, [*committed, 9], rows(tokens, ids, parents))
    for token in range(10):
        places = sorted((at for at in range(len(shown)) if tokens[at] == token), key=lambda at: (at not in taken, at))
        if places and places[0] in taken:
            places = [max(at for at in taken if tokens[at] == token)]
        expected = ids[places[0]] if places else None
        assert after(drafter, request, token) == (expected if expected is not None else after(drafter, request, token))


def test_without_parents_the_earlier_row_stays() -> None:
    drafter = TokenRecyclingDrafter()
    request = begun(drafter, [5])
    drafter.observe(request, [1], rows([5, 6, 8, 6], [[6, 8], [1, 1], [6, 9], [2, 2]]))
    assert after(drafter, request, 6)[0] == 1


def test_the_prompt_seeds_rows_until_the_target_has_shown_some() -> None:
    drafter = TokenRecyclingDrafter()
    request = begun(drafter, [1, 2, 1, 3, 1, 3, 4])
    assert after(drafter, request, 1) == [3, 2]
    assert after(drafter, request, 4) == []
    drafter.observe(request, [9], rows([1], [[7, 6]], [-1]))
    assert after(drafter, request, 1) == [7, 6]
    assert sorted(after(drafter, request, 3)) == [1, 4], "once each"


def test_the_prompts_rows_are_kept_the_later_ones_of_equal_tokens() -> None:
    drafter = TokenRecyclingDrafter()
    request = begun(drafter, [1, 2, 1, 3])
    read_prompt(drafter, request, rows([1, 2], [[2, 5], [1, 6]], [-1, 0]))
    assert after(drafter, request, 1) == [2, 5]
    read_prompt(drafter, request, rows([1, 3], [[3, 7], [4, 8]], [-1, 0]), 2)
    assert [after(drafter, request, token) for token in (1, 2, 3)] == [[3, 7], [1, 6], [4, 8]]


def test_rows_are_bounded_and_kept_apart() -> None:
    drafter = TokenRecyclingDrafter(tokens=4)
    request = begun(drafter, [0], scope="a")
    for token in range(9):
        drafter.observe(request, [1], rows([token], [[9, 8]], [-1]))
    known = [bool(after(drafter, request, token)) for token in range(9)]
    assert known == [False] * 5 + [True] * 4, "those shown longest ago give way"
    assert not after(drafter, begun(drafter, [0], "other", "b"), 8)


def deep(target: ToyTarget, drafter: TokenRecyclingDrafter, prompt: Sequence[int]) -> None:
    """Teach a drafter much of a target."""
    for seed in range(3):
        decode(target, drafter, prompt, 60, DraftBudget(20, 5), noise=seed)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), nodes=st.integers(1, 24))
def test_growth_is_best_first(seed: int, nodes: int) -> None:
    """Scores fall along the tree, and what was left out is worth no more than anything in it."""
    target, drafter = ToyTarget(7, seed), TokenRecyclingDrafter()
    deep(target, drafter, [seed % 7, 1])
    request = begun(drafter, [0, 1], scope="s")
    tree = drafter.draft(request, DraftBudget(nodes, 4))
    assert tree.score is not None
    assert (np.diff(tree.score) <= 1e-6).all()
    drafted = set(zip(tree.parent.tolist(), tree.token.tolist(), strict=True))
    for node in range(-1, len(tree)):
        if node >= 0 and tree.depth[node] == 4:
            continue
        request.tokens = np.array([tree.token[node] if node >= 0 else 1], np.int32)
        below = drafter.draft(request, DraftBudget(8, 1))
        assert below.score is not None
        worth = 1.0 if node < 0 else float(tree.score[node])
        for token, score in zip(below.token.tolist(), below.score.tolist(), strict=True):
            if worth * score >= 1e-3:
                left_out = (node, token) not in drafted
                assert not left_out or (len(tree) == nodes and worth * score <= tree.score.min() + 1e-6)


@GROWTHS
def test_a_larger_budget_drafts_more_of_the_same(growth: Growth) -> None:
    """T6: budgets are nested, so what is accepted never falls as they grow."""
    target, drafter = ToyTarget(7, 3), TokenRecyclingDrafter(growth=growth)
    deep(target, drafter, [1, 2])
    request = begun(drafter, [1, 2], scope="s")
    whole = drafter.draft(request, DraftBudget(60, 6))
    for nodes in range(1, 60):
        part = drafter.draft(request, DraftBudget(nodes, 6))
        assert part.token.tolist() == whole.token[: len(part)].tolist()
        assert part.parent.tolist() == whole.parent[: len(part)].tolist()
        assert len(part) == min(nodes, len(whole))


@GROWTHS
@pytest.mark.parametrize("harvest", [False, True])
def test_a_repeated_answer_takes_no_more_steps(growth: Growth, harvest: bool) -> None:
    """Always where the last token decides, on the whole where two do: a row may have been shown in another context."""
    for order in (1, 2):
        steps = np.zeros(2)
        for seed in range(8):
            target, drafter = ToyTarget(12, seed, order), TokenRecyclingDrafter(growth=growth)
            answers = [decode(target, drafter, [1, 2, 3, 4], 50, harvest=harvest) for _ in range(2)]
            assert answers[0].output == answers[1].output == decode(target, None, [1, 2, 3, 4], 50).output
            steps += [answer.steps for answer in answers]
            assert order > 1 or answers[1].steps <= answers[0].steps
        assert steps[1] <= steps[0]


def test_estimates_learn_how_rows_fare() -> None:
    """On a first-order target every row stays true, on a third-order one few do: scores say so."""
    scores = {}
    for order in (1, 3):
        target, drafter = ToyTarget(6, 1, order, sharpness=0.3), TokenRecyclingDrafter()
        deep(target, drafter, [1, 2, 3])
        expected, accepted = 0.0, 0
        for noise in range(20, 24):
            answer = decode(target, drafter, [1, 2, 3], 60, DraftBudget(4, 1), noise=noise)
            text = answer.output
            at = 0
            for draft in answer.drafts:
                if len(draft):
                    assert draft.score is not None
                    expected += float(draft.score.sum())
                    accepted += text[at] in draft.token.tolist()
                at += 1 + (len(draft) > 0 and text[at] in draft.token.tolist())
        scores[order] = accepted
        assert accepted / expected == pytest.approx(1.0, abs=0.15)
    assert scores[1] != scores[3]


def test_a_chain_ends_where_it_is_unlikely_to_hold() -> None:
    drafter = TokenRecyclingDrafter()
    request = begun(drafter, [1])
    ids = [[token % 5 + 1, *range(10, 17)] for token in range(1, 6)]
    flat = np.log(np.full((5, 8), 0.12, np.float32))
    drafter.observe(request, [2], VerifiedRows(np.arange(1, 6, dtype=np.int32), np.array(ids, np.int32), flat))
    chain = drafter.draft(request, DraftBudget(8, 8, branching=False))
    assert len(chain) < 3
    with pytest.raises(ValueError, match="at least one"):
        TokenRecyclingDrafter(0)
