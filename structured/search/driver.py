"""Driving a policy to its end: the loop that every driver is an asynchronous or a batched version of."""

from __future__ import annotations

from collections.abc import Callable

from latticework.structured.search.protocol import (
    SearchOutcome,
    SearchPolicy,
    SearchRequest,
    SearchResult,
    SearchTask,
)

Perform = Callable[[SearchRequest], SearchResult]


def run(policy: SearchPolicy, task: SearchTask, perform: Perform) -> SearchOutcome:
    """Run a whole search, one request after the other.

    Args:
        policy: The algorithm.
        task: What is searched.
        perform: Carries out one request. What it raises is thrown into the policy at the request that failed, so the
            policy may clean up or go on without; by default it comes out of here.
    """
    steps = policy.steps(task)
    try:
        request = next(steps)
        while True:
            try:
                result = perform(request)
            except Exception as error:
                request = steps.throw(error)
            else:
                request = steps.send(result)
    except StopIteration as stop:
        outcome: SearchOutcome = stop.value
        return outcome
