"""What is written never depends on who drafts: every drafter that comes with the package, against plain decoding.

With noise that is a function of seed and position the sampled text is the same token by token (T9), which is more than
the law of it (T3): every path of coins gives one text, with a draft and without. Greedy text (T1), grammars (section
20) and end tokens (T8) likewise. Each drafter lives through several requests, so that it has something to say.
"""

from __future__ import annotations

import pytest
from every_drafter import MAKERS
from toy_decoding import ToyTarget, decode

from latticework.speculative.drafter import DraftBudget
from latticework.structured import GrammarLimits, GrammarSpec, Vocabulary
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.engines.lattice import LatticeEngine

PROMPT = [1, 2, 3, 1, 2]
SHAPES = (DraftBudget(10, 6), DraftBudget(5, 5, branching=False))
EVERY = pytest.mark.parametrize("name", MAKERS)
#: Those whose guesses are right often enough on a toy target that seconds of decoding must show it.
SURE = {"fusion", "ngram_pool", "ngram_trie", "suffix", "token_recycling", "trigram", "guided", "jacobi", "text only"}


@pytest.fixture(scope="module")
def grammar() -> CompiledGrammar:
    vocabulary = Vocabulary([None, b"a", b"b", b"c", b"d", b"e", b"ab"], [0])
    return LatticeEngine().compile(GrammarSpec.regex("(?:[ab]c{3}|d(?:e|ab)*e)*"), vocabulary, GrammarLimits())


@EVERY
@pytest.mark.parametrize("noise", [None, 5])
def test_free_text(name: str, noise: int | None) -> None:
    drafter, steps, tokens = MAKERS[name](), 0, 0
    for request, shape in enumerate(SHAPES * 3):
        target = ToyTarget(9, request // 2, sharpness=0.05)
        keyed = None if noise is None else noise + request // 2
        answer = decode(target, drafter, PROMPT, 30, shape, noise=keyed, name=f"r{request}", scope="0", harvest=True)
        assert answer.output == decode(target, None, PROMPT, 30, noise=keyed).output
        steps, tokens = steps + answer.steps, tokens + len(answer.output)
    assert name not in SURE or steps < 0.9 * tokens, "nothing was ever accepted"


@EVERY
@pytest.mark.parametrize("noise", [None, 11])
def test_text_within_a_grammar(name: str, noise: int | None, grammar: CompiledGrammar) -> None:
    drafter = MAKERS[name]()
    for request, shape in enumerate(SHAPES * 2):
        target = ToyTarget(7, request // 2)
        keyed = None if noise is None else noise + request // 2
        plain = decode(target, None, PROMPT, 25, noise=keyed, grammar=grammar)
        answer = decode(target, drafter, PROMPT, 25, shape, noise=keyed, grammar=grammar, name=f"r{request}", scope="0")
        assert answer.output == plain.output
        assert answer.steps <= plain.steps


@EVERY
def test_nothing_follows_the_end(name: str) -> None:
    """T8: an end token inside an accepted run ends the text, and later requests are not led beyond it."""
    drafter, ended = MAKERS[name](), 0
    for request, shape in enumerate(SHAPES * 6):
        target = ToyTarget(6, request // 4, end=4)
        answer = decode(target, drafter, PROMPT, 20, shape, noise=request, name=f"r{request}", scope="0")
        assert answer.output == decode(target, None, PROMPT, 20, noise=request).output
        assert 4 not in answer.output[:-1]
        ended += answer.output[-1] == 4
    assert ended > 3
