"""The same loop as the replay's with a real model in place of the recording: every node of every tree is verified.

The model decodes greedily, so what is written is the same whatever drafts; drafters that learn from what the target
held likely are shown all verified nodes, rejected ones too. With constraints on, each node's logits are masked by the
grammar after that node's path, and drafters see the grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from latticework.bench.drafts.prompts import Prompt
from latticework.bench.drafts.replay import Clock, Tally, timed
from latticework.bench.drafts.torch_target import Shown
from latticework.speculative.best_path import best_path
from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import (
    DraftBudget,
    Drafter,
    RequestView,
    TokenArray,
    VerifiedRows,
    read_prompt,
    verified_hidden,
    verified_prompt,
    verified_top_k,
)
from latticework.speculative.verify import match
from latticework.structured.bitmask import words
from latticework.structured.engines.base import CompiledGrammar, Matcher

_SCOPE = "prompts"


class Target(Protocol):
    """See :class:`~latticework.bench.drafts.torch_target.TorchTarget`."""

    end_ids: frozenset[int]

    def read(self, prompt: TokenArray, whole: bool = False) -> Shown:
        """Begin a text; what follows it, or what follows each of its tokens."""
        ...

    def verify(self, pending: int, draft: Draft) -> Shown:
        """What follows the pending token and each node."""
        ...

    def keep(self, path: tuple[int, ...]) -> None:
        """Keep the accepted nodes."""
        ...


@dataclass(frozen=True, eq=False)
class Written:
    """What a prompt was answered with, and at what cost."""

    category: str
    output: TokenArray
    tally: Tally


def answer_all(
    target: Target,
    drafter: Drafter,
    prompts: Iterable[tuple[Prompt, CompiledGrammar | None]],
    budget: DraftBudget,
    max_tokens: int,
    clock: Clock,
    progress: Callable[[int], None] = lambda done: None,
    *,
    blind: bool = False,
    harvest: bool = False,
) -> list[Written]:
    """Answer prompts, one after another, each within its grammar if it has one.

    ``blind``: drafters do not see the grammar. ``harvest``: those that want it are shown what the model held likely at
    every position of the prompt.
    """
    written: list[Written] = []
    for index, (prompt, grammar) in enumerate(prompts):
        answer = _Answer(target, drafter, prompt, grammar, budget, max_tokens, clock, f"prompt-{index}", blind, harvest)
        written.append(answer.run())
        progress(index + 1)
    return written


def by_category(written: Iterable[Written]) -> dict[str, Tally]:
    """The tally of each category, in the order they first occur."""
    tallies: dict[str, Tally] = {}
    for answer in written:
        tallies.setdefault(answer.category, Tally()).add(answer.tally)
    return tallies


class _Answer:
    """One answer under way."""

    def __init__(
        self,
        target: Target,
        drafter: Drafter,
        prompt: Prompt,
        grammar: CompiledGrammar | None,
        budget: DraftBudget,
        max_tokens: int,
        clock: Clock,
        name: str,
        blind: bool,
        harvest: bool,
    ) -> None:
        self._target, self._drafter, self._prompt = target, drafter, prompt
        self._budget, self._left, self._clock = budget, max_tokens, clock
        self._matcher = grammar.matcher() if grammar is not None else None
        tokens = prompt.tokens
        self._view = RequestView(name, tokens, len(tokens), scope=_SCOPE)
        if not blind:
            self._view.matcher, self._view.grammar = self._matcher, grammar
        self._harvest = harvest and verified_prompt(drafter)
        self._tally = Tally(requests=1)

    def run(self) -> Written:
        """As in an engine the prefill gives the first token and is no step."""
        with timed(self._tally, "request_ns", self._clock):
            self._drafter.begin(self._view)
        going = self._commit(self._chosen(EMPTY_DRAFT, self._read()).tolist(), None)
        first = len(self._view.tokens)
        while going and self._left > 0:
            going = self._step()
            self._tally.steps += 1
        self._tally.tokens = len(self._view.tokens) - first
        with timed(self._tally, "request_ns", self._clock):
            self._drafter.end(self._view)
        return Written(self._prompt.category, self._view.tokens[self._view.prompt_length :], self._tally)

    def _read(self) -> Shown:
        """What the model says after the prompt, of which the drafter is told the rest."""
        prompt = self._view.tokens
        shown = self._target.read(prompt, whole=self._harvest)
        if not self._harvest:
            return shown
        rows = self._rows(prompt, np.arange(-1, len(prompt) - 1), shown)
        if rows is not None:
            with timed(self._tally, "request_ns", self._clock):
                read_prompt(self._drafter, self._view, rows)
        return Shown(shown.logits[-1:], shown.hidden[-1:])

    def _step(self) -> bool:
        with timed(self._tally, "draft_ns", self._clock):
            draft = self._drafter.draft(self._view, self._budget)
        draft.check()
        if not self._budget.branching:
            draft = best_path(draft)
        draft = draft.within(len(draft), self._left - 1)
        self._tally.nodes += len(draft)
        pending = int(self._view.tokens[-1])
        shown = self._target.verify(pending, draft)
        rows = self._rows(np.concatenate(([pending], draft.token)), np.concatenate(([-1], draft.parent + 1)), shown)
        verified = match(draft, self._chosen(draft, shown), self._target.end_ids)
        # The row of an end token that was accepted has nothing after it.
        self._target.keep(verified.path[: len(verified.tokens) - 1])
        return self._commit(list(verified.tokens), rows)

    def _chosen(self, draft: Draft, shown: Shown) -> npt.NDArray[np.int32]:
        """The likeliest allowed token at the root and at each node."""
        if self._matcher is None:
            likeliest: npt.NDArray[np.int32] = shown.logits.argmax(axis=1).astype(np.int32)
            return likeliest
        chosen = np.full(len(draft) + 1, -1, np.int32)
        mask = np.empty(words(shown.logits.shape[1]), np.int32)
        chosen[0] = _likeliest(shown.logits[0], self._matcher, mask)
        walked = 0
        barred: set[int] = set()  # nodes that the grammar forbids, and all below them
        for node in draft.preorder():
            self._matcher.rollback(walked - min(walked, int(draft.depth[node]) - 1))
            walked = min(walked, int(draft.depth[node]) - 1)
            if int(draft.parent[node]) in barred or not self._matcher.accept(int(draft.token[node])):
                barred.add(node)
                continue
            walked += 1
            if not self._matcher.finished:
                chosen[node + 1] = _likeliest(shown.logits[node + 1], self._matcher, mask)
        self._matcher.rollback(walked)
        return chosen

    def _rows(self, tokens: npt.NDArray[Any], parents: npt.NDArray[Any], shown: Shown) -> VerifiedRows | None:
        count, hidden = verified_top_k(self._drafter), verified_hidden(self._drafter)
        if not count and not hidden:
            return None
        top = torch.log_softmax(torch.from_numpy(shown.logits), dim=-1).topk(count, dim=-1)
        return VerifiedRows(
            tokens.astype(np.int32),
            top.indices.numpy().astype(np.int32),
            top.values.numpy(),
            parents.astype(np.int32),
            shown.hidden if hidden else None,
        )

    def _commit(self, tokens: list[int], rows: VerifiedRows | None) -> bool:
        """``tokens`` are written; whether the answer goes on."""
        self._left -= len(tokens)
        self._view.tokens = np.concatenate((self._view.tokens, np.array(tokens, np.int32)))
        if self._matcher is not None:
            for token in tokens:
                assert self._matcher.accept(token), "a token was chosen that the grammar forbids"
        with timed(self._tally, "update_ns", self._clock):
            self._drafter.observe(self._view, tokens, rows)
        return tokens[-1] not in self._target.end_ids


def _likeliest(logits: npt.NDArray[np.float32], matcher: Matcher, mask: npt.NDArray[np.int32]) -> int:
    matcher.fill_bitmask(mask)
    allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[: len(logits)].astype(np.bool_)
    return int(np.where(allowed, logits, -np.inf).argmax())
