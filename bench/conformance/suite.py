"""Reading the official test suite (github.com/json-schema-org/JSON-Schema-Test-Suite), in upstream's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from latticework.bench.cases import Case, case_of
from latticework.bench.data import data_directory
from latticework.structured.errors import LatticeworkError

#: Folder of a draft's tests, and the ``$schema`` that means it.
DRAFTS = {
    "4": ("draft4", "http://json-schema.org/draft-04/schema#"),
    "6": ("draft6", "http://json-schema.org/draft-06/schema#"),
    "7": ("draft7", "http://json-schema.org/draft-07/schema#"),
    "2019-09": ("draft2019-09", "https://json-schema.org/draft/2019-09/schema"),
    "2020-12": ("draft2020-12", "https://json-schema.org/draft/2020-12/schema"),
}
#: Left out: they need documents from elsewhere, or a metaschema of their own. No engine here loads either.
LEFT_OUT = ("refRemote", "vocabulary")


def suite_directory(path: Path | None) -> Path:
    """The folder that holds ``tests/``: the one given, or the one in the benchmark data."""
    base = data_directory()
    directory = path or (base / "json-schema-test-suite" if base else None)
    if directory is None or not (directory / "tests").is_dir():
        where = directory or "no benchmark data beside the repository"
        hint = "clone github.com/json-schema-org/JSON-Schema-Test-Suite and give its path with --suite"
        raise LatticeworkError("suite", f"{where}: no folder tests/ found; {hint}")
    return directory


def drafts_in(directory: Path) -> list[str]:
    """The drafts whose tests are there, oldest first."""
    return [draft for draft, (folder, _) in DRAFTS.items() if (directory / "tests" / folder).is_dir()]


def read_suite(directory: Path, draft: str, *, optional: bool = False) -> list[Case]:
    """The groups of a draft's required tests, or of its optional ones. A case's family is the file, its keyword."""
    folder, dialect = DRAFTS[draft]
    pattern = "optional/**/*.json" if optional else "*.json"
    files = sorted((directory / "tests" / folder).glob(pattern))
    if not files:
        raise LatticeworkError("draft", f"{directory / 'tests' / folder}: no tests there")
    return [
        case_of({"file": file.stem, **group, "schema": _with_dialect(group["schema"], dialect)})
        for file in files
        if file.stem not in LEFT_OUT
        for group in json.loads(file.read_text(encoding="utf-8"))
    ]


def _with_dialect(schema: Any, dialect: str) -> Any:
    """The schema saying which draft it is written in: a test's folder is known to nobody but the reader."""
    if isinstance(schema, dict) and "$schema" not in schema:
        return {"$schema": dialect, **schema}
    return schema
