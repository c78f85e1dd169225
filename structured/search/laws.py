"""The laws every search policy must satisfy, as a test class for whoever implements one.

Subclass and provide the fixture; pytest runs every law against the implementation::

    class TestMyPolicy(SearchPolicyLaws):
        @pytest.fixture
        def policy(self): return MyPolicy(...)

The driver here is a random toy model with a fixed seed, so a failure repeats.
"""

from __future__ import annotations

import itertools
import random
import zlib

import pytest

from latticework.structured.search.driver import Perform, run
from latticework.structured.search.protocol import (
    Candidate,
    Execute,
    Expand,
    Score,
    SearchOutcome,
    SearchPolicy,
    SearchRequest,
    SearchResult,
    SearchTask,
)

_SEEDS = range(10)
_MOST_REQUESTS = 10_000
_END = 0
_LONGEST = 8


class SearchPolicyLaws:
    """Laws of :class:`latticework.structured.search.protocol.SearchPolicy`. Fixture: ``policy``."""

    def test_it_ends_with_one_of_its_candidates(self, policy: SearchPolicy) -> None:
        for seed in _SEEDS:
            world = ToyWorld(seed)
            outcome = run(policy, SearchTask(), world.perform)
            assert outcome.best in world.candidates
            assert len(outcome.scores) == len(world.candidates)

    def test_same_results_give_the_same_requests(self, policy: SearchPolicy) -> None:
        """Sans-IO: nothing but the results decides what is asked for next."""
        for seed in _SEEDS:
            assert _trace(policy, seed) == _trace(policy, seed)

    def test_searches_do_not_share_state(self, policy: SearchPolicy) -> None:
        """Two searches of one policy, interleaved request by request, go as they would alone."""
        alone = [_trace(policy, seed) for seed in (1, 2)]
        worlds = [ToyWorld(seed) for seed in (1, 2)]
        searches = [policy.steps(SearchTask()) for _ in worlds]
        traces: list[list[SearchRequest]] = [[], []]
        pending: list[SearchRequest | None] = [next(search) for search in searches]
        while any(request is not None for request in pending):
            for i, request in enumerate(pending):
                if request is None:
                    continue
                traces[i].append(request)
                try:
                    pending[i] = searches[i].send(worlds[i].perform(request))
                except StopIteration:
                    pending[i] = None
        assert traces == [requests for requests, _ in alone]

    def test_requests_are_sensible(self, policy: SearchPolicy) -> None:
        """Nothing is asked for nothing, and only texts that were written, or the prompt, are continued."""
        for seed in _SEEDS:
            for request in _trace(policy, seed)[0]:
                if isinstance(request, Expand):
                    assert request.n >= 1
                if isinstance(request, Expand | Score):
                    assert request.prefixes

    def test_closing_early_is_quiet(self, policy: SearchPolicy) -> None:
        """A driver whose client has gone closes the search at any request."""
        for stop in range(3):
            world, steps = ToyWorld(0), policy.steps(SearchTask())
            request = next(steps)
            for _ in range(stop):
                try:
                    request = steps.send(world.perform(request))
                except StopIteration:
                    break
            steps.close()

    def test_a_failed_request_comes_out(self, policy: SearchPolicy) -> None:
        """What the driver cannot do ends the search with that error: it is the driver's to handle."""

        def fail(request: SearchRequest) -> SearchResult:
            raise ConnectionError("the engine is gone")

        with pytest.raises(ConnectionError):
            run(policy, SearchTask(), fail)


class ToyWorld:
    """Performs requests with a seeded random model over a handful of tokens, the same for the same request.

    Attributes:
        candidates: Everything written so far, in the order of the handles.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._handles = itertools.count()
        self._requests = itertools.count()
        self.candidates: list[Candidate] = []

    def perform(self, request: SearchRequest) -> SearchResult:
        """See :data:`latticework.structured.search.driver.Perform`."""
        assert next(self._requests) < _MOST_REQUESTS, "the policy does not come to an end"
        chance = random.Random(f"{self._seed} {request!r}")
        match request:
            case Expand():
                return tuple(
                    tuple(self._write(chance, request.params.max_tokens or _LONGEST) for _ in range(request.n))
                    for _ in request.prefixes
                )
            case Score():
                return tuple(chance.uniform(-1, 1) for _ in request.prefixes)
            case Execute():
                return str(zlib.crc32(request.text.encode()))

    def _write(self, chance: random.Random, longest: int) -> Candidate:
        tokens: list[int] = []
        while len(tokens) < longest and (not tokens or tokens[-1] != _END):
            tokens.append(chance.randrange(5))
        logprobs = tuple(-chance.expovariate(1.0) for _ in tokens)
        candidate = Candidate(tuple(tokens), logprobs, tokens[-1] == _END, next(self._handles))
        self.candidates.append(candidate)
        return candidate


def _trace(policy: SearchPolicy, seed: int) -> tuple[list[SearchRequest], SearchOutcome]:
    requests: list[SearchRequest] = []
    perform: Perform = ToyWorld(seed).perform

    def noted(request: SearchRequest) -> SearchResult:
        requests.append(request)
        return perform(request)

    return requests, run(policy, SearchTask(), noted)
