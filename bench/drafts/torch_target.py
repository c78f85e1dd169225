"""A real model that verifies trees: any causal language model of ``transformers``, one request at a time.

The model reads the rows of :func:`latticework.speculative.tree_layout.lay_out` behind its cache, under the tree's mask
and positions, and afterwards the cache keeps the rows that :func:`latticework.speculative.kv_commit.kept_rows` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from latticework.speculative.draft import Draft
from latticework.speculative.drafter import TokenArray
from latticework.speculative.kv_commit import kept_rows
from latticework.speculative.tree_layout import lay_out
from latticework.structured.errors import LatticeworkError


@dataclass(frozen=True, eq=False)
class Shown:
    """What the model says at some rows: ``float32[m, V]`` logits and ``float32[m, H]`` last hidden states."""

    logits: npt.NDArray[np.float32]
    hidden: npt.NDArray[np.float32]


class TorchTarget:
    """The model.

    Attributes:
        vocabulary_size: Width of its logits.
        end_ids: Tokens that end its answers.

    Args:
        folder: Where the model is.

    Raises:
        LatticeworkError: It cannot be loaded.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        try:
            self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        except (OSError, ValueError) as error:
            raise LatticeworkError("model", f"{folder}: cannot be loaded ({error})") from error
        self.vocabulary_size: int = self._model.get_output_embeddings().weight.shape[0]
        ends = self._model.generation_config.eos_token_id
        self.end_ids: frozenset[int] = frozenset([ends] if isinstance(ends, int) else ends or ())
        self._cache: Any = None
        self._length = 0  # rows of the cache that are committed: all of the text but the pending token

    @torch.inference_mode()
    def read(self, prompt: TokenArray, whole: bool = False) -> Shown:
        """Begin a text. What follows it, one row; with ``whole`` what follows each of its tokens, a row a token."""
        from transformers import DynamicCache

        self._cache, self._length = DynamicCache(), len(prompt)
        tokens = torch.from_numpy(prompt.astype(np.int64))[None]
        output = self._model(
            tokens, past_key_values=self._cache, logits_to_keep=0 if whole else 1, output_hidden_states=True
        )
        hidden = output.hidden_states[-1][0]
        return Shown(output.logits[0].numpy(), (hidden if whole else hidden[-1:]).numpy())

    @torch.inference_mode()
    def verify(self, pending: int, draft: Draft) -> Shown:
        """What follows the pending token and each node of a draft: ``len(draft) + 1`` rows. Then :meth:`keep`."""
        rows = len(draft) + 1
        layout = lay_out(draft, pending, rows)
        visible = torch.cat((torch.ones(rows, self._length, dtype=torch.bool), torch.from_numpy(layout.visible)), dim=1)
        hidden = torch.zeros(visible.shape).masked_fill_(~visible, torch.finfo(torch.float32).min)
        output = self._model(
            torch.from_numpy(layout.token)[None],
            attention_mask=hidden[None, None],
            position_ids=torch.from_numpy(layout.depth)[None] + self._length,
            past_key_values=self._cache,
            output_hidden_states=True,
        )
        return Shown(output.logits[0].numpy(), output.hidden_states[-1][0].numpy())

    @torch.inference_mode()
    def keep(self, path: Sequence[int]) -> None:
        """Keep the pending token and the accepted nodes of the draft that was verified; the others never were."""
        rows = torch.from_numpy(kept_rows(path)) + self._length
        for layer in self._cache.layers:
            for name in ("keys", "values"):
                states = getattr(layer, name)
                setattr(layer, name, torch.cat((states[:, :, : self._length], states[:, :, rows]), dim=2))
        self._length += len(rows)
