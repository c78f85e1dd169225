"""Text files as token documents, and what a model thinks of them: what datastores are built from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from latticework.speculative.datastore import Datastore
from latticework.speculative.dense_index import DenseIndex
from latticework.speculative.drafter import TokenArray
from latticework.speculative.suffix_array import BETWEEN
from latticework.structured.errors import LatticeworkError

_PIECE = 1 << 18  # characters encoded at once: enough to be fast, little enough for a progress bar to move
_WINDOW = 512
Progress = Callable[[int], None]


def text_files(paths: Iterable[Path], pattern: str) -> list[Path]:
    """The files of ``paths``; of folders all that match ``pattern``. Raises ``LatticeworkError`` if there are none."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise LatticeworkError("files", f"{path}: no such file or folder")
        found += sorted(file for file in path.rglob(pattern) if file.is_file()) if path.is_dir() else [path]
    if not found:
        raise LatticeworkError("files", f"no file matches {pattern!r}")
    return found


def load_tokenizer(path: Path) -> tuple[Any, str]:
    """The tokenizer at ``path`` (a ``tokenizer.json``, or a folder with one) and its fingerprint."""
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
        return Tokenizer.from_str(text), hashlib.sha256(text.encode()).hexdigest()
    except Exception as error:  # tokenizers raises bare Exception
        raise LatticeworkError("tokenizer", f"{file}: cannot be read ({error})") from error


def encoded(files: Iterable[Path], tokenizer: Any, progress: Progress = lambda size: None) -> Iterator[TokenArray]:
    """Each file as one document, ``int32[n]``. ``progress`` is told of every character that was encoded."""
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LatticeworkError("files", f"{file}: {error}") from error
        ids: list[int] = []
        for piece in _pieces(text):
            ids += tokenizer.encode(piece, add_special_tokens=False).ids
            progress(len(piece))
        yield np.array(ids, np.int32)


def index_hidden_states(
    datastore: Datastore, model: Path, width: int = 64, progress: Progress = lambda tokens: None
) -> DenseIndex:
    """Run a model over a datastore's tokens and index its last hidden states.

    Args:
        datastore: Whose tokens are read, in windows of :data:`_WINDOW`.
        model: A model's folder.
        width: Principal components kept.
        progress: Told of every token that was read.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # ours shows the same, and more
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval().base_model
    tokens = np.asarray(datastore.tokens)
    states: list[npt.NDArray[np.float16]] = []
    positions: list[npt.NDArray[np.int64]] = []
    ends = np.flatnonzero(tokens == BETWEEN)
    for start, end in zip(np.concatenate(([0], ends[:-1] + 1)), ends, strict=True):
        for at in range(int(start), int(end), _WINDOW):
            window = tokens[at : min(at + _WINDOW, int(end))].astype(np.int64)
            with torch.inference_mode():
                hidden = network(torch.from_numpy(window)[None]).last_hidden_state[0]
            states.append(hidden[:-1].half().numpy())
            positions.append(np.arange(at + 1, at + len(window)))
            progress(len(window))
    places = np.concatenate(positions)
    return DenseIndex.fit(np.concatenate(states), places, tokens[places], width)


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that end with a line, where lines are not longer than a piece."""
    at = 0
    while at < len(text):
        end = min(at + _PIECE, len(text))
        if end < len(text) and (line := text.rfind("\n", at, end)) >= at:
            end = line + 1
        yield text[at:end]
        at = end
