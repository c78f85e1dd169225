"""FSD: the laws, and agreement with the rule written out from scratch."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latticework.plugins.base import Processor
from latticework.plugins.laws import ProcessorLaws
from latticework.plugins.processors.fsd import FSDOptions, FSDPlugin, likeliest
from latticework.plugins.processors.ngram_counts import NgramCounts

SIZE = 6
texts = st.lists(st.integers(0, 3), max_size=25)
orders = st.integers(1, 5)
betas = st.sampled_from([0.0, 0.3, 0.9, 1.0])


def processor(**options: object) -> Processor:
    return FSDPlugin().create(FSDOptions.model_validate(options))


class TestFSD(ProcessorLaws):
    @pytest.fixture(params=[{}, {"n": 1, "k": 2}, {"alpha": 1.0, "include_prompt": True}, {"alpha": 0.0, "n": 8}])
    def processor(self, request: pytest.FixtureRequest) -> Processor:
        return processor(**request.param)


def reference_q(text: list[int], token: int, n: int, beta: float) -> float:
    """The rule of the spec, counting occurrences by scanning the text."""
    q, rest = 0.0, 1.0
    for order in range(n - 1, 0, -1):
        if len(text) < order:
            continue
        suffix = text[-order:]
        followers = [text[i + order] for i in range(len(text) - order) if text[i : i + order] == suffix]
        if token in followers:
            q += rest * beta * followers.count(token) / (len(followers) + 1)
            rest *= 1 - beta
    return q + (rest * text.count(token) / len(text) if text else 0.0)


@given(text=texts, n=orders, beta=betas)
def test_q_equals_the_rule_counted_from_scratch(text: list[int], n: int, beta: float) -> None:
    counts = NgramCounts(n)
    counts.advance(text)
    for token in range(5):
        q = counts.probability(token, beta)
        assert q == pytest.approx(reference_q(text, token, n, beta), abs=1e-12)
        assert 0.0 <= q <= 1.0
    if n == 1 and text:
        assert sum(counts.probability(token, beta) for token in range(5)) == pytest.approx(1.0)


@given(text=texts, n=orders, moves=st.lists(st.one_of(st.integers(1, 5), texts), max_size=8))
def test_counts_are_exact_after_any_rollbacks(text: list[int], n: int, moves: list[int | list[int]]) -> None:
    counts, now = NgramCounts(n), list(text)
    counts.advance(text)
    for move in moves:
        if isinstance(move, list):
            counts.advance(move)
            now += move
        else:
            back = min(move, len(now))
            counts.rollback(back)
            del now[len(now) - back :]
    fresh = NgramCounts(n)
    fresh.advance(now)
    assert vars(counts) == vars(fresh), "the state is the one of a text that never had the tokens"


def test_rolling_back_more_than_there_is_changes_nothing() -> None:
    counts = NgramCounts(2)
    counts.advance([1, 2])
    with pytest.raises(ValueError, match="cannot roll back 3"):
        counts.rollback(3)
    assert len(counts) == 2


grids = st.lists(st.sampled_from([-math.inf, -2.0, -1.0, 0.0, 0.5, 3.0]), min_size=SIZE, max_size=SIZE)


@given(
    row=grids.filter(lambda row: max(row) > -math.inf),
    text=texts,
    alpha=st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    k=st.integers(1, SIZE + 2),
    n=orders,
)
def test_winner_is_the_one_of_the_rule(row: list[float], text: list[int], alpha: float, k: int, n: int) -> None:
    session = processor(alpha=alpha, k=k, n=n).begin([5, 5, 5])
    session.advance(text)
    logits = torch.tensor(row)
    session.apply(logits)
    p = np.exp(row) / np.exp(row).sum()
    ranked = sorted((v for v in range(SIZE) if row[v] > -math.inf), key=lambda v: (-row[v], v))[:k]
    score = {v: (1 - alpha) * p[v] - alpha * reference_q(text, v, n, 0.9) for v in ranked}
    chosen = int(logits.argmax())
    assert chosen in ranked
    assert score[chosen] >= max(score.values()) - 1e-6
    assert {v for v in range(SIZE) if logits[v] > -math.inf} == set(ranked)


def test_alpha_zero_is_greedy_and_ties_go_to_the_lower_id() -> None:
    session = processor(alpha=0.0).begin([])
    session.advance([4, 4, 4, 4])
    logits = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    session.apply(logits)
    assert int(logits.argmax()) == 1
    assert likeliest(torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0]), 2)[1] == [1, 2]
    assert likeliest(torch.zeros(SIZE), 3)[1] == [0, 1, 2]


def test_a_loop_is_broken_at_the_computed_step() -> None:
    """A model that always wants token 1 (p = 0.7) writes 2 (p = 0.3) as soon as the score says so."""
    alpha, beta = 0.6, 0.9
    p = [0.7, 0.3]
    expected: list[int] = []
    for _ in range(6):
        scores = [(1 - alpha) * p[v - 1] - alpha * reference_q(expected, v, 3, beta) for v in (1, 2)]
        expected.append(1 if scores[0] >= scores[1] else 2)
    assert 2 in expected
    session, written = processor(alpha=alpha, k=2).begin([1, 1, 1]), list[int]()
    for _ in range(6):
        logits = torch.tensor([-math.inf, math.log(0.7), math.log(0.3)])
        session.apply(logits)
        written.append(int(logits.argmax()))
        session.advance(written[-1:])
    assert written == expected


def test_prompt_counts_only_when_asked() -> None:
    row = torch.tensor([0.0, 0.5])
    for include_prompt, winner in ((False, 1), (True, 0)):
        session, logits = processor(include_prompt=include_prompt).begin([1] * 9), row.clone()
        session.apply(logits)
        assert int(logits.argmax()) == winner


@pytest.mark.parametrize("row", [[-math.inf] * 4, [math.nan] * 4, [math.inf, 0.0, 0.0, 0.0]])
def test_rows_that_are_no_distribution_are_left_alone(row: list[float]) -> None:
    session = processor().begin([])
    logits = torch.tensor(row)
    session.apply(logits)
    assert torch.equal(torch.nan_to_num(logits), torch.nan_to_num(torch.tensor(row)))


def test_ranks_are_strict_in_half_precision() -> None:
    """Scores that only float32 can tell apart still have one winner in a bfloat16 row."""
    for values in itertools.permutations([0.0, 1.0, 2.0]):
        logits = torch.tensor(values, dtype=torch.bfloat16)
        processor().begin([]).apply(logits)
        assert sorted(logits.tolist()) == [-2.0, -1.0, 0.0]
