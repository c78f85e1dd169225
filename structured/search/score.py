"""Judging finished candidates by the model's own probabilities, where it had a choice.

Under a grammar most tokens of an answer may be forced. Their log-probability says how surprised the model is by the
*format*, not how good the answer is, and averaging them in drowns the tokens that were decided.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from latticework.structured import bitmask
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.search.protocol import Candidate


def free_mean_logprob(candidate: Candidate, grammar: CompiledGrammar | None) -> float:
    """Mean log-probability (nats) of the tokens at which the grammar left more than one choice.

    0.0 if there were none: nothing was decided, so nothing was unlikely. ``-inf`` if a log-probability is not a number.

    Raises:
        ValueError: There is not one log-probability a token.
    """
    if len(candidate.logprobs) != len(candidate.token_ids):
        raise ValueError(f"{len(candidate.token_ids)} tokens with {len(candidate.logprobs)} log-probabilities")
    free = free_positions(candidate.token_ids, grammar)
    judged = [logprob for logprob, is_free in zip(candidate.logprobs, free, strict=True) if is_free]
    if not judged:
        return 0.0
    return math.fsum(judged) / len(judged) if all(map(math.isfinite, judged)) else -math.inf


def free_positions(token_ids: Sequence[int], grammar: CompiledGrammar | None) -> list[bool]:
    """Whether more than one token was legal, for each position. Without a grammar that is everywhere.

    What comes after a token that the grammar refuses (text after a stop string, say) counts as free.
    """
    return [True] * len(token_ids) if grammar is None else list(_replay(token_ids, grammar))


def _replay(token_ids: Sequence[int], grammar: CompiledGrammar) -> Iterator[bool]:
    matcher = grammar.matcher()
    row = np.zeros(bitmask.words(grammar.vocabulary.size), np.int32)
    inside = True
    for token_id in token_ids:
        if inside:
            matcher.fill_bitmask(row)
            forced = bitmask.count(row) == 1
            inside = matcher.accept(token_id)
        yield not (inside and forced)


def best_index(candidates: Sequence[Candidate], scores: Sequence[float]) -> int:
    """The candidate to answer with: complete ones before cut ones, then the higher score, then the lower index."""
    if not candidates:
        raise ValueError("there is no candidate to choose from")
    return max(range(len(candidates)), key=lambda i: (candidates[i].complete, scores[i], -i))
