"""The drafter that is a small model. Requests name a model; the deployment says where it is."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from latticework.plugins.base import PluginOptions
from latticework.plugins.settings import load_settings
from latticework.plugins.small_models import open_model
from latticework.speculative.combine import CascadeDrafter
from latticework.speculative.drafter import Drafter
from latticework.speculative.model_drafter import Method, ModelDrafter
from latticework.speculative.ngram_pool import NgramPoolDrafter


class ModelOptions(PluginOptions):
    """``lw_drafter_*`` of ``model``."""

    model: str = Field(
        default="",
        max_length=256,
        validate_default=True,
        description="its name in the settings' drafter.models; empty: the only one",
    )
    method: Method = Field(
        default=Method.LIKELIEST,
        description="how the draft is grown: likeliest, or sampled: chain, rsd_c, rsd_s, dyspec",
    )
    staged: bool = Field(default=False, description="whether n-grams of the text draft for the small model")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="of the samples")

    @field_validator("model")
    @classmethod
    def _known(cls, name: str) -> str:
        _folder(name)
        return name


class ModelPlugin:
    """See :mod:`latticework.speculative.model_drafter`."""

    name = "model"
    summary = "a small model of the same vocabulary, which the deployment provides"
    options = ModelOptions

    def create(self, options: ModelOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        model = open_model(_folder(options.model))
        second = NgramPoolDrafter() if options.staged else None
        return CascadeDrafter(ModelDrafter(model, options.method, second, options.seed, model.longest))


def _folder(name: str) -> Path:
    """Where a model is. Raises ``ValueError``, which the options report with their field's name."""
    known = load_settings().drafter.models
    if not name and len(known) == 1:
        return Path(next(iter(known.values())))
    if name not in known:
        listed = ", ".join(known) or "none; see drafter.models"
        raise ValueError(f"must name a model of this deployment ({listed})")
    return Path(known[name])
