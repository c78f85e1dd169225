"""Whether an answer satisfies what it was constrained by, as another program than ours sees it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import regex

from integration.tests.client import Constraint
from latticework.bench.walks.judge import Judge


def fault(constraint: Constraint, text: str, *, finished: bool) -> str | None:
    """What is wrong with an answer; ``None``: nothing.

    Args:
        constraint: A JSON schema, an expression or a list of answers.
        text: The answer.
        finished: Whether it ended by itself. One that was cut off is judged as a beginning, where that can be said.
    """
    kind, payload = constraint
    match kind:
        case "json":
            return _judge(_Key(payload)).fault(text.encode()) if finished else None
        case "regex":
            # ECMA-262's \d is ASCII.
            matches = regex.fullmatch(payload, text, regex.ASCII, partial=not finished)
            return None if matches else f"{text!r} does not match {payload!r}"
        case "choice":
            fits = text in payload if finished else any(answer.startswith(text) for answer in payload)
            return None if fits else f"{text!r} is none of the answers"
    raise ValueError(f"answers under a constraint of kind {kind!r} cannot be judged")


class _Key:
    """A schema as a key: the same object is the same schema."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.schema is self.schema


@lru_cache(maxsize=64)
def _judge(key: _Key) -> Judge:
    return Judge(key.schema)
