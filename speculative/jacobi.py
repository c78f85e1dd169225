"""Jacobi decoding: the target's own predictions behind a wrong guess are the next guess.

Greedy decoding is a fixed-point problem. A window of guesses is read in one pass; what the target predicts at each of
its positions is right as far as the guesses before it are, and is a better guess behind that. No drafter, no memory, no
training: only an engine that shows what the target predicted at *rejected* positions.

A pass here writes all that is confirmed and the one token that corrects it, instead of waiting until a whole block has
stopped changing, so no pass only confirms. Two layouts of the window: sliding (plain Jacobi, FastCoT's window), or
ending with a block of fixed size (Gauss-Seidel-Jacobi: parallel within a block, one block after another).

Source: speculative spec, section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from latticework.speculative.combine import append
from latticework.speculative.draft import EMPTY_DRAFT, Draft, DraftKind
from latticework.speculative.drafter import (
    DraftBudget,
    Drafter,
    RequestView,
    VerifiedRows,
    accepted_rows,
    read_prompt,
    verified_hidden,
    verified_prompt,
    verified_top_k,
)

NAME = "jacobi"

#: What the target writes after a text, and after each token of a window of guesses behind it: ``(written, window)`` to
#: ``len(window) + 1`` tokens, from one pass.
Predict = Callable[[Sequence[int], Sequence[int]], Sequence[int]]


@dataclass(frozen=True)
class Pass:
    """What one reading of a window gained: tokens that are now certain, and the guess of what follows them."""

    written: list[int]
    guess: list[int]


def iterate(guess: Sequence[int], predicted: Sequence[int]) -> Pass:
    """One Jacobi iteration.

    Args:
        guess: ``m`` tokens that were assumed to follow the pending one.
        predicted: ``m + 1`` tokens, what the target writes after the pending token and after each guess.

    Raises:
        ValueError: The lengths do not belong together.
    """
    if len(predicted) != len(guess) + 1:
        raise ValueError(f"{len(guess)} guesses have {len(guess) + 1} predictions, not {len(predicted)}")
    right = 0
    while right < len(guess) and guess[right] == predicted[right]:
        right += 1
    return Pass(list(predicted[: right + 1]), list(predicted[right + 1 :]))


def decode(
    predict: Predict, guess: Sequence[int], block: int = 0, end: int | None = None, most: int = 0
) -> tuple[list[int], int]:
    """Write as many tokens as are guessed, by Jacobi iterations; the text is the greedy one whatever the guess.

    Args:
        predict: The target.
        guess: Any tokens.
        block: Windows end with a block of so many tokens, which are written one block after another; 0: one block.
        end: A token that ends the text.
        most: Where that has not come with the last guess, up to so many tokens are written one by one until it does.

    Returns:
        The tokens, and how many passes they took: one a token at most.
    """
    written: list[int] = []
    waiting, passes = list(guess), 0
    length = len(guess) if end is None else max(len(guess), most)
    while len(written) < length and end not in written:
        stop = len(guess) if block <= 0 else min(len(guess), (len(written) // block + 1) * block)
        window = waiting[: max(0, stop - len(written) - 1)]
        result = iterate(window, predict(written, window))
        waiting = result.guess + waiting[len(window) + 1 :]
        written += result.written
        passes += 1
    if end is not None and end in written:
        written = written[: written.index(end) + 1]
    return written, passes


@dataclass(frozen=True, slots=True)
class _Guess:
    """What is guessed to follow the first ``length`` tokens of a request."""

    length: int
    tokens: list[int]

    def after(self, request: RequestView) -> list[int]:
        """What is left of it after the request's tokens; nothing where they went another way."""
        more = request.tokens[self.length :].tolist()
        return self.tokens[len(more) :] if self.tokens[: len(more)] == more else []


