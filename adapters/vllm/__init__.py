"""latticework inside vLLM. Importing this package imports neither vLLM nor torch: every vLLM process does it.

``latticework.adapters.vllm.Proposer`` is the name to give vLLM in ``--speculative-config``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latticework.adapters.vllm.proposer import Proposer

__all__ = ["Proposer"]


def __getattr__(name: str) -> Any:
    if name == "Proposer":
        from latticework.adapters.vllm.proposer import Proposer

        return Proposer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
