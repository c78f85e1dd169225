"""What travels with a verifying forward pass, in the form that SGLang's attention backends read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sglang.srt.speculative.ngram_info import NgramVerifyInput

from latticework.speculative.tree_layout import TreeLayout


class TreeVerifyInput(NgramVerifyInput):  # type: ignore[misc]
    """Trees of equal width, one a request. SGLang's own class for irregular trees, without its state between steps."""

    @classmethod
    def of(cls, layouts: list[TreeLayout], seq_lens: torch.Tensor, seq_lens_cpu: torch.Tensor) -> TreeVerifyInput:
        """The input of a batch.

        Args:
            layouts: One a request, ``width`` rows each.
            seq_lens: ``int[batch]``, tokens in the cache, the pending one not among them; on the device.
            seq_lens_cpu: The same on the host.
        """
        width, device = len(layouts[0].token), seq_lens.device

        def placed(name: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([getattr(layout, name) for layout in layouts])).to(device)

        rows = len(layouts) * width
        return cls(
            draft_token=placed("token").flatten(),
            custom_mask=_mask(layouts, seq_lens_cpu.tolist()).to(device),
            positions=(placed("depth") + seq_lens.view(-1, 1)).flatten(),
            retrieve_index=torch.arange(rows, device=device).view(-1, width),
            retrieve_next_token=placed("first_child"),
            retrieve_next_sibling=placed("next_sibling"),
            draft_token_num=width,
        )

    @classmethod
    def between_steps(cls, width: int, seq_lens: torch.Tensor) -> TreeVerifyInput:
        """What a batch carries from step to step: nothing but the type."""
        return cls(draft_token_num=width, new_seq_lens=seq_lens)

    def filter_batch(self, new_indices: Any, new_indices_cpu: Any = None) -> None:
        """Nothing is kept for a request."""

    def merge_batch(self, spec_info: Any) -> None:
        """Nothing is kept for a request."""


def _mask(layouts: list[TreeLayout], seq_lens: list[int]) -> torch.Tensor:
    """``bool[sum of width * (seq_len + width)]``: what each row of each request sees, all of the cache among it."""
    width = len(layouts[0].token)
    masks = [
        np.concatenate((np.ones((width, length), np.bool_), layout.visible), axis=1).ravel()
        for layout, length in zip(layouts, seq_lens, strict=True)
    ]
    return torch.from_numpy(np.concatenate(masks))
