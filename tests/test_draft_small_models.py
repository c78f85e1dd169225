"""A small model as a drafter: what it says behind its cache is what it says afresh, and who may name it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from latticework.plugins import model_drafters
from latticework.plugins.options import RequestOptions
from latticework.plugins.settings import DrafterSettings, Settings
from latticework.plugins.small_models import TorchModel, open_model
from latticework.speculative.draft import DraftKind
from latticework.speculative.drafter import DraftBudget, RequestView
from latticework.speculative.model_drafter import ModelDrafter
from latticework.structured.errors import LatticeworkError

V = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=V,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.8,
    )
    path = tmp_path_factory.mktemp("small")
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture
def model(folder: Path) -> TorchModel:
    return TorchModel(folder, requests=2)


def fresh(folder: Path, text: list[int]) -> np.ndarray:
    """What the model says after a text, read as one plain sequence."""
    with torch.inference_mode():
        logits = open_model(folder)._model(torch.tensor([text])).logits[0, -1]
    return torch.softmax(logits.double(), -1).numpy()


def view(tokens: list[int], name: str = "r") -> RequestView:
    return RequestView(name, np.array(tokens, np.int32), len(tokens))


def test_rows_are_those_of_a_plain_reading(folder: Path, model: TorchModel) -> None:
    """T4 and T5: texts that grow, that are taken back, and that are others' in between."""
    chance = np.random.default_rng(0)
    text = chance.integers(0, V, 9).tolist()
    for step in range(12):
        if step % 4 == 3:
            text = [*text[: len(text) // 2], int(chance.integers(V))]
        elif step:
            text = [*text, *chance.integers(0, V, int(chance.integers(1, 4))).tolist()]
        trunk = tuple(chance.integers(0, V, 3).tolist())
        paths = [(), trunk[:1], trunk, (*trunk[:2], 5), (7,)]
        for name, tokens in (("r", text), ("other", [1, 2]), ("r", text), ("third", [4, *text[:3]])):
            for path, row in zip(paths, model.rows(view(tokens, name), paths), strict=True):
                assert row == pytest.approx(fresh(folder, [*tokens, *path]), abs=2e-5)
                assert row.sum() == pytest.approx(1.0)


def test_only_the_requests_asked_for_last_are_kept(model: TorchModel) -> None:
    for name in ("a", "b", "c"):
        model.rows(view([1, 2, 3], name), [()])
    assert list(model._caches) == ["b", "c"]
    assert model._caches["c"].states.layers[0].keys.shape[2] == 2, "the text without its pending token"
    model.end(view([1], "b"))
    model.end(view([1], "unknown"))
    assert list(model._caches) == ["c"]


def test_nothing_is_drafted_beyond_what_the_model_was_made_for(folder: Path) -> None:
    small = open_model(folder)
    drafter = ModelDrafter(small, longest=small.longest)
    assert small.longest == 64
    assert len(drafter.draft(view([1] * 60), DraftBudget(4, 4)))
    assert not len(drafter.draft(view([1] * 61), DraftBudget(4, 4)))
    assert not len(drafter.draft(view([]), DraftBudget(4, 4)))


def test_the_settings_say_where_models_are_and_requests_name_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        model_drafters, "load_settings", lambda: Settings(drafter=DrafterSettings(models={"small": str(folder)}))
    )
    plugin = model_drafters.ModelPlugin()
    for options, kind in (
        (plugin.options(), DraftKind.DETERMINISTIC),
        (plugin.options(model="small", method="rsd_s"), DraftKind.SAMPLED_WITHOUT_REPLACEMENT),
        (plugin.options(method="rsd_c", seed=4), DraftKind.SAMPLED_WITHOUT_REPLACEMENT),
        (plugin.options(staged=True), DraftKind.DETERMINISTIC),
    ):
        drafter, request = plugin.create(options), view([1, 2, 3])
        drafter.begin(request)
        draft = drafter.draft(request, DraftBudget(6, 3))
        draft.check()
        assert draft.kind is kind
        assert 0 < len(draft) <= 6
    for wrong in ("", str(folder), "other"):
        monkeypatch.setattr(model_drafters, "load_settings", lambda: Settings())
        with pytest.raises(ValueError, match="must name a model of this deployment"):
            plugin.options(model=wrong)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatticeworkError, match="cannot be loaded"):
        TorchModel(tmp_path)
    with pytest.raises(LatticeworkError) as caught:
        RequestOptions.parse({"lw_drafter": "model", "lw_drafter_model": "/etc"})
    assert caught.value.field == "lw_drafter_model"
