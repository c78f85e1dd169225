"""Best of N: the laws, exact selection by enumeration, and the grammar-aware score."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import pytest

from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.engines.lattice import LatticeEngine
from latticework.structured.search.best_of_n import BestOfN
from latticework.structured.search.driver import run
from latticework.structured.search.laws import SearchPolicyLaws
from latticework.structured.search.protocol import (
    Candidate,
    Expand,
    SearchPolicy,
    SearchRequest,
    SearchResult,
    SearchTask,
)
from latticework.structured.search.score import free_mean_logprob, free_positions

EOS = 0
VOCABULARY = Vocabulary([None, b"a", b"b", b"c", b"ab"], [EOS])
A, B, C, AB = range(1, 5)


def compiled(pattern: str) -> CompiledGrammar:
    return LatticeEngine().compile(GrammarSpec.regex(pattern), VOCABULARY, GrammarLimits())


def candidate(tokens: list[int], logprobs: list[float], *, complete: bool = True, handle: int = 0) -> Candidate:
    return Candidate(tuple(tokens), tuple(logprobs), complete, handle)


class TestBestOfN(SearchPolicyLaws):
    @pytest.fixture(params=[1, 4])
    def policy(self, request: pytest.FixtureRequest) -> SearchPolicy:
        return BestOfN(request.param)


def choose(candidates: list[Candidate], grammar: CompiledGrammar | None = None) -> Candidate:
    def perform(request: SearchRequest) -> SearchResult:
        assert isinstance(request, Expand)
        assert (request.prefixes, request.n) == (((),), len(candidates))
        return (tuple(candidates),)

    return run(BestOfN(len(candidates)), SearchTask(grammar), perform).best


def all_texts() -> list[tuple[Candidate, float]]:
    """Every text of a toy model of two letters and an end, up to three tokens, with its probability."""
    table = {EOS: 0.2, A: 0.5, B: 0.3}
    texts = []
    for length in range(4):
        for letters in itertools.product((A, B), repeat=length):
            complete = length < 3
            tokens = [*letters, EOS] if complete else list(letters)
            logprobs = [math.log(table[token]) for token in tokens]
            texts.append((candidate(tokens, logprobs, complete=complete), math.exp(sum(logprobs))))
    return texts


@pytest.mark.parametrize("n", [1, 2, 3])
def test_law_of_the_answer_by_enumeration(n: int) -> None:
    """P(answer has rank at most r) must be F(r)^n, where F is the model's own law over the ranks."""
    texts = all_texts()
    assert sum(p for _, p in texts) == pytest.approx(1.0, abs=1e-12)
    rank = {c: (c.complete, round(free_mean_logprob(c, None), 12)) for c, _ in texts}
    law: dict[tuple[bool, float], float] = defaultdict(float)
    for drawn in itertools.product(texts, repeat=n):
        law[rank[choose([c for c, _ in drawn])]] += math.prod(p for _, p in drawn)
    for level in sorted(set(rank.values())):
        below = sum(p for c, p in texts if rank[c] <= level)
        assert sum(p for r, p in law.items() if r <= level) == pytest.approx(below**n, abs=1e-12)


def test_complete_answers_come_before_likelier_cut_ones() -> None:
    cut = candidate([A], [-0.1], complete=False, handle=0)
    whole = candidate([B], [-5.0], handle=1)
    assert choose([cut, whole]) is whole
    assert choose([cut, candidate([A], [-0.2], complete=False, handle=1)]) is cut


def test_ties_go_to_the_lower_index() -> None:
    first, second = (candidate([A], [-1.0], handle=h) for h in (0, 1))
    assert choose([first, second]) is first


def test_forced_tokens_do_not_count() -> None:
    """In ``[ab]ccc`` only the letter is a choice; how little the model likes ``ccc`` says nothing."""
    grammar = compiled("[ab]ccc")
    likely = candidate([A, C, C, C, EOS], [-0.1, -9, -9, -9, -9], handle=0)
    unlikely = candidate([B, C, C, C, EOS], [-3.0, -1, -1, -1, -1], handle=1)
    assert free_positions(likely.token_ids, grammar) == [True, False, False, False, False]
    assert free_mean_logprob(likely, grammar) == pytest.approx(-0.1)
    assert choose([unlikely, likely], grammar) is likely
    assert choose([unlikely, likely]) is unlikely, "without a grammar every token counts"


def test_other_spellings_are_a_choice() -> None:
    assert free_positions([AB, C], compiled("abc")) == [True, False]
    assert free_positions([A, B, C], compiled("abc")) == [True, False, False]


def test_everything_forced_scores_zero() -> None:
    assert free_mean_logprob(candidate([C, C, EOS], [-1, -2, -3]), compiled("cc")) == 0.0


def test_what_follows_a_refused_token_counts() -> None:
    assert free_positions([C, A, B], compiled("cc")) == [False, True, True]


def test_a_token_of_no_probability_is_the_worst_score() -> None:
    assert free_mean_logprob(candidate([A, B], [-1.0, -math.inf]), None) == -math.inf
    assert free_mean_logprob(candidate([A, B], [-1.0, math.nan]), None) == -math.inf


def test_drivers_that_break_the_contract_are_told() -> None:
    with pytest.raises(ValueError, match="2 tokens with 1 log-prob"):
        free_mean_logprob(candidate([A, B], [-1.0]), None)
    with pytest.raises(ValueError, match="no candidate"):
        run(BestOfN(2), SearchTask(), lambda request: ((),))
    with pytest.raises(ValueError, match="one tuple of candidates"):
        run(BestOfN(2), SearchTask(), lambda request: "text")


def test_sampling_options_reach_the_driver() -> None:
    request = next(BestOfN(3, temperature=0.4, seed=7).steps(SearchTask()))
    assert isinstance(request, Expand)
    assert (request.n, request.params.temperature, request.params.seed) == (3, 0.4, 7)
