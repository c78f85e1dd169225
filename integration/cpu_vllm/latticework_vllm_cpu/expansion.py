"""Detects and repairs vLLM's ``expand_batch_to_tokens`` on CPU.

The function repeats a per-request value once per drafted token of that request: ``[a, b]`` with cumulative
counts ``[2, 5]`` becomes ``[a, a, b, b, b]``. In vLLM 0.32 the CPU kernel behind it casts its arguments to int64,
fills the temporary that the cast makes, and returns a buffer nobody wrote to (vllm issue 55005). Temperature,
top-k and top-p of every sampled request then are garbage under speculative decoding.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

logger = logging.getLogger("latticework_vllm_cpu")

FUNCTION = "expand_batch_to_tokens"
_PARAMETERS = ["x", "cu_num_tokens", "num_tokens", "replace_from", "replace_to"]
Expand = Callable[..., torch.Tensor]

# Values per request and what one probe must return. Several probes with unlikely values, because unwritten memory
# can hold the right answer of an earlier call by chance; kept as lists so that no tensor holds the answers.
_PROBES: list[tuple[torch.dtype, list[Any], list[Any]]] = [
    (torch.float32, [0.8125, 0.0, 0.53125], [0.8125, 0.8125, 1.0, 1.0, 1.0, 0.53125]),
    (torch.int32, [51, 0, 73], [51, 51, 1, 1, 1, 73]),
    (torch.float32, [1.4375, 0.28125, 0.0], [1.4375, 1.4375, 0.28125, 0.28125, 0.28125, 1.0]),
]
_CUMULATIVE = [2, 5, 6]


def is_broken(expand: Expand) -> bool:
    """Whether ``expand`` gives wrong answers on CPU tensors. Runs it on three inputs of three values."""
    for dtype, values, expected in _PROBES:
        cumulative = torch.tensor(_CUMULATIVE, dtype=torch.int32)
        try:
            answer = expand(torch.tensor(values, dtype=dtype), cumulative, 6, replace_from=0, replace_to=1)
        except Exception:
            return True
        if answer.tolist() != expected:
            return True
    return False


def expand_batch_to_tokens(
    x: torch.Tensor,
    cu_num_tokens: torch.Tensor,
    num_tokens: int,
    replace_from: int = 0,
    replace_to: int = 0,
) -> torch.Tensor:
    """The same function in plain torch.

    Args:
        x: ``[batch]``, any dtype.
        cu_num_tokens: ``int[batch]``, cumulative counts.
        num_tokens: The last of them.
        replace_from: A value to be replaced wherever it occurs in ``x``,
        replace_to: and by what.

    Returns:
        ``[num_tokens]`` of the dtype of ``x``.
    """
    counts = torch.diff(cu_num_tokens, prepend=cu_num_tokens.new_zeros(1))
    replaced = torch.where(x == replace_from, torch.full_like(x, replace_to), x)
    return replaced.repeat_interleave(counts, output_size=num_tokens)


def guard(module: ModuleType) -> None:
    """Let the first call on CPU decide whether ``module``'s function is replaced. Idempotent.

    Not decided at once: vLLM's worker registers the CPU kernels after this module has been imported.
    """
    original: Expand = getattr(module, FUNCTION)
    if original is expand_batch_to_tokens or hasattr(original, "guarded"):
        return
    if list(inspect.signature(original).parameters) != _PARAMETERS:
        logger.warning("%s.%s has another signature than expected; left as it is", module.__name__, FUNCTION)
        return

    def first_call(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if x.device.type != "cpu":
            return original(x, *args, **kwargs)
        chosen = original
        if is_broken(original):
            logger.warning("replaced %s: it returns wrong values on CPU (vllm issue 55005)", FUNCTION)
            chosen = expand_batch_to_tokens
        setattr(module, FUNCTION, chosen)
        return chosen(x, *args, **kwargs)

    first_call.guarded = original  # type: ignore[attr-defined]
    setattr(module, FUNCTION, first_call)
