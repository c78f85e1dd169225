"""The driver of searches over a host that is played by the test."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from latticework.plugins import searching
from latticework.plugins.base import PluginOptions
from latticework.plugins.options import Selection
from latticework.plugins.searching import Search, can_be_searched, candidate_options, candidate_seed
from latticework.structured.errors import LatticeworkError
from latticework.structured.search.best_of_n import BestOfN
from latticework.structured.search.protocol import Candidate, Expand, ExpandParams, SearchTask


@dataclass
class Host:
    """Writes the given answers: ``(logprob, complete)``, ``None`` for a failed one, an exception to raise."""

    answers: list
    delay: float = 0.0
    written: int = 0
    prepared: int = 0
    cancelled: int = 0

    async def prepare(self, n):
        self.prepared += n

    async def write(self, request, index, handle):
        assert isinstance(request, Expand)
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        answer = self.answers[handle]
        if isinstance(answer, Exception):
            raise answer
        self.written += 1
        return handle, answer

    def read(self, answer, handle):
        assert answer[0] == handle
        return None if answer[1] is None else Candidate((7,), (answer[1][0],), answer[1][1], handle)

    def raise_failure(self, answer):
        raise ValueError("every candidate failed")


class Registry:
    def __init__(self, policy):
        self._policy = policy

    def factory(self, role, name):
        return self

    def create(self, options):
        if isinstance(self._policy, Exception):
            raise self._policy
        return self._policy


@pytest.fixture
def search(monkeypatch):
    def run(host, policy, timeout=None):
        monkeypatch.setattr(searching, "registry", lambda: Registry(policy))
        with ThreadPoolExecutor(1) as threads:
            driver = Search(Selection("best_of_n", PluginOptions()), host, "r1", threads)
            return asyncio.run(asyncio.wait_for(driver.answer(SearchTask()), timeout))

    return run


def test_the_best_candidate_is_the_answer(search):
    host = Host([(-3.0, True), (-1.0, True), (-0.1, False)])
    assert search(host, BestOfN(3))[0] == 1
    assert (host.prepared, host.written) == (3, 3)


def test_failed_candidates_are_left_out(search):
    assert search(Host([None, (-5.0, True), None]), BestOfN(3))[0] == 1


def test_if_all_failed_the_engine_says_why(search):
    with pytest.raises(ValueError, match="every candidate failed"):
        search(Host([None, None]), BestOfN(2))


def test_an_error_of_the_engine_cancels_the_rest_and_comes_out(search):
    host = Host([ConnectionError("gone"), (-1.0, True)])
    with pytest.raises(ConnectionError):
        search(host, BestOfN(2))


@pytest.mark.parametrize("policy", [RuntimeError("cannot be made"), object()], ids=["factory", "steps"])
def test_a_policy_that_fails_early_costs_only_the_search(search, policy):
    assert search(Host([(-1.0, True)]), policy)[0] == 0


def test_a_policy_that_fails_late_gives_the_first_complete_candidate(search):
    class Late:
        def steps(self, task):
            yield Expand(((),), 3)
            raise RuntimeError("late")

    assert search(Host([(-1.0, False), (-9.0, True), (-1.0, True)]), Late())[0] == 1


def test_what_no_engine_can_do_costs_only_the_search(search):
    class Continuing:
        def steps(self, task):
            yield Expand(((1, 2),), 1)

    assert search(Host([(-1.0, True)]), Continuing())[0] == 0


def test_leaving_cancels_all_candidates(search):
    host = Host([(-1.0, True)] * 3, delay=60.0)
    with pytest.raises(TimeoutError):
        search(host, BestOfN(3), timeout=0.2)
    assert host.cancelled == 3


def refuse():
    raise LatticeworkError("lw_search", "gives one answer")


def test_only_a_search_asked_for_by_name_is_refused():
    assert can_be_searched(lambda: None, {"lw_search": "best_of_n"})
    assert not can_be_searched(refuse, None)
    assert not can_be_searched(refuse, {"lw_drafter": "off"})
    with pytest.raises(LatticeworkError, match="one answer"):
        can_be_searched(refuse, {"lw_search": "best_of_n"})


def test_candidates_carry_everything_but_the_search():
    assert candidate_options({"lw_search": "best_of_n", "lw_search_n": 3, "lw_drafter": "off"}) == {"lw_drafter": "off"}
    assert candidate_options({"lw_search": "best_of_n"}) is None
    assert candidate_options(None) is None


@pytest.mark.parametrize(("own", "wanted", "seed"), [(None, None, None), (5, None, 7), (5, 0, 2), (None, 9, 11)])
def test_seeds_of_candidates_count_on(own, wanted, seed):
    request = Expand(((),), 4, params=ExpandParams(seed=wanted))
    assert candidate_seed(own, request, 2) == seed


def test_a_client_that_left_is_no_failure_of_the_search(search):
    left = searching.ClientLeftError("gone")
    before = cancelled()
    with pytest.raises(ValueError, match="gone"):
        search(Host([left, (-1.0, True)]), BestOfN(2))
    assert cancelled() == before + 1


def cancelled():
    return searching.metrics.SEARCHES.labels(search="best_of_n", outcome="cancelled")._value.get()
