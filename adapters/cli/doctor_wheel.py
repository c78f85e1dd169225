"""``latticework doctor --wheel``: whether a release of an engine still has every place that latticework holds on to.

The wheel is unpacked and its source is parsed. Nothing in it is imported or run, so it may be for another platform or
another Python, and need not be trusted.
"""

from __future__ import annotations

import tempfile
import zipfile
from importlib import import_module
from pathlib import Path, PurePosixPath

from latticework.adapters.cli.doctor import ENGINES, Check, EngineUnderTest

#: Source in a wheel, unpacked; the engines have a tenth of it. More is not an engine.
MAX_SOURCE_BYTES = 500_000_000


class WheelError(ValueError):
    """The file cannot be looked at; the message says why."""


def check_wheel(file: Path) -> list[Check]:
    """Compare our table of seams with an engine's wheel: its version, then every row, whatever the version.

    Raises:
        WheelError: The file is no wheel of an engine that latticework knows.
    """
    try:
        with zipfile.ZipFile(file) as wheel, tempfile.TemporaryDirectory(prefix="latticework-wheel-") as folder:
            engine = _engine_in(wheel, file)
            _unpack(wheel, engine.package, Path(folder))
            seams = import_module(f"latticework.adapters.{engine.package}.seams")
            findings = seams.check(Path(folder) / engine.package, every_row=True)
    except FileNotFoundError:
        raise WheelError(f"there is no file {file}") from None
    except zipfile.BadZipFile:
        raise WheelError(f"{file} is not a wheel: it is no zip archive, or a broken one") from None
    except OSError as error:
        raise WheelError(f"{file} cannot be read: {error.strerror or error}") from error
    return [
        Check("engine", engine.title, True, f"in {file.name}"),
        *(Check("seam", f"{found.capability}: {found.seam}", found.ok, found.detail) for found in findings),
    ]


def _engine_in(wheel: zipfile.ZipFile, file: Path) -> EngineUnderTest:
    folders = {PurePosixPath(name).parts[0] for name in wheel.namelist() if PurePosixPath(name).parts}
    for engine in ENGINES:
        if engine.package in folders:
            return engine
    known = " or ".join(engine.title for engine in ENGINES)
    raise WheelError(f"{file} holds neither {known}: expected a wheel as `pip download --no-deps` saves it")


def _unpack(wheel: zipfile.ZipFile, package: str, folder: Path) -> None:
    """The package's Python files, and nothing that would lie outside of ``folder``."""
    left = MAX_SOURCE_BYTES
    for entry in wheel.infolist():
        parts = PurePosixPath(entry.filename).parts
        if not entry.filename.endswith(".py") or parts[0] != package or ".." in parts:
            continue
        left -= entry.file_size
        if left < 0:
            raise WheelError(f"more than {MAX_SOURCE_BYTES // 1_000_000} MB of source: this is no engine")
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wheel.read(entry))
