"""The driver of a sans-IO search policy over any engine whose requests can be written from a coroutine.

The engine's adapter says how one candidate is written and read (:class:`SearchHost`); everything else is here: the
policy computes in a thread, candidates are written at the same time, those that failed are left out, and a policy that
fails costs the search, not the request. Cancelling :meth:`Search.answer` cancels all candidates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from latticework.plugins import metrics
from latticework.plugins.base import Role
from latticework.plugins.guard import isolatable, report
from latticework.plugins.options import Selection
from latticework.plugins.registry import registry
from latticework.structured.errors import LatticeworkError
from latticework.structured.search.protocol import (
    Candidate,
    Expand,
    SearchOutcome,
    SearchPolicy,
    SearchRequest,
    SearchResult,
    SearchSteps,
    SearchTask,
)

#: The option that asks for a search; those of its policy begin with it.
OPTION = "lw_search"

AnswerT = TypeVar("AnswerT")


class ClientLeftError(ValueError):
    """What a host raises for a client that is gone, if its engine says so by an error instead of cancelling."""


def can_be_searched(check: Callable[[], None], extra: Mapping[str, Any] | None) -> bool:
    """Whether a request can be searched. The deployment's default is for those that can.

    Args:
        check: Raises ``LatticeworkError`` if it cannot.
        extra: Whatever the request carries beside the engine's own fields.

    Raises:
        LatticeworkError: It cannot, and the client asked for a search by name.
    """
    try:
        check()
    except LatticeworkError:
        if OPTION in (extra or {}):
            raise
        return False
    return True


def candidate_options(extra: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a candidate carries of what the request carries: everything but the search."""
    return {key: value for key, value in (extra or {}).items() if not key.startswith(OPTION)} or None


def candidate_seed(own: int | None, request: Expand, index: int) -> int | None:
    """The seed of candidate ``index``: counted on from the policy's, or from the client's ``own``, if there is one."""
    seed = own if request.params.seed is None else request.params.seed
    return None if seed is None else seed + index


class SearchHost(Protocol[AnswerT]):
    """One client request that can be written several times. What it raises is the engine's error, and goes through."""

    async def prepare(self, n: int) -> None:
        """``n`` candidates will be written next: make what they share."""
        ...

    async def write(self, request: Expand, index: int, handle: int) -> AnswerT:
        """Write candidate ``index`` of an expansion to its end; ``handle`` is unique in the search."""
        ...

    def read(self, answer: AnswerT, handle: int) -> Candidate | None:
        """What was written; ``None`` if it failed."""
        ...

    def raise_failure(self, answer: AnswerT) -> None:
        """Raise what a failed answer says, if it says anything."""
        ...


class _PolicyError(Exception):
    """The policy failed, not the engine."""


@contextmanager
def _blaming_policy() -> Iterator[None]:
    """Whatever goes wrong in the block is the policy's fault. Not to be held over an ``await``."""
    try:
        yield
    except BaseException as error:
        if not isolatable(error):
            raise
        raise _PolicyError from error


class Search(Generic[AnswerT]):
    """One search.

    Args:
        selection: The policy and its options.
        host: Writes candidates.
        request_id: The client's request, for the log.
        threads: Where the policy computes, off the event loop: scoring a candidate may replay its grammar.
    """

    def __init__(self, selection: Selection, host: SearchHost[AnswerT], request_id: str, threads: Executor) -> None:
        self._selection = selection
        self._host = host
        self._request_id = request_id
        self._threads = threads
        self._answers: list[AnswerT] = []  # by handle

    async def answer(self, task: SearchTask) -> AnswerT:
        """Run the policy; the best candidate as it was written, or the first complete one if the policy fails."""
        name, outcome = self._selection.name, "ok"
        try:
            best = await self._run(task)
        except _PolicyError as error:
            outcome = "fallback"
            report(Role.SEARCH, name, error.__cause__ or error, f"request {self._request_id} gets its first candidate")
            best = await self._fallback()
        except (asyncio.CancelledError, ClientLeftError):
            metrics.SEARCHES.labels(search=name, outcome="cancelled").inc()
            raise
        metrics.SEARCHES.labels(search=name, outcome=outcome).inc()
        return best

    async def _run(self, task: SearchTask) -> AnswerT:
        with _blaming_policy():
            policy: SearchPolicy = registry().factory(Role.SEARCH, self._selection.name).create(self._selection.options)
            steps = policy.steps(task)
        progress = await self._advance(steps, None)
        while not isinstance(progress, SearchOutcome):
            progress = await self._advance(steps, await self._perform(progress))
        with _blaming_policy():
            return self._answers[progress.best.handle]

    async def _advance(self, steps: SearchSteps, result: SearchResult | None) -> SearchRequest | SearchOutcome:
        """Let the policy compute until its next wish, or its end."""

        def advance() -> SearchRequest | SearchOutcome:
            with _blaming_policy():
                try:
                    return next(steps) if result is None else steps.send(result)
                except StopIteration as stop:
                    outcome: SearchOutcome = stop.value
                    return outcome

        return await asyncio.get_running_loop().run_in_executor(self._threads, advance)

    async def _perform(self, request: SearchRequest) -> SearchResult:
        match request:
            case Expand(prefixes=((),)):
                return (await self._expand(request),)
            case Expand():
                # A constraint would have to begin in the middle, which no engine's requests can say.
                reason = "continuing a candidate is not supported by this driver"
            case _:
                reason = f"{type(request).__name__} is not supported by this driver"
        raise _PolicyError from NotImplementedError(reason)

    async def _expand(self, request: Expand) -> tuple[Candidate, ...]:
        """Write ``request.n`` candidates at the same time. Those that failed are left out, unless all did."""
        first = len(self._answers)
        await self._host.prepare(request.n)
        written = await _together([self._host.write(request, index, first + index) for index in range(request.n)])
        self._answers += written
        name = self._selection.name
        metrics.SEARCH_CANDIDATES.labels(search=name).inc(len(written))
        read = [self._host.read(answer, first + index) for index, answer in enumerate(written)]
        candidates = tuple(candidate for candidate in read if candidate is not None)
        metrics.SEARCH_TOKENS.labels(search=name).inc(sum(len(candidate.token_ids) for candidate in candidates))
        if not candidates:
            self._host.raise_failure(written[0])
            return (Candidate((), (), False, first),)  # the engine does not call it a failure: it is the answer
        return candidates

    async def _fallback(self) -> AnswerT:
        if not self._answers:
            return await self._host.write(Expand(((),), 1), 0, 0)
        read = (self._host.read(answer, handle) for handle, answer in enumerate(self._answers))
        complete = (candidate.handle for candidate in read if candidate is not None and candidate.complete)
        return self._answers[next(complete, 0)]


async def _together(writing: Sequence[Coroutine[Any, Any, AnswerT]]) -> list[AnswerT]:
    """Await all; the first that raises cancels the others, and its own exception comes out."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in writing]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
