"""Sampled verification of draft trees. Plain torch, in place of SGLang's device kernels.

See :mod:`latticework_sglang_cpu.tree` for how a tree is written down.
"""

from __future__ import annotations

import torch


def tree_speculative_sampling_target_only(
    predicts: torch.Tensor,
    accept_index: torch.Tensor,
    accept_token_num: torch.Tensor,
    candidates: torch.Tensor,
    retrive_index: torch.Tensor,
    retrive_next_token: torch.Tensor,
    retrive_next_sibling: torch.Tensor,
    uniform_samples: torch.Tensor,
    uniform_samples_for_final_sampling: torch.Tensor,
    target_probs: torch.Tensor,
    draft_probs: torch.Tensor,
    threshold_single: float = 1.0,
    threshold_acc: float = 1.0,
    deterministic: bool = True,
) -> None:
    """Sample the next token after every node, and go on while the tree has it. Needs no draft distribution.

    The children of a node take consecutive intervals of ``[0, 1)``, each as long as its token is probable, and the
    node's own random number falls into one of them or beyond. Beyond, the request is finished with a token from what
    remains of the distribution, drawn with a second random number. So each token has the model's distribution, exactly,
    as long as siblings differ and both thresholds are 1.

    Args:
        predicts: ``int32[batch * n]``, written at every visited node: the token that follows it.
        accept_index: ``int32[batch, depth]``, filled with -1 by the caller; written: the visited nodes, the root first.
        accept_token_num: ``int32[batch]``, written: how many were visited beside the root.
        candidates: ``int64[batch, n]``, the tokens of the nodes.
        retrive_index: ``int64[batch, n]``, links of the tree (SGLang's spelling),
        retrive_next_token: likewise,
        retrive_next_sibling: likewise.
        uniform_samples: ``float32[batch, n]`` in ``[0, 1)``, one for the choice among the children of each node.
        uniform_samples_for_final_sampling: ``float32[batch]`` in ``[0, 1)``.
        target_probs: ``float32[batch, n, V]``, the model's distribution after each node. Read only.
        draft_probs: Ignored: drafts are taken as given, not as samples.
        threshold_single: Accept any drafted token at least this probable,
        threshold_acc: and stretch the intervals by the inverse of this. Below 1 they trade exactness for speed.
        deterministic: Ignored: the answer always depends on the arguments alone.
    """
    batch, depth = accept_index.shape
    stretch = max(threshold_acc, 1e-9)
    for request in range(batch):
        token = candidates[request].tolist()
        child_of, sibling_of = retrive_next_token[request].tolist(), retrive_next_sibling[request].tolist()
        place, coin = retrive_index[request].tolist(), uniform_samples[request].tolist()
        node, accepted = 0, 0
        accept_index[request, 0] = place[0]
        while True:
            refused: list[int] = []
            child = child_of[node] if accepted < depth - 1 else -1
            covered = 0.0
            while child != -1:
                probability = float(target_probs[request, node, token[child]])
                covered += probability
                if probability > 0 and (coin[node] < covered / stretch or probability >= threshold_single):
                    break
                refused.append(token[child])
                child = sibling_of[child]
            if child == -1:
                break
            predicts[place[node]] = token[child]
            accepted += 1
            accept_index[request, accepted] = place[child]
            node = child
        final = float(uniform_samples_for_final_sampling[request])
        predicts[place[node]] = _sample_without(target_probs[request, node], refused, final)
        accept_token_num[request] = accepted


def _sample_without(probabilities: torch.Tensor, refused: list[int], coin: float) -> int:
    """Draw from ``float[V]`` without the tokens ``refused``, by inversion of ``coin``."""
    left = probabilities.double()
    left[refused] = 0
    reached = left.cumsum(0)
    token = int(torch.searchsorted(reached, coin * reached[-1], right=True))
    # Rounding may lead beyond the last probable token, and from nothing nothing can be drawn.
    return token if token < len(left) and left[token] > 0 else int(left.argmax())


def top_k_renorm_prob(probs: torch.Tensor, top_ks: torch.Tensor) -> torch.Tensor:
    """Keep the ``k`` most probable tokens of every row.

    Args:
        probs: ``float[rows, V]``.
        top_ks: ``int[rows]``; more than ``V`` keeps everything.

    Returns:
        ``float[rows, V]``, each row summing to 1.
    """
    ordered, order = probs.sort(-1, descending=True)
    ordered = torch.where(torch.arange(probs.shape[-1]) < top_ks.view(-1, 1), ordered, 0.0)
    return _renormalised(ordered, order)


def top_p_renorm_prob(probs: torch.Tensor, top_ps: torch.Tensor) -> torch.Tensor:
    """Keep the smallest set of most probable tokens of every row that has at least the mass ``p``.

    Args:
        probs: ``float[rows, V]``.
        top_ps: ``float[rows]``.

    Returns:
        ``float[rows, V]``, each row summing to 1.
    """
    ordered, order = probs.sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    ordered = torch.where(before > top_ps.view(-1, 1), 0.0, ordered)
    return _renormalised(ordered, order)


def _renormalised(ordered: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    kept = torch.zeros_like(ordered).scatter_(-1, order, ordered)
    return kept / kept.sum(-1, keepdim=True)
