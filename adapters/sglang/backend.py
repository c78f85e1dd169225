"""Our matchers behind SGLang's grammar interfaces. Imported only where grammars live (the scheduler process).

An exception in a mask would end the scheduler, and with it every request; :class:`Enforcement` sees to it that one
request ends instead, through the ``ValueError`` that SGLang expects from ``accept_token``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
import xgrammar
from sglang.srt.constrained.base_grammar_backend import (
    BaseGrammarBackend,
    BaseGrammarObject,
    GrammarRow,
    InvalidGrammarObject,
)
from sglang.srt.constrained.reasoner_grammar_backend import ReasonerGrammarBackend
from sglang.srt.constrained.torch_ops.token_filter_torch_ops import set_token_filter_torch
from sglang.srt.parser.reasoning_parser import ReasoningParser
from sglang.srt.runtime_context import get_serving

from latticework.adapters.sglang.compiling import end_ids, spec_of_key
from latticework.plugins.enforcing import Enforcement
from latticework.plugins.legal_counts import CountingEnforcement
from latticework.plugins.options import RequestOptions, compile_options
from latticework.plugins.requests import compile_threads
from latticework.plugins.vocabularies import compile_constraint, warm_up
from latticework.structured import LatticeworkError
from latticework.structured.bitmask import words
from latticework.structured.errors import one_line

if TYPE_CHECKING:
    from sglang.srt.sampling.sampling_params import SamplingParams

    from latticework.structured import CompiledGrammar

logger = logging.getLogger("latticework.sglang")

#: Grammars SGLang keeps as templates of new requests; its own backends keep all. What falls out is compiled again, or
#: found in the process-wide cache of compiled grammars.
_TEMPLATES = 256
_MARK = "\x01"


class LatticeworkGrammar(BaseGrammarObject):  # type: ignore[misc]
    """One request's position in its grammar. Masks are ``int32[rows, ceil(V/32)]`` on the host."""

    def __init__(self, position: Enforcement) -> None:
        super().__init__()
        self._position = position

    @property
    def compiled(self) -> CompiledGrammar:
        """The grammar, for whoever drafts within it."""
        return self._position.compiled

    @property
    def counting(self) -> CountingEnforcement | None:
        """What was counted, if :meth:`count` was called."""
        return self._position if isinstance(self._position, CountingEnforcement) else None

    def count(self) -> None:
        """Count what the masks allow from here, the start, on: for the request's trace."""
        self._position = CountingEnforcement(self._position)

    def accept_token(self, token: int) -> None:
        """Advance. Raises ``ValueError``, with which SGLang ends this one request."""
        if self._position.finished:
            return
        self.current_token = token
        if not self._position.accept(token):
            raise ValueError(self._position.failure)

    def rollback(self, k: int) -> None:
        """Undo the last ``k`` accepted tokens."""
        self._position.rollback(k)

    def is_terminated(self) -> bool:
        """Whether an end token was accepted."""
        return self._position.finished

    def fill_vocab_mask(self, vocab_mask: torch.Tensor, idx: int) -> None:
        """Write the mask of this position into row ``idx``."""
        self._position.fill(vocab_mask[idx].numpy())

    @staticmethod
    def fill_vocab_mask_batched(entries: list[GrammarRow], vocab_mask: torch.Tensor) -> None:
        """Fill the listed rows; the others stay as they are."""
        rows = vocab_mask.numpy()
        for row, grammar in entries:
            if isinstance(grammar, LatticeworkGrammar):
                grammar._position.fill(rows[row])
            else:
                grammar.fill_vocab_mask(vocab_mask, row)

    def copy(self) -> LatticeworkGrammar:
        """An independent one at the same position."""
        return LatticeworkGrammar(self._position.fork())

    def try_jump_forward(self, tokenizer: Any) -> tuple[list[int], str] | None:
        """What the grammar forces from here: ``(token ids, "")``."""
        forced = self._position.forced_tokens()
        return (forced, "") if forced else None

    def jump_forward_str_state(self, helper: tuple[list[int], str]) -> tuple[str, int]:
        """Forced text is given as tokens, so there is no string to jump over."""
        return "", -1

    def jump_and_retokenize(self, old_output_ids: list[int], new_output_ids: list[int], next_state: int) -> None:
        """Follow a retokenization: back to where the two texts part, and along the new one."""
        shared = 0
        for old, new in zip(old_output_ids, new_output_ids, strict=False):
            if old != new:
                break
            shared += 1
        self.rollback(len(old_output_ids) - shared)
        for token in new_output_ids[shared:]:
            self.accept_token(token)

    @staticmethod
    def allocate_vocab_mask(vocab_size: int, batch_size: int, device: Any) -> torch.Tensor:
        """A mask that allows everything."""
        return torch.full((batch_size, words(vocab_size)), -1, dtype=torch.int32)

    @staticmethod
    def reset_vocab_mask(vocab_mask: torch.Tensor) -> None:
        """Allow everything."""
        vocab_mask.fill_(-1)

    @staticmethod
    def move_vocab_mask(vocab_mask: torch.Tensor, device: Any) -> torch.Tensor:
        """The mask where the logits are."""
        return vocab_mask.to(device, non_blocking=True)

    @staticmethod
    def apply_vocab_mask(logits: torch.Tensor, vocab_mask: torch.Tensor) -> None:
        """Forbid in ``logits`` (``float[rows, V]``, in place) what the mask does not allow."""
        xgrammar.apply_token_bitmask_inplace(logits, vocab_mask)


