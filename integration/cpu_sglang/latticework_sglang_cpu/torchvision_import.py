"""Lets a CUDA build of torchvision be imported beside a CPU build of torch.

SGLang imports torchvision whatever the model; the package index has CUDA builds of it only. Such a build cannot load
its compiled operations beside a CPU torch, and then fails to import because two of them are unknown. They are declared
here, without code, right before torchvision runs: importing works, and calling one of them is an error that names it.

Imports neither torch nor torchvision by itself: this runs at every start of Python (:mod:`.startup`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_OPERATIONS = ("nms", "qnms")
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def is_needed() -> bool:
    """Whether torch is a CPU build and torchvision is not."""
    try:
        return "+cpu" in metadata.version("torch") and "+cpu" not in metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        return False


def install() -> None:
    """Wait for torchvision to be imported. Idempotent."""
    if "torchvision" not in sys.modules and not any(isinstance(finder, _OnImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OnImport())


def declare_operations() -> None:
    """Tell torch the names and types of the two operations. Once a process."""
    import torch

    for name in _OPERATIONS:
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", _SIGNATURE)


class _OnImport(MetaPathFinder):
    """Finds torchvision where it is, and declares the operations right before its code runs.

    Being found does not mean being imported: libraries also look whether torchvision is there.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "torchvision":
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None and is_needed():
            execute = spec.loader.exec_module

            def declare_and_execute(module: ModuleType) -> None:
                declare_operations()
                execute(module)

            spec.loader.exec_module = declare_and_execute  # type: ignore[method-assign]
        return spec
