"""Running the suite: each engine over a vocabulary of single bytes, so that the answer is about texts, not tokens.

A group is *right* if the engine takes every valid document and refuses every invalid one; *refused* if it declines the
schema; *over-constrained* if it blocks a valid document; *under-constrained* if it lets an invalid one through, which
nobody would notice. A schema that nothing satisfies is right if the engine says so instead of compiling it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from latticework.bench.cases import Case
from latticework.bench.masks.plan import prepare
from latticework.bench.tokenizers import BYTES, TokenizerSource
from latticework.bench.workers.protocol import CaseResult, Clock, Status
from latticework.bench.workers.supervisor import Setup, Supervisor

_BYTES = TokenizerSource(BYTES, None, "")


class Verdict(StrEnum):
    """What becomes of a group. One that is both over- and under-constrained counts as the latter, the worse."""

    RIGHT = "right"
    REFUSED = "refused"
    OVER = "over-constrained"
    UNDER = "under-constrained"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Judged:
    """One group: the keyword's file, its description, the verdict, and what stands behind it."""

    keyword: str
    group: str
    verdict: Verdict
    detail: str = ""


def judge(
    engine: str, cases: Sequence[Case], *, case_seconds: float, progress: Callable[[int], None] = lambda done: None
) -> tuple[str, list[Judged]]:
    """The engine's version and the verdict on each group. Raises ``WorkerLostError`` if it cannot be started.

    ``format`` is an annotation where the engine leaves the choice, as the required tests have it.
    """
    setup = Setup(engine, _BYTES, Clock.WALL, assert_formats=False, case_seconds=case_seconds)
    judged = []
    with Supervisor(setup) as supervisor:
        version = supervisor.open().version
        for done, (case, instances) in enumerate(zip(cases, prepare(cases, _BYTES.vocabulary()), strict=True)):
            progress(done)
            result = supervisor.case(case.name, case.family, case.schema, instances)
            judged.append(verdict(case, result))
    return version, judged


def verdict(case: Case, result: CaseResult) -> Judged:
    """The verdict on one group."""
    found, detail = _verdict(case, result)
    return Judged(case.family, case.name.removeprefix(f"{case.family}: "), found, detail)


def _verdict(case: Case, result: CaseResult) -> tuple[Verdict, str]:
    if result.status is Status.REFUSED:
        empty = result.reason.startswith("invalid: ") and not any(instance.valid for instance in case.instances)
        return (Verdict.RIGHT if empty else Verdict.REFUSED), result.reason
    if result.status is not Status.COMPILED:
        return Verdict.LOST, f"{result.status}: {result.reason}"
    wrong = [
        f"{'takes' if answer.accepted else 'blocks'} {instance.text}{f' ({answer.error})' if answer.error else ''}"
        for instance, answer in zip(case.instances, result.instances, strict=True)
        if not answer.right
    ]
    if result.false_accepts:
        return Verdict.UNDER, "; ".join(wrong)
    return (Verdict.OVER if wrong else Verdict.RIGHT), "; ".join(wrong)


def counts(judged: Sequence[Judged]) -> Mapping[Verdict, int]:
    """How many groups got each verdict."""
    return {verdict: sum(each.verdict is verdict for each in judged) for verdict in Verdict}


def by_keyword(judged: Sequence[Judged]) -> Mapping[str, Mapping[Verdict, int]]:
    """The counts of each keyword's file."""
    keywords = dict.fromkeys(each.keyword for each in judged)
    return {keyword: counts([each for each in judged if each.keyword == keyword]) for keyword in keywords}


def document(engine: str, version: str, draft: str, judged: Sequence[Judged]) -> dict[str, Any]:
    """One engine and draft as JSON: the counts, and every group that is not right."""
    return {
        "engine": engine,
        "version": version,
        "draft": draft,
        "groups": len(judged),
        "counts": {verdict.value: count for verdict, count in counts(judged).items()},
        "keywords": {
            keyword: {verdict.value: count for verdict, count in found.items()}
            for keyword, found in by_keyword(judged).items()
        },
        "not_right": [
            {"keyword": each.keyword, "group": each.group, "verdict": each.verdict.value, "detail": each.detail}
            for each in judged
            if each.verdict is not Verdict.RIGHT
        ],
    }