class _PerRequest:
    """Mixed into a ``BaseGrammarBackend``: its keys hold what the request adds, and it keeps a bounded number."""

    cache: dict[tuple[str, str], BaseGrammarObject]
    _request: tuple[dict[str, Any], tuple[int, ...]] = ({}, ())

    def latticework_attend(self, params: SamplingParams) -> None:
        """The next key is asked for by a request with these parameters."""
        options = compile_options(params.custom_params)
        try:
            RequestOptions.parse(options)
        except LatticeworkError as error:  # the server has checked the options; an offline engine may have not
            logger.error("%s; the constraint is compiled as the deployment does by default", one_line(error))
            options = {}
        self._request = (options, tuple(sorted(params.stop_token_ids or ())))

    def get_request_grammar_key(self, key: tuple[str, str], **request: Any) -> tuple[str, str]:
        """See ``BaseGrammarBackend``."""
        kind, text = super().get_request_grammar_key(key, **request)  # type: ignore[misc]
        return kind, _marked(text, *self._request)

    def set_cache(self, key: tuple[str, str], value: BaseGrammarObject) -> None:
        """See ``BaseGrammarBackend``."""
        super().set_cache(key, value)  # type: ignore[misc]
        while len(self.cache) > _TEMPLATES:
            del self.cache[next(iter(self.cache))]


class LatticeworkGrammarBackend(_PerRequest, BaseGrammarBackend):  # type: ignore[misc]
    """Compiles constraints. ``vocab_size`` is the width of the model's logits, ``model_ends`` its end tokens."""

    is_support_token_filter = True
    set_token_filter = staticmethod(set_token_filter_torch)
    allocate_vocab_mask = staticmethod(LatticeworkGrammar.allocate_vocab_mask)
    move_vocab_mask = staticmethod(LatticeworkGrammar.move_vocab_mask)
    apply_vocab_mask = staticmethod(LatticeworkGrammar.apply_vocab_mask)

    def __init__(self, tokenizer: Any, vocab_size: int, model_ends: Iterable[int]) -> None:
        super().__init__()
        self.executor = compile_threads()
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._model_ends = frozenset(model_ends)

    def warm_up(self) -> None:
        """Prepare for the first request; a tokenizer that cannot be served is said once, here."""
        try:
            warm_up(self._tokenizer, self._vocab_size)
        except LatticeworkError as error:
            logger.error("latticework cannot serve constraints with this tokenizer: %s", error)

    def _init_value_dispatch(self, key: tuple[str, str], require_reasoning: bool) -> BaseGrammarObject:
        """Compile; runs in a thread. A constraint that is refused becomes an object that says why."""
        kind, marked = key
        text, options, stops = _unmarked(marked)
        try:
            ends = end_ids(self._tokenizer, self._model_ends, stops)
            spec = spec_of_key(kind, text)
            chosen = RequestOptions.parse(options)
            compiled = compile_constraint(spec, self._tokenizer, self._vocab_size, chosen, end_ids=ends)
        except LatticeworkError as error:
            return InvalidGrammarObject(str(error))
        return LatticeworkGrammar(Enforcement(compiled))


class ReasoningGrammarBackend(_PerRequest, ReasonerGrammarBackend):  # type: ignore[misc]
    """SGLang's wrapper for reasoning models around ours: constraints begin where the reasoning ends."""

    def __init__(self, backend: LatticeworkGrammarBackend, parser: ReasoningParser, tokenizer: Any) -> None:
        super().__init__(backend, parser, tokenizer, enable_strict_thinking=get_serving().enable_strict_thinking)
        self.executor = backend.executor


def create(tokenizer: Any, vocab_size: int, model_ends: Iterable[int] | None) -> BaseGrammarBackend:
    """The backend of this server. It warms up in the background."""
    backend = LatticeworkGrammarBackend(tokenizer, vocab_size, model_ends or ())
    backend.executor.submit(backend.warm_up)
    if (name := get_serving().reasoning_parser) is not None:
        parser = ReasoningParser(model_type=name, stream_reasoning=False, tokenizer=tokenizer)
        if parser.detector.get_think_end_token_ids(tokenizer):
            return ReasoningGrammarBackend(backend, parser, tokenizer)
    return backend


def _marked(text: str, options: dict[str, Any], stops: tuple[int, ...]) -> str:
    if not options and not stops:
        return text
    return f"{_MARK}{json.dumps([options, stops], sort_keys=True)}{_MARK}{text}"


def _unmarked(text: str) -> tuple[str, dict[str, Any], tuple[int, ...]]:
    """The text, the options that decide what it is compiled to, and the request's own end tokens."""
    if not text.startswith(_MARK):
        return text, {}, ()
    _, head, text = text.split(_MARK, 2)
    options, stops = json.loads(head)
    return text, options, tuple(stops)
