"""Tables of a vocabulary in the user's cache folder: the slowest part of starting up is done once."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

logger = logging.getLogger("latticework.structured")

#: Smaller vocabularies are read and built faster than they are loaded, and are mostly made up by tests.
WORTH_A_FILE = 4096  # tokens

Arrays = Mapping[str, npt.NDArray[Any]]


def user_directory() -> Path:
    """latticework's folder in the user's cache folder (``XDG_CACHE_HOME``)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latticework"


def cache_directory() -> Path:
    """Where tables are cached."""
    return user_directory() / "vocabulary"


def path_of(format_: str, content_key: str) -> Path:
    """The file of what a content comes to; ``format_`` names what is in it and its version."""
    return cache_directory() / f"{format_}-{content_key}.npz"


def load(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """The arrays, or ``None``: a damaged entry must never be worse than no cache."""
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        return None
    except Exception as error:
        logger.warning("rebuilding the vocabulary tables: %s could not be read (%s)", path, error)
        return None


def store(path: Path, arrays: Arrays) -> None:
    """Write atomically: a reader sees the whole file or none. A full or read-only disk only costs the next start."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            np.savez(file, allow_pickle=False, **arrays)
        Path(file.name).replace(path)
    except OSError as error:
        logger.info("vocabulary tables were not cached: %s", error)
