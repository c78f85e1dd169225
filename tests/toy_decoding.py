"""Decoding with a toy target: what an engine does around a drafter, with everything shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latticework.speculative.draft import ROOT, Draft
from latticework.speculative.drafter import (
    DraftBudget,
    Drafter,
    RequestView,
    VerifiedRows,
    read_prompt,
    verified_hidden,
    verified_top_k,
)
from latticework.speculative.verify import greedy_verify, sample_and_match
from latticework.structured import bitmask
from latticework.structured.engines.base import CompiledGrammar, Matcher

Rows = np.ndarray[tuple[int, int], np.dtype[np.float64]]

BUDGET = DraftBudget(12, 6)
#: So many probabilities of a row stand for a hidden state.
HIDDEN = 6


class ToyTarget:
    """A language model of ``size`` tokens: the law of the next token is a function of the last ``order``.

    Args:
        size: Tokens of its vocabulary.
        seed: Which model.
        order: How many tokens matter.
        sharpness: Small: nearly every token has one likely successor.
        end: A token that ends the text; it is never the likeliest and never without mass.
    """

    def __init__(self, size: int, seed: int, order: int = 2, sharpness: float = 0.15, end: int | None = None) -> None:
        self.size, self.end = size, end
        self._seed, self._order, self._sharpness = seed, order, sharpness
        self._known: dict[tuple[int, ...], np.ndarray[tuple[int], np.dtype[np.float64]]] = {}

    def row(self, text: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """``float64[size]``, what follows ``text``."""
        key = tuple(text[-self._order :])
        if key not in self._known:
            row = np.random.default_rng((self._seed, len(key), *key)).dirichlet(np.full(self.size, self._sharpness))
            row = 0.98 * row + 0.02 / self.size
            if self.end is not None:
                row[self.end] = 0.05 * row.sum()
            self._known[key] = row / row.sum()
        return self._known[key]


@dataclass(frozen=True)
class Answer:
    """What was written, in how many steps, and which nodes were drafted (one draft a step)."""

    output: list[int]
    steps: int
    drafts: list[Draft]


def decode(
    target: ToyTarget,
    drafter: Drafter | None,
    prompt: Sequence[int],
    length: int,
    budget: DraftBudget = BUDGET,
    *,
    noise: int | None = None,
    grammar: CompiledGrammar | None = None,
    name: str = "r",
    scope: str | None = "s",
    harvest: bool = False,
) -> Answer:
    """Write at most ``length`` tokens after ``prompt``.

    Args:
        target: Who writes.
        drafter: Who guesses; ``None``: plain decoding.
        prompt: At least one token.
        length: Most tokens.
        budget: Of each step.
        noise: ``None``: greedy. Else sampled, the draw at each position a function of this seed and the position.
        grammar: What may be written.
        name, scope: Of the request.
        harvest: Whether the drafter is shown the prompt's rows.
    """
    view = RequestView(name, np.array(prompt, np.int32), len(prompt), None, scope, grammar)
    view.matcher = grammar.matcher() if grammar is not None else None
    drafts: list[Draft] = []
    if drafter is not None:
        drafter.begin(view)
        if harvest:
            rows = [target.row(prompt[: at + 1]) for at in range(len(prompt))]
            read_prompt(drafter, view, shown(drafter, prompt, range(-1, len(prompt) - 1), np.array(rows)))
    written, steps, ended = 0, 0, False
    while written < length and not ended and not (view.matcher is not None and view.matcher.finished):
        draft = Draft() if drafter is None or not steps else drafter.draft(view, budget)  # the prefill comes first
        draft = draft.within(len(draft), length - written - 1)
        drafts.append(draft)
        laws, masked = _verified_rows(target, view, draft)
        end = [*([] if target.end is None else [target.end]), *(grammar.vocabulary.eos_ids if grammar else ())]
        if noise is None:
            verified = greedy_verify(draft, np.where(masked > 0, masked, -np.inf), end)
        else:
            uniforms = [np.random.default_rng((noise, len(view.tokens) + d)).random() for d in range(length + 1)]
            verified = sample_and_match(draft, masked, np.array(uniforms), end)
        pending = int(view.tokens[-1])
        view.tokens = np.array([*view.tokens.tolist(), *verified.tokens], np.int32)
        for token in verified.tokens:
            assert view.matcher is None or view.matcher.accept(token), "written against the grammar"
        written, steps, ended = written + len(verified.tokens), steps + 1, verified.tokens[-1] in end
        if drafter is not None:
            parents = [-1, *(draft.parent + 1).tolist()]
            rows_shown = shown(drafter, [pending, *draft.token.tolist()], parents, laws)
            drafter.observe(view, list(verified.tokens), rows_shown)
    if drafter is not None:
        drafter.end(view)
    return Answer(view.tokens[len(prompt) :].tolist(), steps, drafts)


def shown(drafter: Drafter, tokens: Sequence[int], parents: Sequence[int], laws: Rows) -> VerifiedRows | None:
    """What an engine shows of rows of the target, as much as the drafter wants."""
    count, hidden = verified_top_k(drafter), verified_hidden(drafter)
    if not count and not hidden:
        return None
    top = np.argsort(-laws, axis=1, kind="stable")[:, :count].astype(np.int32)
    logprobs = np.log(np.take_along_axis(laws, top.astype(np.int64), axis=1)).astype(np.float32)
    return VerifiedRows(
        np.array(tokens, np.int32),
        top,
        logprobs,
        np.array(parents, np.int32),
        laws[:, :HIDDEN].astype(np.float32) if hidden else None,
    )


def _verified_rows(target: ToyTarget, view: RequestView, draft: Draft) -> tuple[Rows, Rows]:
    """The target's rows at the root and at every node: as it says, and as the grammar leaves them there."""
    paths: list[list[int]] = [[]]
    for token, parent in zip(draft.token.tolist(), draft.parent.tolist(), strict=True):
        paths.append([*paths[parent + 1 if parent != ROOT else 0], token])
    text = view.tokens.tolist()
    laws = np.array([target.row([*text, *path]) for path in paths])
    if view.matcher is None:
        return laws, laws
    return laws, np.array(
        [law * _allowed(view.matcher, path, target.size) for law, path in zip(laws, paths, strict=True)]
    )


def _allowed(matcher: Matcher, path: Sequence[int], size: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    walker = matcher.fork()
    allowed = np.zeros(size)
    if all(walker.accept(token) for token in path) and not walker.finished:
        mask = np.zeros(bitmask.words(size), np.int32)
        walker.fill_bitmask(mask)
        allowed[bitmask.indices(mask)] = 1.0
    return allowed
