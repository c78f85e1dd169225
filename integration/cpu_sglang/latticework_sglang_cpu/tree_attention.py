"""Attention of drafted tokens over a prefix and over their own ancestors. Plain torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import scaled_dot_product_attention


def verification_masks(custom_mask: torch.Tensor | None, prefixes: Sequence[int], n: int) -> Iterator[torch.Tensor]:
    """Who may attend to whom, request by request.

    Args:
        custom_mask: SGLang's ``FULL_MASK`` layout: the requests' masks ``[n, prefix + n]``, each flattened, one after
            the other. ``None``: every draft is a chain.
        prefixes: Per request, the tokens in the KV cache before the drafted ones.
        n: Drafted tokens a request, the last accepted token included.

    Yields:
        ``bool[n, prefix + n]``.
    """
    begin = 0
    for prefix in prefixes:
        width = prefix + n
        if custom_mask is None:
            yield torch.ones(n, width, dtype=torch.bool).tril(prefix)
        else:
            yield custom_mask[begin : begin + n * width].view(n, width).bool()
            begin += n * width


def attend(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    """Softmax attention of one request, with grouped KV heads.

    Args:
        query: ``[n, heads, head size]``.
        keys: ``[width, KV heads, head size]``, of any dtype: computed in that of ``query``.
        values: ``[width, KV heads, value size]``, likewise.
        mask: ``bool[n, width]``, true where a token may look.
        scale: Factor of the dot products.

    Returns:
        ``[n, heads, value size]``.
    """
    answer = scaled_dot_product_attention(
        query.transpose(0, 1).unsqueeze(0),
        keys.transpose(0, 1).unsqueeze(0).to(query.dtype),
        values.transpose(0, 1).unsqueeze(0).to(query.dtype),
        attn_mask=mask,
        scale=scale,
        enable_gqa=query.shape[1] != keys.shape[1],
    )
    return answer.squeeze(0).transpose(0, 1)
