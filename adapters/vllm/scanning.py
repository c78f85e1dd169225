"""Keeps vLLM's CPU worker able to start in a process that has numba loaded already.

To replace kernels, the worker looks at ``vars(value).get("kernel")`` of every attribute of every loaded module.
llvmlite's library object answers *any* attribute name with a function wrapper, ``__dict__`` included, and that has no
``get``: whoever imported numba before (a script that compiles grammars and then makes an ``LLM``; workers are forked)
cannot start an engine. Here the object gets a ``__dict__`` that is one.
"""

from __future__ import annotations

from types import ModuleType

from latticework.adapters.vllm.seams import on_import


def install() -> None:
    """Arrange for it when llvmlite is first imported, or now. Imports nothing."""
    on_import("llvmlite.binding.ffi", _make_scannable)


def _make_scannable(module: ModuleType) -> None:
    module.lib._fntab.setdefault("__dict__", {})
