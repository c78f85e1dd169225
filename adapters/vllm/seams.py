"""Every place where latticework holds on to vLLM, as one table for :mod:`latticework.adapters.hooks`.

vLLM has no registry for structured-output backends, no validation hook for plugins, and no proposer that knows its
requests, so a few functions must be wrapped. All of them are in :data:`SEAMS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from latticework.adapters.hooks import Finding, Seam, SeamTable, on_import, wrap

__all__ = ["SEAMS", "SUPPORTED_SERIES", "Seam", "check", "on_import", "wrap"]

#: Release series whose source was read and whose hooks are tested: ``(major, minor)``.
SUPPORTED_SERIES = ((0, 32),)

GRAMMAR, OPTIONS, SEARCH, DRAFTER, PROCESSOR = "grammar", "options", "search", "drafter", "processor"
EXPERIMENTS, TRACES = "experiments", "traces"

_MANAGER = "vllm.v1.structured_output"
_SCHEDULER = "vllm.v1.core.sched.scheduler"
_V1_RUNNER = "vllm.v1.worker.gpu_model_runner"
_CPU_ATTENTION = "vllm.v1.attention.backends.cpu_attn"
_BEAM_SEARCH = ("max_tokens", "default_sampling_params")

SEAMS: tuple[Seam, ...] = (
    Seam(
        GRAMMAR,
        "vllm.config.structured_outputs",
        "StructuredOutputsConfig.backend",
        (),
        "the backend names vLLM accepts; `latticework` is added",
    ),
    Seam(
        GRAMMAR,
        "vllm.sampling_params",
        "SamplingParams._validate_structured_outputs",
        ("model_config", "structured_outputs_config", "tokenizer"),
        "a constraint is compiled before it is admitted, so that a bad one is a 400",
    ),
    Seam(
        GRAMMAR,
        "vllm.v1.engine.async_llm",
        "AsyncLLM.__init__",
        ("vllm_config",),
        "the front end builds its vocabulary before the first request needs it",
    ),
    Seam(
        GRAMMAR,
        _MANAGER,
        "StructuredOutputManager.__init__",
        ("vllm_config",),
        "the engine's grammar manager starts with our backend",
    ),
    Seam(
        GRAMMAR,
        _MANAGER,
        "StructuredOutputManager._create_grammar",
        ("request",),
        "the request's `lw_engine` reaches the compilation",
    ),
    Seam(
        GRAMMAR,
        _MANAGER,
        "StructuredOutputManager.accept_tokens",
        ("request", "new_token_ids"),
        "why a constraint failed travels to the client in the stop reason",
    ),
    Seam(
        GRAMMAR,
        "vllm.v1.structured_output.backend_types",
        "StructuredOutputBackend.compile_grammar",
        ("request_type", "grammar_spec", "stop_token_ids"),
        "interface that our backend implements",
    ),
    Seam(
        GRAMMAR,
        "vllm.v1.structured_output.backend_types",
        "StructuredOutputGrammar.fill_bitmask",
        ("bitmask", "batch_index"),
        "interface that our grammars implement",
    ),
    Seam(
        GRAMMAR,
        "vllm.v1.structured_output.request",
        "get_structured_output_key",
        ("params",),
        "which of the six kinds a request asks for",
    ),
    Seam(
        OPTIONS,
        "vllm.sampling_params",
        "SamplingParams.verify",
        ("model_config", "speculative_config", "structured_outputs_config", "tokenizer"),
        "`lw_*` options are checked before a request is admitted",
    ),
    Seam(
        OPTIONS,
        "vllm.entrypoints.openai.chat_completion.protocol",
        "ChatCompletionRequest.to_beam_search_params",
        _BEAM_SEARCH,
        "beam search drops `vllm_xargs`; options given with it are refused instead",
    ),
    Seam(
        OPTIONS,
        "vllm.entrypoints.openai.completion.protocol",
        "CompletionRequest.to_beam_search_params",
        _BEAM_SEARCH,
        "the same for completions",
    ),
    Seam(
        OPTIONS,
        "vllm.entrypoints.launchers.app",
        "init_exception_handler",
        (),
        "a request nested too deeply for vLLM's own checks is a 400, not a 500",
    ),
    *(
        Seam(
            EXPERIMENTS,
            f"vllm.entrypoints.openai.{module}.protocol",
            f"{name}.to_sampling_params",
            (),
            "the request's user and model, by which experiments assign it; hooked where settings exist",
        )
        for module, name in (
            ("chat_completion", "ChatCompletionRequest"),
            ("completion", "CompletionRequest"),
            ("responses", "ResponsesRequest"),
        )
    ),
    Seam(
        SEARCH,
        "vllm.v1.engine.async_llm",
        "AsyncLLM.generate",
        ("prompt", "sampling_params", "request_id"),
        "one request becomes a search; grammars compile off the event loop; failures get a message",
    ),
    Seam(
        DRAFTER,
        "vllm.inputs.engine",
        "_InputOptions.cache_salt",
        (),
        "who sent a request, so that drafters learn from no other sender's text",
    ),
    Seam(
        DRAFTER,
        "vllm.v1.structured_output.request",
        "get_structured_output_key",
        ("params",),
        "which requests are constrained alike",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "GPUModelRunner._update_states",
        ("scheduler_output",),
        "requests begin and end in the worker",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "GPUModelRunner.propose_draft_token_ids",
        ("scheduler_output", "sampled_token_ids"),
        "the proposer learns which request each row is",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "GPUModelRunner.sample_tokens",
        ("grammar_output",),
        "drafters learn from what the target held likely at every verified position",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "ExecuteModelState.spec_decode_metadata",
        (),
        "where the logits of a step are between the forward pass and the grammar's mask",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "GPUModelRunner._input_fits_in_drafter",
        ("common_attn_metadata",),
        "one request at the end of its context does not stop the drafts of all",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "GPUModelRunner.initialize_kv_cache_tensors",
        ("kv_cache_config",),
        "trees (`drafter.trees`, CPUs): scratch blocks for their branches",
    ),
    Seam(
        DRAFTER,
        _V1_RUNNER,
        "GPUModelRunner._model_forward",
        ("input_ids", "positions"),
        "trees: nodes have the positions of their depths",
    ),
    Seam(
        DRAFTER,
        _CPU_ATTENTION,
        "CPUAttentionMetadataBuilder.build",
        ("common_prefix_len", "common_attn_metadata", "fast_build"),
        "trees: each branch is a request of its own",
    ),
    Seam(
        DRAFTER,
        _CPU_ATTENTION,
        "CPUAttentionBackendImpl.do_kv_cache_update",
        ("layer", "key", "value", "kv_cache", "slot_mapping"),
        "trees: branches are written behind copies of what precedes them",
    ),
    Seam(
        DRAFTER,
        "vllm.v1.spec_decode.custom_class_proposer",
        "create_custom_proposer",
        ("vllm_config",),
        "interface that our proposer implements",
    ),
    Seam(
        DRAFTER,
        "vllm.v1.worker.gpu_input_batch",
        "InputBatch.update_req_spec_token_ids",
        ("request", "scheduled_spec_tokens"),
        "where the drafted tokens of a batch are found",
    ),
    Seam(
        PROCESSOR,
        _V1_RUNNER,
        "GPUModelRunner._sample",
        ("logits", "spec_decode_metadata"),
        "processors change every verified row after the grammar's mask",
    ),
    Seam(
        PROCESSOR,
        "vllm.v1.worker.gpu_input_batch",
        "InputBatch.update_async_output_token_ids",
        (),
        "sampled ids that asynchronous scheduling still holds back",
    ),
    Seam(
        PROCESSOR,
        "vllm.v1.worker.gpu.sample.logits_processor.loader",
        "build_custom_logits_processors",
        ("vllm_config", "req_states", "is_pooling_model"),
        "our processors join those of Model Runner V2",
    ),
    Seam(
        PROCESSOR,
        "vllm.v1.worker.gpu.sample.logits_processor.interface",
        "LogitsProcessor.apply",
        ("logits", "ctx"),
        "interface that our processors implement on Model Runner V2",
    ),
    Seam(TRACES, _SCHEDULER, "Scheduler.add_request", ("request",), "traces of single requests begin"),
    Seam(
        TRACES,
        _V1_RUNNER,
        "GPUModelRunner.take_draft_token_ids",
        (),
        "who drafted what for a traced request leaves the worker with the drafted ids",
    ),
    Seam(
        TRACES,
        _SCHEDULER,
        "Scheduler.update_draft_token_ids",
        ("draft_token_ids",),
        "and arrives in the scheduler with them",
    ),
    Seam(
        TRACES,
        _SCHEDULER,
        "Scheduler.update_from_output",
        ("scheduler_output", "model_runner_output"),
        "what a step verified and kept of a request is recorded in its trace",
    ),
    Seam(
        TRACES,
        _SCHEDULER,
        "Scheduler.finish_requests",
        ("request_ids", "finished_status"),
        "traces of requests that are aborted end",
    ),
)


def check(root: Path | None = None, seams: Iterable[Seam] = SEAMS, *, every_row: bool = False) -> list[Finding]:
    """See :meth:`latticework.adapters.hooks.SeamTable.check`; ``seams``: the rows to check."""
    return SeamTable("vLLM", "vllm", SUPPORTED_SERIES, tuple(seams)).check(root, every_row=every_row)
