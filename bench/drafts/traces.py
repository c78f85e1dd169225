"""Recorded greedy answers: what a model wrote, and what it held likely at every position.

A file ``NAME.npz`` holds, for trace ``i``, ``p{i}`` (prompt ids), ``g{i}`` (``T`` generated ids), ``tk{i}``
(``[T, k]``, the likeliest ids) and ``tl{i}`` (``[T, k]``, their log-probabilities). ``NAME.json`` beside it lists under
``traces`` an object a trace with its ``category``; without it all are of category ``trace``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latticework.structured.errors import LatticeworkError

TokenArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One answer.

    Attributes:
        category: What kind of task it was.
        prompt: ``int32[P]``.
        output: ``int32[T]``.
        top_ids: ``int32[T, k]``, likeliest first.
        top_logprobs: ``float32[T, k]``.
    """

    category: str
    prompt: TokenArray
    output: TokenArray
    top_ids: TokenArray
    top_logprobs: npt.NDArray[np.float32]


def read_traces(path: Path) -> list[Trace]:
    """The traces of a file, in its order. Raises :class:`LatticeworkError` if it holds none."""
    if not path.is_file():
        raise LatticeworkError("traces", f"{path}: no such file")
    described = path.with_suffix(".json")
    listed = json.loads(described.read_text(encoding="utf-8"))["traces"] if described.is_file() else []
    traces: list[Trace] = []
    with np.load(path) as arrays:
        while f"p{len(traces)}" in arrays:
            i = len(traces)
            if missing := [name for name in (f"g{i}", f"tk{i}", f"tl{i}") if name not in arrays]:
                raise LatticeworkError("traces", f"{path}: trace {i} lacks {', '.join(missing)}")
            traces.append(
                Trace(
                    listed[i]["category"] if i < len(listed) else "trace",
                    arrays[f"p{i}"].astype(np.int32),
                    arrays[f"g{i}"].astype(np.int32),
                    arrays[f"tk{i}"].astype(np.int32),
                    arrays[f"tl{i}"].astype(np.float32),
                )
            )
    if not traces:
        raise LatticeworkError("traces", f"{path}: no trace in it")
    return traces
