"""The structured-outputs backend ``latticework``: ``--structured-outputs-config '{"backend": "latticework"}'``.

vLLM 0.32 has no registry of backends. Each hook below is one function, and does nothing when another backend is
configured:

1. the configuration accepts the name;
2. the front end compiles a request's constraint before it admits the request. Compiling is the only exact check; it is
   bounded by the deployment's limits, and runs off the event loop (:mod:`latticework.adapters.vllm.frontend`), so here
   the grammar is normally a look-up in the cache;
3. the engine's grammar manager starts with our backend, and hands it the request's options;
4. the reason of a failed constraint is put where the front end finds it, in the stop reason.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

from latticework.adapters.vllm.errors import refusing
from latticework.adapters.vllm.seams import on_import, wrap

if TYPE_CHECKING:
    from vllm.config import ModelConfig, StructuredOutputsConfig
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams

#: Name of the backend.
NAME = "latticework"
#: How to switch it on, for messages.
FLAG = """--structured-outputs-config '{"backend": "latticework"}'"""
#: What a stop reason begins with when it explains a failure.
FAILURE_PREFIX = "latticework: "


def install() -> None:
    """Arrange for the hooks; each is applied when its module is first imported."""
    on_import("vllm.config.structured_outputs", _accept_name)
    on_import("vllm.sampling_params", _hook_validation)
    on_import("vllm.v1.structured_output", _hook_manager)


def is_ours(config: StructuredOutputsConfig | None) -> bool:
    """Whether this server's structured-outputs backend is latticework."""
    return config is not None and config.backend == NAME


def _accept_name(module: ModuleType) -> None:
    """Add our name to the type of ``StructuredOutputsConfig.backend`` and rebuild its pydantic schema."""
    from pydantic.dataclasses import rebuild_dataclass

    config = module.StructuredOutputsConfig
    known = get_args(module.StructuredOutputsBackend)
    if NAME in known:
        return
    extended = Literal[(*known, NAME)]  # type: ignore[valid-type]
    module.StructuredOutputsBackend = extended  # type: ignore[attr-defined]
    config.__annotations__["backend"] = extended
    config.__dataclass_fields__["backend"].type = extended
    config.__pydantic_fields__["backend"].annotation = extended
    rebuild_dataclass(config, force=True)


def _hook_validation(module: ModuleType) -> None:
    wrap(module.SamplingParams, "_validate_structured_outputs", _validating)


def _validating(original: Callable[..., None]) -> Callable[..., None]:
    def _validate_structured_outputs(
        self: SamplingParams,
        model_config: ModelConfig,
        structured_outputs_config: StructuredOutputsConfig | None,
        tokenizer: Any,
    ) -> None:
        if not is_ours(structured_outputs_config) or self.structured_outputs is None:
            original(self, model_config, structured_outputs_config, tokenizer)
            return
        from latticework.adapters.vllm.compiling import admit

        with refusing():
            admit(self, model_config, tokenizer)

    return _validate_structured_outputs


def _hook_manager(module: ModuleType) -> None:
    wrap(module.StructuredOutputManager, "__init__", _starting)
    wrap(module.StructuredOutputManager, "_create_grammar", _creating)
    wrap(module.StructuredOutputManager, "accept_tokens", _explaining)


def _starting(original: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: Any, vllm_config: Any) -> None:  # noqa: N807
        original(self, vllm_config)
        if is_ours(vllm_config.structured_outputs_config) and getattr(self, "tokenizer", None) is not None:
            from latticework.adapters.vllm.backend import LatticeworkBackend

            self.backend = LatticeworkBackend(vllm_config, self.tokenizer, vllm_config.model_config.get_vocab_size())
            self.executor.submit(self.backend.warm_up)

    return __init__


def _creating(original: Callable[..., Any]) -> Callable[..., Any]:
    def _create_grammar(self: Any, request: Any) -> Any:
        if not is_ours(self.vllm_config.structured_outputs_config):
            return original(self, request)
        from latticework.plugins.options import RequestOptions

        # An exception here becomes the result of vLLM's future, and ends this one request.
        params = request.sampling_params
        request_type, text = request.structured_output_request.structured_output_key
        options = RequestOptions.parse(params.extra_args)
        return self.backend.compile_grammar(request_type, text, params.all_stop_token_ids, options=options)

    return _create_grammar


def _explaining(original: Callable[..., bool]) -> Callable[..., bool]:
    def accept_tokens(self: Any, request: Any, new_token_ids: list[int]) -> bool:
        accepted = original(self, request, new_token_ids)
        if not accepted:
            failure = getattr(request.structured_output_request.grammar, "failure", None)
            if failure is not None:
                request.stop_reason = FAILURE_PREFIX + failure
        return accepted

    return accept_tokens


def raise_failure(output: RequestOutput) -> None:
    """Raise vLLM's generation error, with the reason, if a constraint of ours is what ended the request."""
    for written in output.outputs:
        reason = written.stop_reason
        if written.finish_reason == "error" and isinstance(reason, str) and reason.startswith(FAILURE_PREFIX):
            from vllm.exceptions import GenerationError

            raise GenerationError(reason)
