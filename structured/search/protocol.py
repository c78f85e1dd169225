"""The sans-IO contract of a search policy.

A policy is a generator: it yields what it wants done and receives what came of it. It never awaits, calls or times
anything, so the same policy runs in a server, against a toy model in a test, or in a notebook. A *driver* (an adapter's
job) carries the requests out, shares KV between prefixes, and stops generations whose result is no longer wanted.

    request = next(steps)                 # the policy's first wish
    while True:
        request = steps.send(result)      # StopIteration.value is the SearchOutcome
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from latticework.structured.engines.base import CompiledGrammar

TokenIds = tuple[int, ...]


@dataclass(frozen=True)
class ExpandParams:
    """How to continue a prefix. ``None`` leaves the client's own choice.

    Attributes:
        temperature: Sampling temperature.
        seed: Base seed; sample ``i`` of an expansion uses ``seed + i``. ``None``: unseeded.
        max_tokens: Length bound of each continuation.
    """

    temperature: float | None = None
    seed: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Candidate:
    """One continuation.

    Attributes:
        token_ids: What was written after the prefix, the end token included if the engine reports it.
        logprobs: One entry a token: its log-probability (nats) as the engine reports it, with vLLM after the mask.
        complete: Whether it ended by itself (end token or stop string), not by a length bound.
        handle: The driver's own name for it, to be given back in the outcome.
    """

    token_ids: TokenIds
    logprobs: tuple[float, ...]
    complete: bool
    handle: int


@dataclass(frozen=True)
class Expand:
    """Continue each prefix ``n`` times. Result: ``tuple`` (a prefix) of ``tuple`` (a sample) of :class:`Candidate`."""

    prefixes: tuple[TokenIds, ...]
    n: int
    stop: tuple[str, ...] = ()
    params: ExpandParams = field(default_factory=ExpandParams)


@dataclass(frozen=True)
class Score:
    """Let a named scorer judge each prefix. Result: ``tuple[float, ...]``, larger is better."""

    prefixes: tuple[TokenIds, ...]
    scorer: str


@dataclass(frozen=True)
class Execute:
    """Run a named tool on a text. Result: ``str``."""

    tool: str
    text: str


SearchRequest = Expand | Score | Execute
SearchResult = tuple[tuple[Candidate, ...], ...] | tuple[float, ...] | str


@dataclass(frozen=True)
class SearchTask:
    """What is searched: ``grammar`` is the request's constraint, or ``None``."""

    grammar: CompiledGrammar | None = None


@dataclass(frozen=True)
class SearchOutcome:
    """The answer, and how each candidate was judged (same order as the driver's handles were first seen)."""

    best: Candidate
    scores: tuple[float, ...]


SearchSteps = Generator[SearchRequest, SearchResult, SearchOutcome]


class SearchPolicy(Protocol):
    """A search algorithm as stateless configuration; one call of :meth:`steps` is one search."""

    def steps(self, task: SearchTask) -> SearchSteps:
        """Begin a search."""
        ...
