"""Jacobi iterations: the greedy text whatever the guess, the invariants of windows and blocks, and the drafter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_decoding import ToyTarget
from toy_decoding import decode as decode_with

from latticework.plugins.drafters import JacobiPlugin
from latticework.speculative.drafter import DraftBudget, RequestView, VerifiedRows
from latticework.speculative.fast_cot import think
from latticework.speculative.jacobi import JacobiDrafter, Predict, decode, iterate
from latticework.speculative.laws import DrafterLaws, MakeDrafter
from latticework.speculative.prompt_lookup import PromptLookupDrafter

V = 5
MAKERS = {
    "window": lambda: JacobiDrafter(4),
    "block": lambda: JacobiDrafter(8, block=3),
    "filled": lambda: JacobiDrafter(8, 0, PromptLookupDrafter(1)),
    "plugin": lambda: JacobiPlugin().create(JacobiPlugin.options()),
}


@pytest.mark.parametrize("name", MAKERS)
class TestLaws(DrafterLaws):
    @pytest.fixture
    def make_drafter(self, name: str) -> MakeDrafter:
        return MAKERS[name]


def predicting(target: ToyTarget, prompt: Sequence[int]) -> Predict:
    """The target's greedy choices, behind every prefix of a window."""

    def predict(written: Sequence[int], window: Sequence[int]) -> list[int]:
        text = [*prompt, *written]
        return [int(target.row([*text, *window[:at]]).argmax()) for at in range(len(window) + 1)]

    return predict


def greedy(target: ToyTarget, prompt: Sequence[int], length: int) -> list[int]:
    return decode_with(target, None, prompt, length).output


GUESSES = st.lists(st.integers(0, V - 1), min_size=1, max_size=9)


