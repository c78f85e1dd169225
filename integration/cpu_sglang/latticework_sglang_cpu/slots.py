"""Bookkeeping of KV cache slots under speculation. Plain torch, in place of SGLang's Triton kernels.

A *slot* is a row of the KV cache. ``req_to_token[row, i]`` is the slot of token ``i`` of the request that owns ``row``.
Before a verification, each request gets a *window* of slots, one for every drafted token; ``out_cache_loc`` holds
the windows one after the other.
"""

from __future__ import annotations

import torch


def assign_extend_cache_locs(
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    start_offset: torch.Tensor,
    end_offset: torch.Tensor,
    batch_size: int,
    draft_token_num: int,
    device: object,
) -> torch.Tensor:
    """The slots of tokens ``start .. start + n`` of every request.

    Args:
        req_pool_indices: ``int[batch]``, rows of ``req_to_token``.
        req_to_token: ``int32[rows, context]``.
        start_offset: ``int[batch]``, first token.
        end_offset: ``start_offset + n``: all windows are equally long.
        batch_size: The size of the batch.
        draft_token_num: ``n``.
        device: Ignored; everything is on the CPU.

    Returns:
        ``int64[batch * n]``.
    """
    tokens = start_offset.view(-1, 1).long() + torch.arange(draft_token_num)
    return req_to_token[req_pool_indices.view(-1, 1).long(), tokens].flatten().to(torch.int64)


def assign_req_to_token_pool(
    req_pool_indices: torch.Tensor,
    req_to_token: torch.Tensor,
    start_offset: torch.Tensor,
    end_offset: torch.Tensor,
    out_cache_loc: torch.Tensor,
    batch_size: int,
) -> None:
    """Enter newly allocated slots: tokens ``start .. end`` of every request get the next ``end - start`` of them.

    Args:
        req_pool_indices: ``int[batch]``, rows of ``req_to_token``.
        req_to_token: ``int32[rows, context]``, written.
        start_offset: ``int[batch]``, first token,
        end_offset: and the one after the last; a request may get none.
        out_cache_loc: ``int[sum of all lengths]``.
        batch_size: The size of the batch.
    """
    begin = 0
    for row, start, end in zip(req_pool_indices.tolist(), start_offset.tolist(), end_offset.tolist(), strict=True):
        taken = out_cache_loc[begin : begin + end - start]
        req_to_token[row, start:end] = taken.to(req_to_token.dtype)
        begin += end - start


def fill_front_out_cache_loc(
    num_front: torch.Tensor, out_cache_loc: torch.Tensor, front_out_cache_loc: torch.Tensor
) -> None:
    """The first slots of every window, packed: where the accepted tokens are to be.

    Args:
        num_front: ``int[batch]``, how many of each window.
        out_cache_loc: ``int[batch * n]``, the windows.
        front_out_cache_loc: ``int64[at least their sum]``, written from its start; the rest is left alone.
    """
    windows = out_cache_loc.view(num_front.numel(), -1)
    front = windows[torch.arange(windows.shape[1]) < num_front.view(-1, 1)]
    front_out_cache_loc[: front.numel()] = front


def fill_accept_out_cache_loc(
    accept_index: torch.Tensor, out_cache_loc: torch.Tensor, accept_out_cache_loc: torch.Tensor, size: int
) -> None:
    """The slots of the accepted nodes, packed in the same order: where the accepted tokens are now.

    Args:
        accept_index: ``int32[batch, depth]``, indices into ``out_cache_loc``; -1 where nothing was accepted.
        out_cache_loc: ``int[batch * n]``, the windows.
        accept_out_cache_loc: ``int64[batch * depth]``, written from its start; the rest is left alone.
        size: ``batch * depth``.
    """
    accepted = accept_index[accept_index >= 0].long()
    accept_out_cache_loc[: accepted.numel()] = out_cache_loc[accepted]
