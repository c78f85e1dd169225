"""The ``vllm.general_plugins`` entry point. vLLM calls it in every process; most never need a repair.

So it imports nothing: it waits for the modules with the broken functions to be imported by vLLM itself.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MODULE = "vllm.v1.sample.rejection_sampler"
RUNNER = "vllm.v1.worker.gpu_model_runner"


def register() -> None:
    """Guard each module now if it is loaded, else when it is. Idempotent."""
    waiting = {name for finder in sys.meta_path if isinstance(finder, _OnImport) for name in finder.waiting}
    for name, guard in _GUARDS.items():
        if name in sys.modules:
            guard(sys.modules[name])
        elif name not in waiting:
            sys.meta_path.insert(0, _OnImport({name}))


def _guard_expansion(module: ModuleType) -> None:
    from latticework_vllm_cpu.expansion import guard

    guard(module)


def _guard_seeds(module: ModuleType) -> None:
    from latticework_vllm_cpu.seeds import guard

    guard(module)


_GUARDS: dict[str, Callable[[ModuleType], None]] = {MODULE: _guard_expansion, RUNNER: _guard_seeds}


class _OnImport(MetaPathFinder):
    """Finds each waiting module once, and guards it right after its code has run."""

    def __init__(self, waiting: set[str]) -> None:
        self.waiting = waiting

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.waiting:
            return None
        self.waiting.discard(fullname)
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_guard(module: ModuleType) -> None:
                execute(module)
                _GUARDS[fullname](module)

            spec.loader.exec_module = execute_and_guard  # type: ignore[method-assign]
        return spec
