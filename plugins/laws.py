"""The laws every logits processor must satisfy, as a test class for whoever implements one.

Subclass and provide the fixture; pytest runs every law against the implementation::

    class TestMyProcessor(ProcessorLaws):
        @pytest.fixture
        def processor(self): return MyPlugin().create(MyOptions())
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch

from latticework.plugins.base import Processor, ProcessorSession

_SEEDS = range(8)
_SIZE = 11  # vocabulary: small, so that texts repeat
_PROMPT = [1, 2, 3, 1, 2]


class ProcessorLaws:
    """Laws of :class:`latticework.plugins.base.Processor` and its sessions. Fixture: ``processor``."""

    @pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
    def dtype(self, request: pytest.FixtureRequest) -> torch.dtype:
        """Of the logits."""
        dtype: torch.dtype = request.param
        return dtype

    def test_forbidden_tokens_stay_forbidden_and_one_is_left(self, processor: Processor, dtype: torch.dtype) -> None:
        for seed in _SEEDS:
            chance = random.Random(seed)
            session = processor.begin(_PROMPT)
            for _ in range(20):
                logits = _row(chance, dtype)
                forbidden = torch.isinf(logits)
                session.apply(logits)
                assert torch.isneginf(logits[forbidden]).all(), "a forbidden token came back"
                assert torch.isfinite(logits).any(), "nothing is left"
                session.advance([chance.randrange(_SIZE)])

    def test_applying_twice_to_the_same_row_gives_the_same(self, processor: Processor, dtype: torch.dtype) -> None:
        """Applying does not count as writing."""
        for seed in _SEEDS:
            session = processor.begin(_PROMPT)
            session.advance(_text(seed, 15))
            first, second = _row(random.Random(seed), dtype), _row(random.Random(seed), dtype)
            session.apply(first)
            session.apply(second)
            assert torch.equal(first, second)

    def test_rollback_equals_never_written(self, processor: Processor) -> None:
        """After any walk of advances and rollbacks the session behaves as a fresh one over the same text."""
        for seed in _SEEDS:
            chance = random.Random(seed)
            session, text = processor.begin(_PROMPT), list[int]()
            for _ in range(30):
                if text and chance.random() < 0.45:
                    count = chance.randint(1, min(4, len(text)))
                    session.rollback(count)
                    del text[-count:]
                else:
                    more = [chance.randrange(_SIZE) for _ in range(chance.randint(1, 4))]
                    session.advance(more)
                    text += more
                assert _behaviour(session, seed) == _behaviour(_replay(processor, text), seed)

    def test_advancing_in_pieces_equals_at_once(self, processor: Processor) -> None:
        for seed in _SEEDS:
            text = _text(seed, 20)
            session = processor.begin(_PROMPT)
            for token in text:
                session.advance([token])
            assert _behaviour(session, seed) == _behaviour(_replay(processor, text), seed)

    def test_sessions_are_independent(self, processor: Processor) -> None:
        first, second = processor.begin(_PROMPT), processor.begin(_PROMPT)
        before = _behaviour(second, 0)
        first.advance(_text(1, 20))
        assert _behaviour(second, 0) == before


def _row(chance: random.Random, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """``dtype[V]`` with some tokens forbidden, never all; values from a coarse grid, so that ties occur."""
    row = torch.tensor([chance.randint(-6, 6) / 2 for _ in range(_SIZE)], dtype=dtype)
    row[chance.sample(range(_SIZE), chance.randint(0, _SIZE - 1))] = -torch.inf
    return row


def _text(seed: int, length: int) -> list[int]:
    chance = random.Random(seed)
    return [chance.randrange(_SIZE) for _ in range(length)]


def _replay(processor: Processor, text: Sequence[int]) -> ProcessorSession:
    session = processor.begin(_PROMPT)
    session.advance(text)
    return session


def _behaviour(session: ProcessorSession, seed: int) -> list[list[float]]:
    """What it makes of a few rows."""
    chance = random.Random(seed)
    results: list[list[float]] = []
    for _ in range(4):
        row = _row(chance)
        session.apply(row)
        results.append(row.tolist())
    return results