@given(seed=st.integers(0, 50), guess=GUESSES, block=st.integers(0, 10))
def test_the_text_is_the_greedy_one_for_any_guess(seed: int, guess: list[int], block: int) -> None:
    """T1, and no pass without a token."""
    target = ToyTarget(V, seed)
    predict, expected = predicting(target, [1, 2]), greedy(target, [1, 2], len(guess))
    written, passes = decode(predict, guess, block)
    assert written == expected
    assert passes <= len(guess)
    assert decode(predict, expected, block)[1] == (1 if not block else -(-len(guess) // block)), "a fixed point"


@given(seed=st.integers(0, 50), guess=GUESSES)
def test_blocks_of_one_are_plain_decoding_and_one_block_is_all(seed: int, guess: list[int]) -> None:
    predict = predicting(ToyTarget(V, seed), [3, 1])
    assert decode(predict, guess, 1)[1] == len(guess)
    assert decode(predict, guess, len(guess)) == decode(predict, guess, 0)


@given(seed=st.integers(0, 50), guess=GUESSES)
def test_after_k_passes_k_tokens_are_certain_and_the_guess_is_the_iterate(seed: int, guess: list[int]) -> None:
    target = ToyTarget(V, seed)
    predict, expected = predicting(target, [0, 4]), greedy(target, [0, 4], len(guess))
    written: list[int] = []
    waiting, plain = guess, guess
    for done in range(1, len(guess) + 1):
        result = iterate(waiting[:-1] if len(waiting) > 0 else [], predict(written, waiting[:-1]))
        written, waiting = written + result.written, result.guess
        plain = [int(target.row([0, 4, *plain[:at]]).argmax()) for at in range(len(guess))]  # Jacobi as published
        assert written == expected[: len(written)]
        assert len(written) >= done
        assert (written + waiting)[: len(guess)] == plain, "what is accepted early changes no iterate"
        if len(written) == len(guess):
            break


def test_the_text_ends_where_the_target_ends_it() -> None:
    """The hybrid: a block of guessed length, cut at the end token, or gone on from one by one until it comes."""
    script = [3, 1, 4, 1, 0, 2, 2, 2]

    def predict(written: Sequence[int], window: Sequence[int]) -> list[int]:
        return [script[min(len(written) + at, 7)] for at in range(len(window) + 1)]

    for length in (1, 2, 3, 5, 8):
        written, passes = decode(predict, [9] * length, end=0, most=8)
        assert written == script[:5]
        assert passes <= 5
    assert decode(predict, [9, 9], end=7, most=4)[0] == script[:4]
    with pytest.raises(ValueError, match="predictions"):
        iterate([1], [1])


@given(seed=st.integers(0, 30), window=st.integers(1, 6), passes=st.integers(0, 12))
def test_thinking_is_greedy_text_and_guesses(seed: int, window: int, passes: int) -> None:
    target = ToyTarget(V, seed)
    rationale = think(predicting(target, [1, 1]), window, passes, lambda exact, guessed: 4 in (*exact, *guessed), 0)
    assert rationale.exact == greedy(target, [1, 1], len(rationale.exact))
    assert rationale.passes <= min(passes, len(rationale.exact))
    assert len(rationale.approximate) < window
    assert rationale.tokens == rationale.exact + rationale.approximate
    assert rationale.passes == passes or 4 in rationale.tokens
    with pytest.raises(ValueError, match="at least one"):
        think(predicting(target, [1, 1]), 0, 1, lambda exact, guessed: False, 0)


@settings(max_examples=40)
@given(seed=st.integers(0, 100), window=st.integers(1, 8), block=st.integers(0, 5))
def test_the_drafter_takes_the_passes_of_the_iteration(seed: int, window: int, block: int) -> None:
    """With a budget that leaves the window as it is, drafter and pure iteration write the same in as many steps."""
    target = ToyTarget(V, seed)
    answer = decode_with(target, JacobiDrafter(window, block), [1, 2, 3], 24, DraftBudget(16, 16))
    assert answer.output == greedy(target, [1, 2, 3], 24)
    predict, written, guess, steps = predicting(target, [1, 2, 3]), greedy(target, [1, 2, 3], 1), [], 1
    while len(written) < 24:
        size = min(window, window if not block else block - len(written) % block - 1)
        recent = [1, 2, 3, *written]
        pads = np.resize(recent[-(size - len(guess)) :], size - len(guess)).tolist() if size > len(guess) else []
        tried = (guess + pads)[:size][: 24 - len(written) - 1]
        result = iterate(tried, predict(written, tried))
        written, guess, steps = written + result.written, result.guess[:window], steps + 1
    assert answer.steps == steps


def view(tokens: list[int]) -> RequestView:
    return RequestView("r", np.array(tokens, np.int32), 2, scope="s")


def rows(tokens: list[int], predicted: list[int], parents: list[int] | None) -> VerifiedRows:
    ids = np.array([[token, 9] for token in predicted], np.int32)
    logprobs = np.zeros(ids.shape, np.float32)
    return VerifiedRows(np.array(tokens, np.int32), ids, logprobs, None if parents is None else np.array(parents))


@pytest.mark.parametrize("parents", [None, [-1, 0, 1, 2]])
def test_predictions_behind_the_wrong_guess_are_drafted(parents: list[int] | None) -> None:
    drafter, request = JacobiDrafter(3), view([1, 2])
    drafter.begin(request)
    request.tokens = np.array([1, 2, 5, 6], np.int32)
    # Pending 2, guesses 5, 7, 8: the target wrote 5, then 6 for the wrong 7, behind which it predicted 3 and 4.
    drafter.observe(request, [5, 6], rows([2, 5, 7, 8], [5, 6, 3, 4], parents))
    assert drafter.approximate("r") == [3, 4]
    assert drafter.draft(request, DraftBudget(2, 2)).token.tolist() == [3, 4]
    assert drafter.draft(request, DraftBudget(9, 9)).token.tolist() == [3, 4, 6], "filled by the text's last token"
    ahead = view([1, 2, 5, 6, 3])
    assert drafter.draft(ahead, DraftBudget(1, 1)).token.tolist() == [4], "a cascade asks beyond what was observed"
    request.tokens = np.append(request.tokens, np.int32(3))
    drafter.observe(request, [3], None)
    assert drafter.approximate("r") == [4], "an engine that shows nothing moves the window on"
    request.tokens = np.append(request.tokens, np.int32(9))
    drafter.observe(request, [9], None)
    assert drafter.approximate("r") == []
    drafter.observe(request, [1, 2, 3], rows([9, 1], [1, 2], parents and [-1, 0]))
    assert drafter.approximate("r") == [], "more was written than was drafted"


def test_a_tree_is_followed_along_its_first_branch() -> None:
    drafter, request = JacobiDrafter(4), view([1, 2, 5])
    drafter.begin(request)
    drafter.observe(request, [5], rows([2, 7, 8, 9], [5, 10, 11, 12], [-1, 0, 0, 1]))
    assert drafter.approximate("r") == [10, 12]


def test_wrong_sizes_are_refused() -> None:
    for window, block in ((0, 0), (1, -1)):
        with pytest.raises(ValueError, match="window"):
            JacobiDrafter(window, block)
