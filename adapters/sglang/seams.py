"""Every place where latticework holds on to SGLang, as one table for :mod:`latticework.adapters.hooks`.

Most rows are SGLang's own registries and interfaces. Wrapped are only the rows marked so: SGLang has no hook for
checking a request before it is scheduled, none for a named logits processor, and its grammar backends are not told
what else a request says.
"""

from __future__ import annotations

from pathlib import Path

from latticework.adapters.hooks import Finding, Seam, SeamTable

GRAMMAR, OPTIONS, DRAFTER, PROCESSOR = "grammar", "options", "drafter", "processor"
EXPERIMENTS, TRACES = "experiments", "traces"

_BACKEND = "sglang.srt.constrained.base_grammar_backend"
_SPECULATIVE = "sglang.srt.speculative"

SEAMS: tuple[Seam, ...] = (
    Seam(
        GRAMMAR,
        "sglang.srt.arg_groups.choices",
        "add_grammar_backend_choices",
        (),
        "registry: the backend names the flag accepts",
    ),
    Seam(GRAMMAR, _BACKEND, "register_grammar_backend", ("name", "init_func"), "registry: grammar backends"),
    Seam(
        GRAMMAR,
        _BACKEND,
        "BaseGrammarBackend.get_request_grammar_key",
        ("key", "input_ids", "thinking_budget"),
        "interface: what tells two constraints apart",
    ),
    Seam(
        GRAMMAR,
        _BACKEND,
        "BaseGrammarBackend._init_value_dispatch",
        ("key", "require_reasoning"),
        "interface: compiling a constraint",
    ),
    Seam(
        GRAMMAR,
        _BACKEND,
        "BaseGrammarObject.fill_vocab_mask_batched",
        ("entries", "vocab_mask"),
        "interface: masks of a batch",
    ),
    Seam(
        GRAMMAR,
        "sglang.srt.constrained.reasoner_grammar_backend",
        "ReasonerGrammarBackend.__init__",
        ("grammar_backend", "reasoning_parser", "tokenizer", "enable_strict_thinking"),
        "SGLang wraps only its own backends for reasoning models; ours is wrapped by its factory",
    ),
    Seam(
        GRAMMAR,
        "sglang.srt.constrained.grammar_manager",
        "GrammarManager.process_req_with_grammar",
        ("req",),
        "wrapped: the request's `lw_engine` and stop tokens reach the compilation",
    ),
    Seam(
        OPTIONS,
        "sglang.srt.managers.tokenizer_manager",
        "TokenizerManager.generate_request",
        ("obj", "request"),
        "wrapped: options and constraints are checked before anything is scheduled; one request becomes a search",
    ),
    Seam(
        EXPERIMENTS,
        "sglang.srt.entrypoints.http_server",
        "app",
        (),
        "a middleware sees the request's headers and tells its arm; added where settings exist",
    ),
    Seam(
        DRAFTER,
        "sglang.srt.managers.schedule_batch",
        "Req.__init__",
        ("cache_salt",),
        "who sent a request, so that drafters learn from no other sender's text",
    ),
    Seam(
        DRAFTER,
        f"{_SPECULATIVE}.spec_info",
        "SpeculativeAlgorithm.register",
        ("name", "supports_overlap", "validate_server_args", "spec_class"),
        "registry: speculative algorithms",
    ),
    Seam(
        DRAFTER,
        f"{_SPECULATIVE}.spec_registry",
        "CustomSpecAlgo.handle_server_args",
        ("server_args",),
        "interface: what the algorithm's flags default to",
    ),
    Seam(
        DRAFTER,
        f"{_SPECULATIVE}.base_spec_worker",
        "BaseSpecWorker.note_request_finished",
        ("rid", "natural_stop"),
        "interface: the worker that drafts and verifies",
    ),
    Seam(
        DRAFTER,
        f"{_SPECULATIVE}.ngram_info",
        "NgramVerifyInput.__init__",
        ("draft_token", "custom_mask", "positions", "retrieve_index", "draft_token_num", "new_seq_lens"),
        "interface: a tree as the attention backends read it",
    ),
    Seam(
        DRAFTER,
        f"{_SPECULATIVE}.spec_utils",
        "move_accept_tokens_to_target_kvcache",
        ("batch", "accept_index", "num_correct_drafts", "token_to_kv_pool_allocator"),
        "the accepted path of a tree is moved together in the cache",
    ),
    Seam(
        DRAFTER,
        "sglang.srt.managers.utils",
        "GenerationBatchResult.speculative_output_stride",
        (),
        "steps may be narrower than the largest tree",
    ),
    Seam(
        PROCESSOR,
        "sglang.srt.managers.tp_worker",
        "TpModelWorker.forward_batch_generation",
        ("batch", "is_verify"),
        "wrapped: which rows belong to requests with a processor",
    ),
    Seam(
        PROCESSOR,
        "sglang.srt.layers.sampler",
        "Sampler._preprocess_logits",
        ("logits", "sampling_info"),
        "wrapped: processors change their rows after the grammar's mask",
    ),
    Seam(
        TRACES,
        "sglang.srt.constrained.grammar_manager",
        "GrammarManager.process_req_with_grammar",
        ("req",),
        "wrapped: traces of single requests begin",
    ),
    Seam(
        TRACES,
        "sglang.srt.constrained.grammar_manager",
        "GrammarManager.get_ready_grammar_requests",
        (),
        "wrapped: what is legal is counted in grammars that had to be compiled first",
    ),
    Seam(
        TRACES,
        "sglang.srt.managers.scheduler",
        "Scheduler.process_batch_result",
        ("batch", "result"),
        "wrapped: what a step verified and kept of a request is recorded in its trace",
    ),
    Seam(
        TRACES,
        "sglang.srt.managers.schedule_batch",
        "Req.output_ids_through_stop",
        (),
        "the tokens of an answer, none beyond its end",
    ),
)

#: SGLang's internals change with every release, so the series has three parts.
TABLE = SeamTable("SGLang", "sglang", ((0, 5, 23),), SEAMS)


def check(root: Path | None = None, *, every_row: bool = False) -> list[Finding]:
    """See :meth:`latticework.adapters.hooks.SeamTable.check`."""
    return TABLE.check(root, every_row=every_row)