class JacobiDrafter:
    """Drafts a window of the target's own predictions as a chain.

    What the predictions leave open is filled by another drafter if there is one, and otherwise by the text's last
    tokens: surely poor guesses, but what the target predicts behind them is the next ones.

    Args:
        window: Most tokens of a draft.
        block: The window ends with a block of so many output tokens; 0: it slides.
        filler: A deterministic drafter that goes on from the predictions.
    """

    def __init__(self, window: int = 8, block: int = 0, filler: Drafter | None = None) -> None:
        if window < 1 or block < 0:
            raise ValueError(f"need a window of at least one token and no negative block, got {window} and {block}")
        self._window, self._block, self._filler = window, block, filler
        self.verified_top_k = max(1, verified_top_k(filler))
        self.verified_hidden, self.verified_prompt = verified_hidden(filler), verified_prompt(filler)
        self._guesses: dict[str, _Guess] = {}

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        self._guesses[request.request_id] = _Guess(len(request.tokens), [])
        if self._filler is not None:
            self._filler.begin(request)

    def read_prompt(self, request: RequestView, shown: VerifiedRows, start: int) -> None:
        """See :func:`~latticework.speculative.drafter.read_prompt`."""
        read_prompt(self._filler, request, shown, start)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        known = self._guesses.get(request.request_id)
        if known is not None:
            if verified is not None and len(verified.token):
                tokens = _behind(verified, committed)
            else:
                tokens = known.after(request)
            self._guesses[request.request_id] = _Guess(len(request.tokens), tokens[: self._window])
        if self._filler is not None:
            self._filler.observe(request, committed, verified)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        guess = self._guesses.get(request.request_id)
        length = min(budget.max_nodes, budget.max_depth, self._window, self._left_of_block(request))
        if guess is None or length <= 0 or not len(request.tokens):
            return EMPTY_DRAFT
        chain = Draft.chain(guess.after(request)[:length], origin=NAME)
        if self._filler is not None:
            return append(chain, self._filled(self._filler, request, chain, length - len(chain)))
        missing = length - len(chain)
        recent = request.tokens[-missing:] if missing else request.tokens[:0]
        repeats = np.resize(recent, missing) if missing else recent
        return Draft.chain(np.concatenate((chain.token, repeats)), origin=NAME)

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        self._guesses.pop(request.request_id, None)
        if self._filler is not None:
            self._filler.end(request)

    def approximate(self, request_id: str) -> list[int]:
        """What the target would write next as far as it is known: FastCoT's approximate tokens."""
        known = self._guesses.get(request_id)
        return [] if known is None else list(known.tokens)

    def _left_of_block(self, request: RequestView) -> int:
        """How many tokens may be drafted; the target itself writes the block's last one."""
        if not self._block:
            return self._window
        return self._block - (len(request.tokens) - request.prompt_length) % self._block - 1

    @staticmethod
    def _filled(filler: Drafter, request: RequestView, chain: Draft, length: int) -> Draft:
        if length <= 0:
            return EMPTY_DRAFT
        tokens = np.concatenate((request.tokens, chain.token)).astype(np.int32)
        view = RequestView(request.request_id, tokens, request.prompt_length, scope=request.scope)
        more = filler.draft(view, DraftBudget(length, length, branching=False))
        return more if more.kind is DraftKind.DETERMINISTIC and more.is_chain else EMPTY_DRAFT


def _behind(verified: VerifiedRows, committed: Sequence[int]) -> list[int]:
    """The target's predictions behind the position that wrote the last committed token, along the rejected chain."""
    parent = verified.parent if verified.parent is not None else np.arange(-1, len(verified.token) - 1, dtype=np.int32)
    accepted = accepted_rows(replace(verified, parent=parent), committed)
    predicted: list[int] = []
    if len(accepted) < len(committed):  # more was written than was drafted
        return predicted
    at = accepted[-1]
    while len(below := np.flatnonzero(parent == at)):
        at = int(below[0])
        predicted.append(int(verified.top_ids[at, 0]))
    return predicted
