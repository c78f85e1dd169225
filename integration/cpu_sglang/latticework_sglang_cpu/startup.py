"""The file in ``site-packages`` that makes every Python of an environment prepare for torchvision.

It has to be every Python: whichever library asks first for torchvision decides whether importing works, and SGLang
starts processes of its own.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

# Sorted after the file by which pip makes an editable install of this package importable.
NAME = "latticework_sglang_cpu.pth"
_LABEL = "# Written by `python -m latticework_sglang_cpu install`; `... remove` takes it away."
_LINE = (
    "import importlib.util; importlib.util.find_spec('latticework_sglang_cpu') and "
    "__import__('latticework_sglang_cpu.torchvision_import').torchvision_import.install()"
)
CONTENT = f"{_LABEL}\n{_LINE}\n"


def site_packages() -> Path:
    """Of the environment this Python runs in."""
    return Path(sysconfig.get_path("purelib"))


def install(site: Path | None = None) -> Path:
    """Write the file, replacing an older one. Returns its path."""
    file = (site or site_packages()) / NAME
    partial = file.with_suffix(".partial")
    partial.write_text(CONTENT)
    partial.replace(file)
    return file


def remove(site: Path | None = None) -> bool:
    """Remove the file; whether it was there."""
    file = (site or site_packages()) / NAME
    present = file.exists()
    file.unlink(missing_ok=True)
    return present


def is_installed(site: Path | None = None) -> bool:
    """Whether the file is there and as this version writes it."""
    file = (site or site_packages()) / NAME
    return file.is_file() and file.read_text() == CONTENT
