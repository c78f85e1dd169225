"""The worker's own copies of grammars, for drafting: compiled beside the steps, never waited for.

They are guesses about what the scheduler will allow. The mask that binds a request is made elsewhere, and a draft that
violates it is trimmed there.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from latticework.adapters.vllm.compiling import spec_of_params
from latticework.plugins.base import Role
from latticework.plugins.guard import Guard
from latticework.plugins.options import RequestOptions
from latticework.plugins.requests import compile_threads
from latticework.plugins.vocabularies import compile_constraint, warm_up

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.sampling_params import SamplingParams

    from latticework.structured.engines.base import CompiledGrammar


class WorkerGrammars:
    """Grammars of one worker.

    Args:
        config: vLLM's configuration.
        wait: Compile before anything is drafted: where several processes must draft alike, none may be ahead.
    """

    def __init__(self, config: VllmConfig, *, wait: bool) -> None:
        self._model = config.model_config
        self._pool = compile_threads()
        self._wait = wait
        outputs = config.structured_outputs_config
        # While a model reasons its grammar may be asleep, and only the scheduler knows until when.
        always_active = not outputs.reasoning_parser or outputs.enable_in_reasoning
        self._enabled = always_active and not self._model.skip_tokenizer_init

    def warm_up(self) -> None:
        """Build in the background what the first grammar needs."""
        if self._enabled:
            self._pool.submit(self._warm_up)

    def of(self, params: SamplingParams, options: RequestOptions) -> Future[CompiledGrammar] | None:
        """The promise of a request's grammar; ``None`` if it has none, or if it is better not to guess."""
        constraint = params.structured_outputs
        if not self._enabled or constraint is None or constraint.all_constraints_none():
            return None
        promise = self._pool.submit(self._compile, params, options)
        if self._wait:
            promise.exception()
        return promise

    def _compile(self, params: SamplingParams, options: RequestOptions) -> CompiledGrammar:
        spec = spec_of_params(params.structured_outputs)
        width = self._model.get_vocab_size()
        return compile_constraint(spec, self._tokenizer(), width, options, end_ids=params.all_stop_token_ids)

    def _warm_up(self) -> None:
        with Guard(Role.ENGINE, "warm-up", "the first constrained request is drafted for later"):
            warm_up(self._tokenizer(), self._model.get_vocab_size())

    def _tokenizer(self) -> Any:
        from vllm.tokenizers import cached_tokenizer_from_config

        return cached_tokenizer_from_config(self._model)
