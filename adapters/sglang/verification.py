"""The target's token at every verified position, chosen by SGLang's own sampler exactly as in plain decoding.

Each position is treated as a request of its own: the sampling parameters are repeated, one row a position, and the
same functions run that run without speculation (logit bias, grammar mask, processors, sampler). A seeded draw depends
on seed and position only, so it is the same draw. What the draft then gains is decided by
:func:`latticework.speculative.verify.match`: the output law is the target's, whatever was drafted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from sglang.srt.constrained.base_grammar_backend import GrammarMask
from sglang.srt.layers.logits_processor import LogitsProcessorOutput
from sglang.srt.sampling.sampling_batch_info import ProcessorEntry

from latticework.adapters.sglang.backend import LatticeworkGrammar
from latticework.adapters.sglang.processors import ADAPTER
from latticework.plugins.base import Role
from latticework.plugins.guard import Guard
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft

if TYPE_CHECKING:
    from sglang.srt.constrained.base_grammar_backend import BaseGrammarObject
    from sglang.srt.sampling.sampling_batch_info import SamplingBatchInfo

_PER_REQUEST = (
    "temperatures",
    "top_ps",
    "top_ks",
    "min_ps",
    "sampling_seed",
    "acc_additive_penalties",
    "acc_scaling_penalties",
    "logit_bias",
)


def follows_drafts(req: Any) -> bool:
    """Whether SGLang transforms this request's logits in a way that is known at drafted positions too.

    Penalties depend on what was written before a position, and code sent by a client on whatever it likes; SGLang
    computes both at the pending token only. Such requests are decoded token by token, exactly.
    """
    params = req.sampling_params
    return (
        not req.custom_logit_processor
        and params.frequency_penalty == 0
        and params.presence_penalty == 0
        and params.repetition_penalty == 1
        and params.min_new_tokens <= len(req.output_ids)
    )


def expanded(info: SamplingBatchInfo, width: int, mask: GrammarMask | None) -> SamplingBatchInfo:
    """``info`` with ``width`` rows a request, row ``i * width`` being request ``i``'s pending token."""
    rows = {
        name: torch.repeat_interleave(value, width, dim=0)
        for name in _PER_REQUEST
        if (value := getattr(info, name)) is not None
    }
    changes: dict[str, Any] = {**rows, "grammar_mask": mask, "sampling_mask_batch_indices": None}
    if info.has_custom_logit_processor:
        params: list[Any] = [None] * (len(info) * width)
        params[::width] = info.custom_params
        changes["custom_params"] = params
        changes["custom_logit_processor"] = {
            key: ProcessorEntry(entry.processor, [row * width for row in entry.rows], entry.indices * width)
            for key, entry in info.custom_logit_processor.items()
        }
    return replace(info, **changes)


def grammar_mask(reqs: list[Any], drafts: list[Draft], width: int, vocab_size: int) -> GrammarMask | None:
    """The masks of all positions, ``int32[requests * width, ceil(V/32)]`` on the host; ``None`` if nothing is masked.

    Rows that cannot be reached (after a token that is forbidden or ends the text, and padding) allow everything. A
    grammar that fails while it walks a draft leaves that request undrafted: its entry of ``drafts`` is emptied.
    """
    handle = next((req.grammar for req in reqs if req.grammar is not None), None)
    if handle is None:
        return None
    mask = LatticeworkGrammar.allocate_vocab_mask(vocab_size, len(reqs) * width, "cpu")
    for index, req in enumerate(reqs):
        if req.grammar is None or req.grammar.is_terminated():
            continue
        req.grammar.fill_vocab_mask(mask, index * width)
        with Guard(Role.ENGINE, ADAPTER, f"request {req.rid} is not drafted for in this step") as attempt:
            _fill_nodes(req.grammar, drafts[index], mask[index * width : (index + 1) * width])
        if attempt.failed:
            drafts[index] = EMPTY_DRAFT
    return GrammarMask(handle, mask)


def _fill_nodes(grammar: BaseGrammarObject, draft: Draft, mask: torch.Tensor) -> None:
    """Fill the rows of a draft's nodes, ``mask[node + 1]``; the root's is filled. The grammar ends where it began."""
    words = mask.numpy()
    path: list[int] = []
    open_nodes = {ROOT}  # where text may go on
    try:
        for node in draft.preorder():
            token, parent = int(draft.token[node]), int(draft.parent[node])
            if parent not in open_nodes or not (int(words[parent + 1, token >> 5]) >> (token & 31)) & 1:
                continue
            shared = path.index(parent) + 1 if parent != ROOT else 0
            grammar.rollback(len(path) - shared)
            del path[shared:]
            grammar.accept_token(token)
            path.append(node)
            if not grammar.is_terminated():
                open_nodes.add(node)
                grammar.fill_vocab_mask(mask, node + 1)
    finally:
        grammar.rollback(len(path))


def choose(sampler: Any, logits: torch.Tensor, info: SamplingBatchInfo, positions: torch.Tensor) -> torch.Tensor:
    """The target's token at every position, ``int[rows]``; ``logits`` may be destroyed.

    Args:
        sampler: SGLang's.
        logits: ``float[rows, V]``, transformed and masked.
        info: See :func:`expanded`.
        positions: ``int[rows]``, of the input tokens in their texts.
    """
    output = LogitsProcessorOutput(next_token_logits=logits)
    chosen: torch.Tensor = sampler(output, info, False, [], [], positions)
    return chosen
