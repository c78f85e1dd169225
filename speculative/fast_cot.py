"""FastCoT: thinking cut short, with what is known of the rest only approximately.

**Lossy**: the answer is written after a rationale whose last tokens are guesses of the target, not its text. Each pass
reads a window of approximate tokens behind the exact ones, as :mod:`~latticework.speculative.jacobi` does: those that
agree become exact, the others are predicted anew. The rationale ends when it is done or its passes are spent; exact and
approximate tokens together are then what the answer is asked after. Without the approximate ones, and with enough
passes, the text is the greedy one.

Source: speculative spec, section 5, FastCoT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from latticework.speculative.jacobi import Predict, iterate


@dataclass(frozen=True)
class Rationale:
    """What was thought: certain tokens, guesses of what follows them, and how many passes it took."""

    exact: list[int]
    approximate: list[int]
    passes: int

    @property
    def tokens(self) -> list[int]:
        """What the answer is asked after."""
        return self.exact + self.approximate


def think(
    predict: Predict, window: int, passes: int, done: Callable[[Sequence[int], Sequence[int]], bool], pad: int
) -> Rationale:
    """Think for at most so many passes.

    Args:
        predict: The target, after the prompt.
        window: Positions of a pass, the pending token's among them; 1 is plain decoding.
        passes: Most passes.
        done: Whether exact and approximate tokens are enough: the end token or the answer is in either, say.
        pad: Stands where nothing is guessed yet.

    Raises:
        ValueError: There is no position to read.
    """
    if window < 1:
        raise ValueError(f"a window has at least one position, got {window}")
    exact: list[int] = []
    approximate: list[int] = []
    taken = 0
    while taken < passes and not done(exact, approximate):
        guess = (approximate + [pad] * (window - 1))[: window - 1]
        result = iterate(guess, predict(exact, guess))
        exact, approximate = exact + result.written, result.guess
        taken += 1
    return Rationale(exact, approximate, taken)
