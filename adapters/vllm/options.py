"""``lw_*`` options in ``vllm_xargs`` (``SamplingParams.extra_args``), checked before a request is admitted.

Checked twice, by one function: when the server hands a request to the engine client (so that a streaming request too
is refused with a 400, before its response begins), and where vLLM itself verifies parameters, which every way into the
engine passes, the offline ``LLM`` class included. A request without ``lw_*`` keys costs a look at its extra arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latticework.adapters.vllm import grammar
from latticework.adapters.vllm.errors import refusing
from latticework.adapters.vllm.seams import on_import, wrap
from latticework.plugins.requests import PREFIX, names_any

if TYPE_CHECKING:
    from vllm.config import ModelConfig, SpeculativeConfig, StructuredOutputsConfig
    from vllm.sampling_params import SamplingParams

    from latticework.plugins.options import RequestOptions

_PROPOSER = "latticework.adapters.vllm.Proposer"
_PROPOSER_FLAG = (
    f"""--speculative-config '{{"method": "custom_class", "model": "{_PROPOSER}", "num_speculative_tokens": 8}}'"""
)


def install() -> None:
    """Arrange for the hooks; each is applied when its module is first imported."""
    on_import("vllm.sampling_params", _hook_verify)
    on_import("vllm.entrypoints.openai.chat_completion.protocol", _hook_chat)
    on_import("vllm.entrypoints.openai.completion.protocol", _hook_completion)


def check(
    params: SamplingParams,
    speculative_config: SpeculativeConfig | None,
    structured_outputs_config: StructuredOutputsConfig | None,
) -> RequestOptions:
    """The options of a request.

    Raises:
        LatticeworkError: One of them is wrong, does not fit the request, or needs a flag this server was not given.
    """
    from latticework.plugins.base import Role
    from latticework.plugins.serving import check_options

    missing = {}
    if not grammar.is_ours(structured_outputs_config):
        missing[Role.ENGINE] = grammar.FLAG
    if not has_proposer(speculative_config):
        missing[Role.DRAFTER] = _PROPOSER_FLAG
    return check_options(params.extra_args or {}, params.temperature, missing)


def has_proposer(config: SpeculativeConfig | None) -> bool:
    """Whether the server drafts with latticework."""
    return config is not None and config.method == "custom_class" and config.model == _PROPOSER


def _hook_verify(module: ModuleType) -> None:
    wrap(module.SamplingParams, "verify", _verifying)


def _verifying(original: Callable[..., None]) -> Callable[..., None]:
    def verify(
        self: SamplingParams,
        model_config: ModelConfig,
        speculative_config: SpeculativeConfig | None,
        structured_outputs_config: StructuredOutputsConfig | None,
        tokenizer: Any,
    ) -> None:
        if names_any(self.extra_args):
            with refusing():
                chosen = check(self, speculative_config, structured_outputs_config)
                _refuse_server_options(self, chosen)
        original(self, model_config, speculative_config, structured_outputs_config, tokenizer)

    return verify


def _refuse_server_options(params: SamplingParams, chosen: RequestOptions) -> None:
    """The server's engine client takes these away before requests get here; nobody else can serve them."""
    from latticework.structured.errors import LatticeworkError

    for key, asked in (("lw_search", chosen.search), ("lw_grammar", chosen.grammar)):
        if asked is not None and key in (params.extra_args or {}):
            raise LatticeworkError(key, "works through vLLM's server only, not in the offline LLM class")


def _hook_chat(module: ModuleType) -> None:
    wrap(module.ChatCompletionRequest, "to_beam_search_params", _refusing_beam_search)


def _hook_completion(module: ModuleType) -> None:
    wrap(module.CompletionRequest, "to_beam_search_params", _refusing_beam_search)


def _refusing_beam_search(original: Callable[..., Any]) -> Callable[..., Any]:
    """Beam search builds its own sampling parameters without ``vllm_xargs``: options would be dropped in silence."""

    def to_beam_search_params(self: Any, max_tokens: int, default_sampling_params: dict[str, Any]) -> Any:
        for key in self.vllm_xargs or ():
            if key.startswith(PREFIX):
                from latticework.structured.errors import LatticeworkError

                with refusing():
                    raise LatticeworkError(key, "not supported together with beam search")
        return original(self, max_tokens, default_sampling_params)

    return to_beam_search_params
