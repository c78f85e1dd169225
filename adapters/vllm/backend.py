"""Our matchers behind vLLM's two interfaces. Imported only where vLLM's grammar manager lives (the engine process).

An exception in a mask would end the engine process, and with it every request. So nothing raises here: a position whose
mask cannot be computed gets one that allows end tokens only, and is remembered; whatever is then sampled there is not
accepted, vLLM ends that one request with an error, and :attr:`LatticeworkGrammar.failure` says why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from vllm.v1.structured_output.backend_types import (
    StructuredOutputBackend,
    StructuredOutputGrammar,
    StructuredOutputOptions,
)

from latticework.adapters.vllm.compiling import compile_spec, spec_of_key, warm_up
from latticework.plugins.base import Role
from latticework.plugins.guard import isolatable, report
from latticework.plugins.options import AUTO_ENGINE
from latticework.structured import CompiledGrammar, LatticeworkError, Matcher
from latticework.structured.bitmask import Bitmask, set_bit, words

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
        engine: str = AUTO_ENGINE,
    ) -> LatticeworkGrammar:
        """vLLM's interface, and beside it the engine that the request chose.

        Args:
            request_type, grammar_spec: The constraint.
            stop_token_ids: End tokens, the request's own among them: masked until the text may end, then allowed.
            engine: Name of a grammar engine, or ``auto``.
        """
        spec = spec_of_key(request_type, grammar_spec)
        ends = stop_token_ids or ()
        return LatticeworkGrammar(compile_spec(spec, self.tokenizer, self.vocab_size, end_ids=ends, engine=engine))

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
    """One request's position in its grammar.

    Attributes:
        failure: Why the request was ended; ``None`` while all is well.
    """

    def __init__(self, compiled: CompiledGrammar) -> None:
        self.failure: str | None = None
        self._compiled = compiled
        self._matcher: Matcher = compiled.matcher()
        self._tokens: list[int] = []
        self._dead_end: tuple[list[int], str] | None = None

    def accept_tokens(self, request_id: str, tokens: list[int]) -> bool:
        """Advance; ``False`` ends the request. What follows an end token is ignored, as in vLLM's own backends."""
        for token in tokens:
            if self._matcher.finished:
                break
            if not self._accept(token):
                logger.error("request %s: %s", request_id, self.failure)
                return False
        return True

    def validate_tokens(self, tokens: list[int]) -> list[int]:
        """The longest prefix of ``tokens`` that would be accepted."""
        try:
            return tokens[: self._matcher.count_valid(tokens)]
        except BaseException as error:
            if not isolatable(error):
                raise
            report(Role.ENGINE, self._compiled.engine, error, "the draft is dropped")
            return []

    def rollback(self, num_tokens: int) -> None:
        """Undo drafted tokens."""
        if num_tokens:
            self._matcher.rollback(num_tokens)
            del self._tokens[-num_tokens:]

    def fill_bitmask(self, bitmask: torch.Tensor, batch_index: int) -> None:
        """Write the mask of this position into row ``batch_index`` of ``bitmask`` (``int32[rows, ceil(V/32)]``)."""
        row: Bitmask = bitmask[batch_index].numpy()
        try:
            self._fill(row)
        except BaseException as error:
            if not isolatable(error):
                raise
            report(Role.ENGINE, self._compiled.engine, error, "one request ends here with an error")
            self._dead_end = (self._tokens.copy(), f"{type(error).__name__}: {error}")
            row.fill(0)
            for token_id in self._compiled.vocabulary.eos_ids:
                if token_id < 32 * len(row):
                    set_bit(row, token_id)

    def is_terminated(self) -> bool:
        """Whether an end token was accepted."""
        return self._matcher.finished

    def reset(self) -> None:
        """Back to the start."""
        self._matcher = self._compiled.matcher()
        self._tokens.clear()
        self._dead_end = self.failure = None

    def _accept(self, token: int) -> bool:
        if self._dead_end is not None and self._dead_end[0] == self._tokens:
            self.failure = f"the constraint could not be enforced any further ({self._dead_end[1]})"
            return False
        try:
            accepted = self._matcher.accept(token)
        except BaseException as error:
            if not isolatable(error):
                raise
            report(Role.ENGINE, self._compiled.engine, error, "one request ends here with an error")
            self.failure = f"the constraint could not be followed ({type(error).__name__}: {error})"
            return False
        if not accepted:
            self.failure = f"token {token} was written although the constraint forbids it"
            return False
        self._tokens.append(token)
        return True

    def _fill(self, row: Bitmask) -> None:
        width = words(self._compiled.vocabulary.size)
        if len(row) >= width:
            self._matcher.fill_bitmask(row)
            return
        # A tokenizer may know more tokens than the model has logits for.
        whole = np.zeros(width, np.int32)
        self._matcher.fill_bitmask(whole)
        row[:] = whole[: len(row)]
