"""Draft trees and their greedy verification. Plain torch, in place of SGLang's device kernels.

A draft tree of a request has ``n`` nodes. Node 0 is its root, the last accepted token; a parent comes before its
children. SGLang links nodes by *first child* (``retrieve_next_token``) and *next sibling* (``retrieve_next_sibling``),
-1 for none, and numbers the nodes of a whole batch ``request * n + node`` (``retrieve_index``). Argument names and
order are SGLang's.
"""

from __future__ import annotations

import torch


def reconstruct_indices_from_tree_mask(
    tree_mask: torch.Tensor,
    verified_seq_len: torch.Tensor,
    positions: torch.Tensor,
    retrieve_index: torch.Tensor,
    retrieve_next_token: torch.Tensor,
    retrieve_next_sibling: torch.Tensor,
    batch_size: int,
    draft_token_num: int,
) -> None:
    """Turn ancestor masks into positions and links.

    A node without ancestors is not a child of anyone: it gets no next sibling.

    Args:
        tree_mask: ``[batch * n * n]``, true at ``[request, i, j]`` where node ``j`` is ``i`` or an ancestor of ``i``.
        verified_seq_len: ``int[batch]``, tokens before the root.
        positions: ``int64[batch * n]``, written: each node's place in its sequence.
        retrieve_index: ``int64[batch, n]``, written,
        retrieve_next_token: likewise,
        retrieve_next_sibling: likewise.
        batch_size: The size of the batch.
        draft_token_num: ``n``.
    """
    n = draft_token_num
    node = torch.arange(n)
    ancestor = tree_mask.view(batch_size, n, n).bool() & (node < node[:, None])
    parent = torch.where(ancestor, node, -1).amax(-1)  # [batch, n]: the last ancestor is the nearest
    # Any descendant counts, but the first one is a child: parents come before their children.
    first_child = torch.where(ancestor, node[:, None], n).amin(1)
    same_parent = (parent[:, :, None] == parent[:, None, :]) & (node[:, None] > node)  # [batch, later, earlier]
    next_sibling = torch.where(same_parent, node[:, None], n).amin(1)

    positions.copy_((ancestor.sum(-1) + verified_seq_len.view(batch_size, 1)).flatten())
    retrieve_index.copy_(torch.arange(batch_size * n).view(batch_size, n))
    retrieve_next_token.copy_(torch.where(first_child < n, first_child, -1))
    retrieve_next_sibling.copy_(torch.where((parent >= 0) & (next_sibling < n), next_sibling, -1))


def verify_tree_greedy(
    predicts: torch.Tensor,
    accept_index: torch.Tensor,
    accept_token_num: torch.Tensor,
    candidates: torch.Tensor,
    retrieve_index: torch.Tensor,
    retrieve_next_token: torch.Tensor,
    retrieve_next_sibling: torch.Tensor,
    target_predict: torch.Tensor,
    topk: int = -1,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Follow the model's choice from the root as far as the tree has it.

    Args:
        predicts: ``int32[batch * n]``, written at every visited node: the token that follows it.
        accept_index: ``int32[batch, depth]``, filled with -1 by the caller; written: the visited nodes, the root first.
        accept_token_num: ``int32[batch]``, written: how many were visited beside the root.
        candidates: ``int64[batch, n]``, the tokens of the nodes.
        retrieve_index: ``int64[batch, n]``, links of the tree; see above,
        retrieve_next_token: likewise,
        retrieve_next_sibling: likewise.
        target_predict: ``int64[batch, n]``, the model's choice after each node.
        topk: Ignored.

    Returns:
        The three tensors written.
    """
    batch, depth = accept_index.shape
    for request in range(batch):
        token, choice = candidates[request].tolist(), target_predict[request].tolist()
        child_of, sibling_of = retrieve_next_token[request].tolist(), retrieve_next_sibling[request].tolist()
        place = retrieve_index[request].tolist()
        path = [0]
        while len(path) < depth:
            child = child_of[path[-1]]
            while child != -1 and token[child] != choice[path[-1]]:
                child = sibling_of[child]
            if child == -1:
                break
            path.append(child)
        for step, node in enumerate(path):
            predicts[place[node]] = choice[node]
            accept_index[request, step] = place[node]
        accept_token_num[request] = len(path) - 1
    return predicts, accept_index, accept_token_num
