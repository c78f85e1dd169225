"""A text as tokens, with how many tokens were legal at each."""

from __future__ import annotations

from dataclasses import dataclass

from latticework.structured import bitmask
from latticework.structured.engines.base import CompiledGrammar


@dataclass(frozen=True, slots=True)
class TokenStep:
    """One token: the bytes it writes, whether it was allowed, and how many tokens were at its place."""

    token_id: int
    text: bytes
    allowed: bool
    legal: int


def token_steps(grammar: CompiledGrammar, text: bytes) -> list[TokenStep]:
    """The tokens of ``text`` as the tokenizer cuts it, up to and including the first that is not allowed.

    One more step, without bytes, stands for the end if all tokens are allowed. Empty if the text cannot be spelled.
    """
    vocabulary = grammar.vocabulary
    token_ids = vocabulary.encode(text)
    if token_ids is None:
        return []
    matcher = grammar.matcher()
    row = bitmask.allocate(1, vocabulary.size)[0]
    steps = []
    for token_id in [*token_ids, min(vocabulary.eos_ids)]:
        matcher.fill_bitmask(row)
        allowed = bitmask.test(row, token_id)
        steps.append(TokenStep(token_id, vocabulary.tokens[token_id], allowed, bitmask.count(row)))
        if not allowed:
            break
        matcher.accept(token_id)
    return steps
