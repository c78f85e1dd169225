"""What to measure, and measuring it: engines x tokenizers x schemas, one worker at a time on one core."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from latticework.bench.cases import Case
from latticework.bench.tokenizers import TokenizerSource
from latticework.bench.workers.protocol import CaseResult, Clock, Opened
from latticework.bench.workers.supervisor import Setup, Supervisor, WorkerLostError
from latticework.structured.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        engines: Names of engines that can be measured here.
        tokenizers: What the instances are written in.
        cases: Schemas and instances.
        clock: See :class:`~latticework.bench.workers.protocol.Clock`.
        case_seconds: Limit for one schema, compiling and all its instances.
        memory: Limit for a worker's resident memory, in bytes.
    """

    engines: Sequence[str]
    tokenizers: Sequence[TokenizerSource]
    cases: Sequence[Case]
    clock: Clock = Clock.CPU
    case_seconds: float = 60.0
    memory: int = 8 << 30


@dataclass(slots=True)
class Run:
    """One engine on one tokenizer: ``failure`` says why it could not be started, ``opened`` is ``None`` then."""

    engine: str
    tokenizer: str
    opened: Opened | None = None
    failure: str = ""
    results: list[CaseResult] = field(default_factory=list)


#: Called before each case with the run so far; what it is for is showing progress.
Progress = Callable[[Run], None]


def measure(plan: Plan, progress: Progress = lambda run: None) -> tuple[list[Run], bool]:
    """Measure everything, one process at a time.

    Returns:
        The runs, and whether they are whole. Ctrl-C ends the measurement and keeps what there is of it.
    """
    runs: list[Run] = []
    try:
        for tokenizer in plan.tokenizers:
            prepared = prepare(plan.cases, tokenizer.vocabulary())
            for engine in plan.engines:
                runs.append(Run(engine, tokenizer.name))
                _measure_into(runs[-1], plan, tokenizer, prepared, progress)
    except KeyboardInterrupt:
        return runs, False
    return runs, True


def prepare(cases: Sequence[Case], vocabulary: Vocabulary) -> list[list[Mapping[str, Any]]]:
    """The instances of each case as the worker wants them. One that the vocabulary cannot spell is left out."""
    prepared: list[list[Mapping[str, Any]]] = []
    for case in cases:
        tokens = [(instance.valid, vocabulary.encode(instance.text.encode())) for instance in case.instances]
        prepared.append([{"valid": valid, "tokens": ids} for valid, ids in tokens if ids is not None])
    return prepared


def _measure_into(
    run: Run, plan: Plan, tokenizer: TokenizerSource, prepared: list[list[Mapping[str, Any]]], progress: Progress
) -> None:
    setup = Setup(run.engine, tokenizer, plan.clock, core=_core(), case_seconds=plan.case_seconds, memory=plan.memory)
    with Supervisor(setup) as supervisor:
        try:
            progress(run)
            run.opened = supervisor.open()
            for case, instances in zip(plan.cases, prepared, strict=True):
                progress(run)
                run.results.append(supervisor.case(case.name, case.family, case.schema, instances))
        except WorkerLostError as lost:
            run.failure = str(lost)


def _core() -> int | None:
    """The last core we may use: the supervisor and the desktop tend to sit on the first."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
