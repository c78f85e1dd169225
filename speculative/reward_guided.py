"""Reward-guided acceptance: a cheap model writes step by step, the large one anew what a reward model dislikes.

**Lossy**: the law of a step is neither model's but their mixture, ``m(y) w(r(y)) + (1 - A) M(y)`` with ``A`` the chance
that the cheap model's step is kept. Models and scorer exchange *text*, because their tokenizers may differ; inside the
large model's step ordinary, lossless speculation may be used.

Source: speculative spec, section 9.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: The chance that a step of some reward is kept.
Weight = Callable[[float], float]
#: Rewards of steps, each with the text before it: ``[(before, step), ...]`` to one number in ``[0, 1]`` each.
Scorer = Callable[[Sequence[tuple[str, str]]], Sequence[float]]
#: Heads with the given probability.
Coin = Callable[[float], bool]


@dataclass(frozen=True)
class Step:
    """What a model wrote: the text up to the separator (left out) or its end; ``ended``: it did not stop for that."""

    text: str
    ended: bool = False


class StepWriter(Protocol):
    """A model that writes one step after each of some texts: up to the separator, its end, or a limit."""

    def __call__(self, texts: Sequence[str]) -> Sequence[Step]:
        """One step each."""
        ...


@dataclass
class Answer:
    """One request's text so far.

    Attributes:
        prompt: What was asked.
        text: What was written.
        by_target: For each step, whether the large model wrote it.
        ended: Whether the model that wrote the last step ended the text there.
    """

    prompt: str
    text: str = ""
    by_target: list[bool] = field(default_factory=list)
    ended: bool = False


def threshold(delta: float) -> Weight:
    """Keep what is rewarded with ``delta`` or more: best for its compute of the weights that were tried."""
    return lambda reward: 1.0 if reward >= delta else 0.0


def constant(chance: float) -> Weight:
    """Keep each step with the same chance, whatever its reward."""
    return lambda reward: chance


def clipped_linear(low: float, high: float) -> Weight:
    """From never, at ``low`` and below, to always, at ``high`` and above."""
    if not low < high:
        raise ValueError(f"low must be below high, got {low} and {high}")
    return lambda reward: min(1.0, max(0.0, (reward - low) / (high - low)))


def sigmoid(middle: float, sharpness: float) -> Weight:
    """A soft threshold at ``middle``."""
    return lambda reward: 1.0 / (1.0 + math.exp(-sharpness * (reward - middle)))


def write(
    prompts: Sequence[str],
    draft: StepWriter,
    target: StepWriter,
    score: Scorer,
    weight: Weight,
    coin: Coin,
    *,
    separator: str = "\n\n",
    max_steps: int = 100,
    patience: int = 5,
) -> list[Answer]:
    """Write answers to a batch of prompts.

    Each round the cheap model writes a step of every answer that goes on, all are scored, and the large model writes
    anew those that were not kept.

    Args:
        prompts: One a request.
        draft: The cheap model.
        target: The large one.
        score: The reward model. It sees prompt and answer so far, and the step.
        weight: Decides by the reward.
        coin: Decides where the weight is neither 0 nor 1.
        separator: Stands between two steps.
        max_steps: Most steps of an answer.
        patience: After so many rounds in which no answer ended, all are left as they are.
    """
    answers = [Answer(prompt) for prompt in prompts]
    idle = 0
    while (going := [a for a in answers if not a.ended and len(a.by_target) < max_steps]) and idle < patience:
        before = [answer.prompt + answer.text for answer in going]
        steps = list(draft(before))
        rewards = score([(text, step.text) for text, step in zip(before, steps, strict=True)])
        rejected = [i for i, reward in enumerate(rewards) if not _kept(weight(reward), coin)]
        if rejected:
            for i, step in zip(rejected, target([before[i] for i in rejected]), strict=True):
                steps[i] = step
        for i, (answer, step) in enumerate(zip(going, steps, strict=True)):
            answer.text += step.text if step.ended else step.text + separator
            answer.ended = step.ended
            answer.by_target.append(i in rejected)
        idle = 0 if any(answer.ended for answer in going) else idle + 1
    return answers


def _kept(chance: float, coin: Coin) -> bool:
    return chance >= 1.0 or (chance > 0.0 and coin(chance))
