"""Small models that draft: any causal language model of ``transformers`` in a folder, as a drafter's ``SmallModel``.

A request's keys and values are kept between its steps, for the requests asked for last. Each question is one pass over
what is new of the text and over all paths asked for, as a tree behind it; afterwards the cache holds the text alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latticework.speculative.chance import Row
from latticework.speculative.draft_model import Path as TokenPath
from latticework.speculative.drafter import RequestView, TokenArray
from latticework.structured.errors import LatticeworkError

#: So many tokens of a long text are read at a time: the memory for attention grows with it.
_PART = 512


@dataclass(slots=True)
class _Cached:
    """Keys and values of a text."""

    states: Any
    tokens: TokenArray


class TorchModel:
    """See :class:`~latticework.speculative.model_drafter.SmallModel`.

    Attributes:
        longest: Tokens that the model was made for.

    Args:
        folder: Where the model is.
        requests: Of how many requests keys and values are kept.

    Raises:
        LatticeworkError: It cannot be loaded.
    """

    def __init__(self, folder: Path, requests: int = 32) -> None:
        from transformers import AutoModelForCausalLM

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise LatticeworkError("drafter.models", f"{folder}: cannot be loaded ({error})") from error
        self._model = model.eval().to(self._device)
        self.longest: int = getattr(self._model.config, "max_position_embeddings", 1 << 30)
        self._most = requests
        self._caches: OrderedDict[str, _Cached] = OrderedDict()

    def rows(self, request: RequestView, paths: Sequence[TokenPath]) -> Sequence[Row]:
        """See :meth:`SmallModel.rows`."""
        cached = self._caches.pop(request.request_id, None) or _Cached(_no_states(), np.empty(0, np.int32))
        with torch.inference_mode():
            self._read(cached, request.tokens[:-1])
            found = self._ask(cached, int(request.tokens[-1]), paths)
        self._caches[request.request_id] = cached
        while len(self._caches) > self._most:
            self._caches.popitem(last=False)
        return found

    def end(self, request: RequestView) -> None:
        """See :meth:`SmallModel.end`."""
        self._caches.pop(request.request_id, None)

    def _read(self, cached: _Cached, tokens: TokenArray) -> None:
        """Bring a cache to a text: what the two do not share is dropped, the rest of the text is read."""
        shared = min(len(tokens), len(cached.tokens))
        differs = np.flatnonzero(tokens[:shared] != cached.tokens[:shared])
        shared = int(differs[0]) if len(differs) else shared
        _cut(cached.states, shared, len(cached.tokens))
        for start in range(shared, len(tokens), _PART):
            part = torch.from_numpy(tokens[start : start + _PART].astype(np.int64)).to(self._device)
            self._model(part[None], past_key_values=cached.states, logits_to_keep=1)
        cached.tokens = np.array(tokens, np.int32)

    def _ask(self, cached: _Cached, pending: int, paths: Sequence[TokenPath]) -> Sequence[Row]:
        """What follows the pending token and each path behind it."""
        nodes: dict[TokenPath, int] = {(): 0}
        for path in paths:
            for length in range(1, len(path) + 1):
                nodes.setdefault(path[:length], len(nodes))
        known, count = len(cached.tokens), len(nodes)
        visible = torch.zeros(count, known + count, dtype=torch.bool)
        visible[:, :known] = True
        for path, row in nodes.items():
            for length in range(len(path) + 1):
                visible[row, known + nodes[path[:length]]] = True
        hidden = torch.zeros(visible.shape).masked_fill_(~visible, torch.finfo(torch.float32).min)
        tokens = torch.tensor([path[-1] if path else pending for path in nodes], dtype=torch.int64)
        positions = torch.tensor([known + len(path) for path in nodes], dtype=torch.int64)
        output = self._model(
            tokens[None].to(self._device),
            attention_mask=hidden[None, None].to(self._device),
            position_ids=positions[None].to(self._device),
            past_key_values=cached.states,
        )
        _cut(cached.states, known, known + count)
        laws = torch.softmax(output.logits[0].double(), dim=-1).cpu().numpy()
        return [laws[nodes[path]] for path in paths]


def _no_states() -> Any:
    from transformers import DynamicCache

    return DynamicCache()


def _cut(states: Any, kept: int, known: int) -> None:
    """Keep the first ``kept`` of ``known`` tokens' keys and values."""
    if kept < known:
        for layer in states.layers:
            layer.keys, layer.values = layer.keys[:, :, :kept], layer.values[:, :, :kept]


@lru_cache(maxsize=4)
def open_model(folder: Path) -> TorchModel:
    """The model in a folder, loaded once a process."""
    return TorchModel(folder)
