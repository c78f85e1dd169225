"""The example plugins of the manual, installed as any package of somebody else is."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from integration.capabilities import ROOT

SOURCE = ROOT / "docs" / "examples" / "latticework-examples"


@lru_cache(maxsize=1)
def installed_examples() -> Path:
    """A folder for ``PYTHONPATH`` that holds the installed package; it goes when this process ends.

    Needs no network: nothing is resolved, and what builds the package is the setuptools of this environment.
    """
    folder = Path(tempfile.mkdtemp(prefix="latticework-examples-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copied = shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    quiet = ["--disable-pip-version-check", "--target", str(folder / "installed"), str(copied)]
    subprocess.run([*command, *quiet], check=True, capture_output=True, text=True)
    return folder / "installed"
