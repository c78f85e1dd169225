"""Grammars that depend on a request's input: what a plugin is told of the request, and what it must give.

An engine's adapter sees a request after its chat template is applied, so there is a prompt, as text, as tokens or both,
and no list of messages any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from latticework.structured.errors import LatticeworkError
from latticework.structured.spec import GrammarSpec


@dataclass(frozen=True)
class RequestInput:
    """The input of one request.

    Attributes:
        text: The prompt as the client sent it, if it came as text.
        token_ids: The prompt's tokens, if they are known by now.
        decode: Tokens to text, special tokens kept; ``None`` where the server has no tokenizer.
    """

    text: str | None = None
    token_ids: Sequence[int] | None = None
    decode: Callable[[Sequence[int]], str] | None = None

    @cached_property
    def prompt(self) -> str:
        """The prompt as text. Raises ``LatticeworkError`` if there is no way to have it."""
        if self.text is not None:
            return self.text
        if self.token_ids is None or self.decode is None:
            raise LatticeworkError("prompt", "has no text that a grammar could be made of")
        return self.decode(self.token_ids)


class InputGrammar(Protocol):
    """What the factory of a grammar plugin creates: a function from inputs to constraints, without any state."""

    def grammar(self, request: RequestInput) -> GrammarSpec:
        """The constraint of one request.

        Raises:
            LatticeworkError: The input is not what the plugin needs; ``field`` names the option that would help.
        """
        ...
