"""A third-party plugin distribution for the tests, found through entry points when this folder is on ``PYTHONPATH``.

It also carries the worker extension by which a test looks into the worker process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import prometheus_client
import torch

from latticework.plugins.base import PluginOptions, ProcessorSession
from latticework.speculative.draft import Draft
from latticework.speculative.drafter import DraftBudget, Drafter, RequestView, VerifiedRows
from latticework.structured.errors import BudgetExceededError


class _ExplodingDrafter:
    """Drafts sensibly twice, then fails: state built up before the failure must not do harm afterwards."""

    def __init__(self) -> None:
        self._drafts = 0

    def begin(self, request: RequestView) -> None:
        pass

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        pass

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        self._drafts += 1
        if self._drafts > 2:
            raise RuntimeError("this drafter always fails in the end")
        return Draft.chain(request.tokens[-1:])

    def end(self, request: RequestView) -> None:
        pass


class ExplodePlugin:
    """The drafter ``explode``."""

    name = "explode"
    summary = "a drafter that fails"
    options = PluginOptions

    def create(self, options: PluginOptions) -> Drafter:
        """See ``Factory.create``."""
        return _ExplodingDrafter()


class _ExplodingSession:
    def advance(self, token_ids: Sequence[int]) -> None:
        pass

    def rollback(self, count: int) -> None:
        pass

    def apply(self, logits: torch.Tensor) -> None:
        logits.fill_(0.0)  # half done when it fails: the row has to be restored
        raise RuntimeError("this processor always fails")


class _ExplodingProcessor:
    greedy_only = False

    def begin(self, prompt_ids: Sequence[int]) -> ProcessorSession:
        return _ExplodingSession()


class ExplodingProcessorPlugin:
    """The processor ``explode``."""

    name = "explode"
    summary = "a processor that fails"
    options = PluginOptions

    def create(self, options: PluginOptions) -> _ExplodingProcessor:
        """See ``Factory.create``."""
        return _ExplodingProcessor()


class _NoRepeatSession:
    """Makes each of the last 24 tokens all but impossible, so every row depends on its exact history."""

    def __init__(self, prompt_ids: Sequence[int]) -> None:
        self._history = list(prompt_ids)

    def advance(self, token_ids: Sequence[int]) -> None:
        self._history.extend(token_ids)

    def rollback(self, count: int) -> None:
        if count:
            del self._history[-count:]

    def apply(self, logits: torch.Tensor) -> None:
        recent = torch.tensor(sorted(set(self._history[-24:])), device=logits.device)
        logits[recent] -= 1e4


class _NoRepeat:
    greedy_only = False

    def begin(self, prompt_ids: Sequence[int]) -> ProcessorSession:
        return _NoRepeatSession(prompt_ids)


class NoRepeatPlugin:
    """The processor ``no_repeat``."""

    name = "no_repeat"
    summary = "none of the last 24 tokens again"
    options = PluginOptions

    def create(self, options: PluginOptions) -> _NoRepeat:
        """See ``Factory.create``."""
        return _NoRepeat()


class _TiringMatcher:
    """Our own matcher, until a number of tokens were accepted: then it cannot go on."""

    def __init__(self, matcher: Any, left: int) -> None:
        self._matcher = matcher
        self._left = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._matcher, name)

    def fill_bitmask(self, row: Any) -> None:
        if self._left <= 0:
            raise BudgetExceededError("regex", "the engine is tired")
        self._matcher.fill_bitmask(row)

    def accept(self, token_id: int) -> bool:
        accepted: bool = self._matcher.accept(token_id)
        self._left -= accepted
        return accepted

    def rollback(self, count: int) -> None:
        self._matcher.rollback(count)
        self._left += count

    def fork(self) -> _TiringMatcher:
        return _TiringMatcher(self._matcher.fork(), self._left)


class _TiringGrammar:
    engine = "tiring"

    def __init__(self, grammar: Any) -> None:
        self._grammar = grammar
        self.spec = grammar.spec
        self.vocabulary = grammar.vocabulary

    def matcher(self) -> _TiringMatcher:
        return _TiringMatcher(self._grammar.matcher(), 0 if self.spec.text.startswith("tired") else 8)


class TiringEngine:
    """The grammar engine ``tiring``: it gives up after eight tokens, or at once on a constraint that begins "tired"."""

    name = "tiring"

    def compile(self, spec: Any, vocabulary: Any, limits: Any) -> _TiringGrammar:
        """See ``GrammarEngine.compile``."""
        from latticework.structured.engines.lattice import LatticeEngine

        return _TiringGrammar(LatticeEngine().compile(spec, vocabulary, limits))


class Inspect:
    """Mixed into vLLM's worker by ``worker_extension_cls``; called through ``collective_rpc``."""

    model_runner: Any

    def latticework_counters(self) -> dict[str, float]:
        """Every latticework sample of this process: ``name{label=value,...}`` to its value."""
        found = {}
        for metric in prometheus_client.REGISTRY.collect():
            for sample in metric.samples:
                if sample.name.startswith("latticework_"):
                    labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
                    found[f"{sample.name}{{{labels}}}"] = sample.value
        return found

    def latticework_sessions(self) -> int:
        """How many requests the runner still keeps a session for."""
        from latticework.adapters.vllm.runner import open_sessions

        return open_sessions(self.model_runner)
