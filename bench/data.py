"""Where the benchmark data is looked for: outside the repository, because it is not ours to ship."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "LATTICEWORK_DATA"
_BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"


def data_directory() -> Path | None:
    """``$LATTICEWORK_DATA``, or ``../shared/data`` beside the repository; ``None`` where neither is a folder."""
    directory = Path(os.environ.get(VARIABLE) or _BESIDE_THE_REPOSITORY)
    return directory if directory.is_dir() else None


def default_cases() -> Path | None:
    """The sample of JSONSchemaBench in :func:`data_directory`; ``None`` where it is not."""
    directory = data_directory()
    path = directory / "jsonschema" / "dev.jsonl.gz" if directory else None
    return path if path is not None and path.is_file() else None
