"""Our matchers behind vLLM's two interfaces. Imported only where vLLM's grammar manager lives (the engine process).

A constraint that cannot be enforced any further ends its request, never the engine
(:mod:`latticework.plugins.enforcing`): vLLM fails a request whose tokens are not accepted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from vllm.v1.structured_output.backend_types import (
    StructuredOutputBackend,
    StructuredOutputGrammar,
    StructuredOutputOptions,
)

from latticework.adapters.vllm.compiling import spec_of_key
from latticework.plugins.enforcing import Enforcement
from latticework.plugins.legal_counts import CountingEnforcement
from latticework.plugins.options import RequestOptions
from latticework.plugins.vocabularies import compile_constraint, warm_up
from latticework.structured import CompiledGrammar, LatticeworkError
from latticework.structured.bitmask import words
from latticework.structured.errors import one_line

if TYPE_CHECKING:
    from vllm.config import VllmConfig

logger = logging.getLogger("latticework.vllm")


class LatticeworkBackend(StructuredOutputBackend):  # type: ignore[misc]
    """The engine's grammar backend. ``vocab_size`` is the width of the model's logits."""

    def __init__(self, vllm_config: VllmConfig, tokenizer: Any, vocab_size: int) -> None:
        self.vllm_config = vllm_config
        self.tokenizer = tokenizer
        self.vocab_size = vocab_size

    def compile_grammar(
        self,
        request_type: StructuredOutputOptions,
        grammar_spec: str,
        stop_token_ids: Iterable[int] | None = None,
        *,
        options: RequestOptions | None = None,
    ) -> LatticeworkGrammar:
        """vLLM's interface, and beside it the options of the request.

        Args:
            request_type, grammar_spec: The constraint.
            stop_token_ids: End tokens, the request's own among them: masked until the text may end, then allowed.
            options: The request's; default: the deployment's.
        """
        spec = spec_of_key(request_type, grammar_spec)
        ends = stop_token_ids or ()
        compiled = compile_constraint(spec, self.tokenizer, self.vocab_size, options, end_ids=ends)
        return LatticeworkGrammar(compiled, counted=options is not None and options.trace)

    def allocate_token_bitmask(self, max_num_seqs: int) -> torch.Tensor:
        """``int32[rows, ceil(V/32)]``, everything allowed."""
        return torch.full((max_num_seqs, words(self.vocab_size)), -1, dtype=torch.int32)

    def destroy(self) -> None:
        """Nothing is held here: vocabularies and grammars live as long as the process."""

    def warm_up(self) -> None:
        """Prepare for the first request; a tokenizer or limits that cannot work are said once, here."""
        try:
            warm_up(self.tokenizer, self.vocab_size)
        except LatticeworkError as error:
            logger.error(
                "latticework could not prepare for structured outputs; requests will be told the same: %s", error
            )


class LatticeworkGrammar(StructuredOutputGrammar):  # type: ignore[misc]
    """One request's position in its grammar. See :class:`latticework.plugins.enforcing.Enforcement`.

    Args:
        compiled: The grammar.
        counted: Count what the masks allow, for the request's trace.
    """

    def __init__(self, compiled: CompiledGrammar, *, counted: bool = False) -> None:
        self._compiled, self._counted = compiled, counted
        self.reset()

    @property
    def counting(self) -> CountingEnforcement | None:
        """What was counted, if that was asked for."""
        return self._enforcement if isinstance(self._enforcement, CountingEnforcement) else None

    @property
    def failure(self) -> str | None:
        """Why the request was ended; ``None`` while all is well."""
        return self._enforcement.failure

    def accept_tokens(self, request_id: str, tokens: list[int]) -> bool:
        """Advance; ``False`` ends the request. What follows an end token is ignored, as in vLLM's own backends."""
        for token in tokens:
            if self._enforcement.finished:
                break
            if not self._enforcement.accept(token):
                logger.error("request %s: %s", one_line(request_id), one_line(self.failure))
                return False
        return True

    def validate_tokens(self, tokens: list[int]) -> list[int]:
        """The longest prefix of ``tokens`` that would be accepted."""
        return tokens[: self._enforcement.count_valid(tokens)]

    def rollback(self, num_tokens: int) -> None:
        """Undo drafted tokens."""
        self._enforcement.rollback(num_tokens)

    def fill_bitmask(self, bitmask: torch.Tensor, batch_index: int) -> None:
        """Write the mask of this position into row ``batch_index`` of ``bitmask`` (``int32[rows, ceil(V/32)]``)."""
        self._enforcement.fill(bitmask[batch_index].numpy())

    def is_terminated(self) -> bool:
        """Whether an end token was accepted."""
        return self._enforcement.finished

    def reset(self) -> None:
        """Back to the start."""
        position = Enforcement(self._compiled)
        self._enforcement = CountingEnforcement(position) if self._counted else position
