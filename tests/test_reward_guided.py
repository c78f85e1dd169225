"""Reward-guided acceptance: the law is the stated mixture, by enumeration; the loop stops when it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from test_verify_sampled import Scripted, Text

from latticework.speculative import reward_guided
from latticework.speculative.reward_guided import Answer, Step, Weight, write

CHEAP, LARGE = {"a": 0.5, "b": 0.3, "c": 0.2}, {"a": 0.1, "b": 0.2, "c": 0.7}
REWARD = {"a": 0.9, "b": 0.4, "c": 0.7}


class Writer:
    """Draws single-letter steps; the third step ends the answer."""

    def __init__(self, law: dict[str, float], chance: Scripted, steps: int = 3) -> None:
        self.law, self.chance, self.steps, self.calls = law, chance, steps, 0

    def __call__(self, texts: Sequence[str]) -> list[Step]:
        self.calls += 1
        letters = list(self.law)
        weights = np.array(list(self.law.values()))
        drawn = [letters[self.chance.draw(weights)] for _ in texts]
        return [Step(letter, text.count("|") + 1 == self.steps) for letter, text in zip(drawn, texts, strict=True)]


def score(steps: Sequence[tuple[str, str]]) -> list[float]:
    return [REWARD[step] for _, step in steps]


def outcomes(run: Callable[[Scripted], list[Answer]]) -> dict[tuple[str, ...], float]:
    """The law of the answers' texts, by every draw and coin."""
    law: dict[tuple[str, ...], float] = {}
    waiting: list[Text] = [()]
    while waiting:
        chance = Scripted(waiting.pop())
        texts = tuple(answer.text for answer in run(chance))
        law[texts] = law.get(texts, 0.0) + chance.weight
        waiting += chance.untaken
    return law


WEIGHTS = {
    "threshold": reward_guided.threshold(0.7),
    "constant": reward_guided.constant(0.25),
    "linear": reward_guided.clipped_linear(0.3, 0.8),
    "sigmoid": reward_guided.sigmoid(0.6, 8.0),
}


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("prompts", [1, 2])
def test_the_law_is_the_mixture(name: str, prompts: int) -> None:
    weight, steps = WEIGHTS[name], 2 if prompts == 1 else 1

    def run(chance: Scripted) -> list[Answer]:
        writers = (Writer(law, chance, steps) for law in (CHEAP, LARGE))
        return write(["?"] * prompts, *writers, score, weight, lambda share: chance.coin(0, share), separator="|")

    kept = sum(CHEAP[y] * weight(REWARD[y]) for y in CHEAP)
    one = {y: CHEAP[y] * weight(REWARD[y]) + (1 - kept) * LARGE[y] for y in CHEAP}
    if prompts == 1:
        expected = {(f"{a}|{b}",): one[a] * one[b] for a in one for b in one}
    else:
        expected = {(a, b): one[a] * one[b] for a in one for b in one}
    found = outcomes(run)
    assert {texts: mass for texts, mass in found.items() if mass > 0} == pytest.approx(expected, abs=1e-12)


def fixed(steps: Sequence[str], end: int = 99) -> Callable[[Sequence[str]], list[Step]]:
    def write_step(texts: Sequence[str]) -> list[Step]:
        return [Step(steps[text.count("|")], text.count("|") + 1 == end) for text in texts]

    return write_step


def never(share: float) -> bool:
    raise AssertionError("no coin is needed for a threshold")


def served(weight: Weight, **limits: int) -> Answer:
    cheap, large = fixed("abcabc", end=4), fixed("ABCABC", end=4)
    return write(["?"], cheap, large, score, weight, never, separator="|", **limits)[0]


def test_thresholds_from_draft_alone_to_target_alone() -> None:
    assert served(reward_guided.threshold(0.0)).text == "a|b|c|a"
    assert served(reward_guided.threshold(1.1)).text == "A|B|C|A"
    answer = served(reward_guided.threshold(0.5))
    assert answer.text == "a|B|c|a"
    assert answer.by_target == [False, True, False, False]
    shares = [sum(served(reward_guided.threshold(delta / 20)).by_target) for delta in range(23)]
    assert shares == sorted(shares)


def test_the_target_is_asked_for_rejected_steps_only() -> None:
    asked: list[list[str]] = []

    def large(texts: Sequence[str]) -> list[Step]:
        asked.append(list(texts))
        return [Step("A", True) for _ in texts]

    def cheap(texts: Sequence[str]) -> list[Step]:
        return [Step("b" if text == "q2" else "a", True) for text in texts]

    answers = write(["q1", "q2"], cheap, large, score, reward_guided.threshold(0.5), never)
    assert [answer.text for answer in answers] == ["a", "A"]
    assert asked == [["q2"]]


def test_limits() -> None:
    weight = reward_guided.threshold(0.5)
    short = served(weight, max_steps=2)
    assert (short.text, short.ended) == ("a|B|", False)
    impatient = served(weight, patience=3)
    assert impatient.text.count("|") == 3
    assert not impatient.ended
    done = served(weight)
    assert done.ended
    with pytest.raises(ValueError, match="below"):
        reward_guided.clipped_linear(0.5, 0.5)
