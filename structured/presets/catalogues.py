"""The catalogues of this process, by name: an operator names the files, requests name the catalogues."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Mapping
from pathlib import Path

from latticework.structured.errors import GrammarError, LatticeworkError
from latticework.structured.presets.catalogue import Catalogue

_lock = threading.Lock()
_paths: dict[str, Path] = {}
_loaded: dict[str, Catalogue] = {}


def register_catalogues(paths: Mapping[str, str | Path]) -> None:
    """Make files of names known; each is read when it is first asked for and never again.

    Args:
        paths: Name to a UTF-8 text file with one name a line, gzipped if it ends in ``.gz``.

    Raises:
        LatticeworkError: A name already stands for another file.
    """
    with _lock:
        for name, path in paths.items():
            if _paths.setdefault(name, Path(path)) != Path(path):
                raise LatticeworkError(f"catalogues.{name}", f"already stands for {str(_paths[name])!r}")


def catalogue(name: str, *, field: str) -> Catalogue:
    """A catalogue by name, shared by all who ask.

    Raises:
        GrammarError: There is none of that name.
        LatticeworkError: Its file cannot be read.
    """
    with _lock:
        if name not in _paths:
            known = ", ".join(sorted(_paths)) or "none"
            raise GrammarError(field, f"there is no catalogue {name!r} on this server; its catalogues: {known}")
        if name not in _loaded:
            _loaded[name] = Catalogue(_lines(name, _paths[name]), field=f"catalogues.{name}")
        return _loaded[name]


def _lines(name: str, path: Path) -> list[str]:
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [line for line in data.decode().splitlines() if line]
    except (OSError, EOFError, ValueError) as error:
        raise LatticeworkError(f"catalogues.{name}", f"cannot read {str(path)!r}: {error}") from error
