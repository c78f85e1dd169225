"""The speculative algorithm ``LATTICEWORK``: its name, and its registration when SGLang first looks for algorithms."""

from __future__ import annotations

from types import ModuleType

from latticework.adapters.hooks import on_import

NAME = "LATTICEWORK"
#: How to switch it on, for messages.
FLAG = f"--speculative-algorithm {NAME}"


def install() -> None:
    """Arrange for the registration."""
    on_import("sglang.srt.speculative.spec_info", _register)


def _register(module: ModuleType) -> None:
    from latticework.adapters.sglang.algorithm import register

    register(module.SpeculativeAlgorithm)


def algorithm() -> str | None:
    """Name of this server's speculative algorithm, ``None`` without speculation."""
    from sglang.srt.runtime_context import get_spec

    name: str | None = get_spec().speculative_algorithm
    return name.upper() if name is not None else None
