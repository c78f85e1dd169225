"""Fixtures shared by the fast tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from latticework.structured.vocabulary import Vocabulary

MODEL = "SmolLM2-135M-Instruct"


@pytest.fixture(scope="session")
def model_directory() -> Path:
    """The converted demo model in the user's cache; `make` targets put it there."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = base / "latticework" / "models" / MODEL
    if not (directory / "tokenizer.json").exists():
        pytest.skip(f"{MODEL} is not converted yet: run `python -m integration.model`")
    return directory


@pytest.fixture(scope="session")
def smollm2_vocabulary(model_directory: Path) -> Vocabulary:
    """The real vocabulary of SmolLM2: 49,152 tokens of byte-level BPE, which lacks a few single-byte tokens."""
    return Vocabulary.from_tokenizer_json(model_directory / "tokenizer.json", eos_token="<|im_end|>")


@pytest.fixture(scope="session")
def data_directory() -> Path:
    """Research data outside the repository (``LATTICEWORK_DATA``, or ``../shared/data`` beside it)."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    directory = Path(os.environ.get("LATTICEWORK_DATA", default))
    if not directory.is_dir():
        pytest.skip("needs the benchmark data: point LATTICEWORK_DATA at it")
    return directory
