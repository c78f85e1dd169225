"""What ``latticework grammar explain`` found, in one value that is printed, written as JSON or drawn as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from latticework.structured.engines.select import compile_grammar
from latticework.structured.errors import BudgetExceededError, GrammarError, LatticeworkError
from latticework.structured.explain import (
    Blame,
    Explanation,
    Keyword,
    Overview,
    TokenStep,
    explain,
    explain_refusal,
    meaning,
    overview,
    token_steps,
)
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

ENGINE = "lattice"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A constraint that does not compile: the error, and without which restrictions it would."""

    error: LatticeworkError
    blame: Blame


@dataclass(frozen=True, slots=True)
class Report:
    """One of an explanation (there was a text), an overview (there was none) and a refusal."""

    spec: GrammarSpec
    explanation: Explanation | None = None
    overview: Overview | None = None
    refusal: Refusal | None = None
    tokens: Sequence[TokenStep] = ()

    @property
    def status(self) -> int:
        """The exit status: 0, 1 for a text that is not allowed, 2 for a refusal."""
        if self.refusal is not None:
            return 2
        return int(self.explanation is not None and self.explanation.stop is not None)

    @property
    def blame(self) -> Blame:
        """Who is responsible for what is not allowed; nobody, if all is."""
        if self.refusal is not None:
            return self.refusal.blame
        stop = self.explanation.stop if self.explanation else None
        return stop.blame if stop else Blame()

    def document(self) -> dict[str, Any]:
        """As JSON: ``kind``, ``status``, and what there is of ``stop``, ``overview``, ``refusal`` and ``tokens``."""
        found: dict[str, Any] = {"kind": self.spec.kind.value, "status": self.status}
        if self.explanation is not None:
            stop = self.explanation.stop
            found["stop"] = stop and {
                "position": stop.position,
                "allowed": [list(pair) for pair in stop.allowed],
                "may_end": stop.may_end,
                "examples": [example.decode("utf-8", "backslashreplace") for example in stop.examples],
                "reason": stop.reason.value,
                "blame": _blame(stop.blame),
            }
        if self.overview is not None:
            found["overview"] = {
                "keywords": dict(self.overview.keywords),
                "forced": self.overview.forced.decode("utf-8", "backslashreplace"),
                "tables": self.overview.tables,
                "places": len(self.overview.places),
                "states": self.overview.states,
                "whole": self.overview.whole,
            }
        if self.refusal is not None:
            error = self.refusal.error
            found["refusal"] = {"field": error.field, "reason": error.reason, "blame": _blame(self.refusal.blame)}
        if self.tokens:
            found["tokens"] = [
                {"id": step.token_id, "allowed": step.allowed, "legal": step.legal} for step in self.tokens
            ]
        return found


def report(spec: GrammarSpec, vocabulary: Vocabulary, text: bytes | None, *, with_tokens: bool) -> Report:
    """Find out."""
    limits = GrammarLimits()
    try:
        if text is None:
            return Report(spec, overview=overview(spec, vocabulary, limits))
        found = explain(spec, text, vocabulary, limits)
    except (GrammarError, BudgetExceededError) as error:
        return Report(spec, refusal=Refusal(error, explain_refusal(spec, vocabulary, limits)))
    tokens = token_steps(compile_grammar(spec, vocabulary, ENGINE, limits), text) if with_tokens else []
    return Report(spec, explanation=found, tokens=tokens)


def _blame(blame: Blame) -> dict[str, Any]:
    return {
        "minimal": blame.minimal,
        "alternatives": [
            [
                {
                    "pointer": restriction.pointer,
                    "keyword": restriction.name,
                    "value": restriction.value if isinstance(restriction, Keyword) else str(restriction.value),
                    "meaning": meaning(restriction),
                }
                for restriction in alternative
            ]
            for alternative in blame.alternatives
        ],
    }
