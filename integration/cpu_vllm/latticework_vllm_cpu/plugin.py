"""The ``vllm.general_plugins`` entry point. vLLM calls it in every process; most never need the repair.

So it imports nothing: it waits for the module with the broken function to be imported by vLLM itself.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MODULE = "vllm.v1.sample.rejection_sampler"


def register() -> None:
    """Guard the module now if it is loaded, else when it is. Idempotent."""
    if MODULE in sys.modules:
        _guard(sys.modules[MODULE])
    elif not any(isinstance(finder, _OnImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OnImport())


def _guard(module: ModuleType) -> None:
    from latticework_vllm_cpu.expansion import guard

    guard(module)


class _OnImport(MetaPathFinder):
    """Finds one module, once, and guards it right after its code has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_guard(module: ModuleType) -> None:
                execute(module)
                _guard(module)

            spec.loader.exec_module = execute_and_guard  # type: ignore[method-assign]
        return spec
