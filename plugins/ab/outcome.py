"""What came of one request, as far as arms are compared by it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a request ended."""

    OK = "ok"
    #: The server failed, or could not keep the constraint any further.
    ERROR = "error"
    #: A 400: what was asked for cannot be served.
    REFUSED = "refused"
    #: The client left.
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Outcome:
    """One request.

    Attributes:
        result: How it ended.
        seconds: From its arrival in the server to its end.
        first_token: Seconds to the first token; ``None`` if nobody saw it.
        tokens: Of the answer.
        prompt_tokens: Of the prompt.
        constrained: Whether the answer had to satisfy a constraint.
        complete: Whether a constrained answer ended where its constraint let it end. One that was cut off by a limit or
            by a stop text is not complete: a client cannot parse it.
        finish: The engine's reason.
    """

    result: Result
    seconds: float
    first_token: float | None = None
    tokens: int = 0
    prompt_tokens: int = 0
    constrained: bool = False
    complete: bool = True
    finish: str = ""

    @property
    def tokens_per_second(self) -> float | None:
        """Of the whole request, its prompt included; ``None`` where nothing was written."""
        return self.tokens / self.seconds if self.tokens and self.seconds > 0 else None
