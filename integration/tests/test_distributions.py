"""The instrument that judges sampled speculation is itself tested: it must see real differences and not invent any."""

from __future__ import annotations

import numpy as np

from integration.tests.distributions import compare

P = np.array([0.4, 0.3, 0.2, 0.1])


def _draws(probabilities: np.ndarray, count: int, generator: np.random.Generator) -> list[list[int]]:
    return [[int(token)] for token in generator.choice(len(probabilities), size=count, p=probabilities)]


def test_a_real_difference_is_seen() -> None:
    generator = np.random.default_rng(1)
    shifted = 0.8 * P + 0.2 * np.array([0.0, 0.0, 0.0, 1.0])
    result = compare(_draws(P, 400, generator), _draws(shifted, 400, generator), 1)
    assert result.p_value < 0.001


def test_false_alarms_are_as_rare_as_stated() -> None:
    generator = np.random.default_rng(2)
    values = [
        compare(_draws(P, 200, generator), _draws(P, 200, generator), 1, permutations=200).p_value for _ in range(200)
    ]
    assert np.mean(np.array(values) <= 0.05) < 0.1
