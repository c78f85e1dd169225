"""The drafters that look into datastores. Requests name a datastore; the deployment says where it is."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from latticework.plugins.base import PluginOptions
from latticework.plugins.settings import load_settings
from latticework.speculative.combine import CascadeDrafter
from latticework.speculative.datastore import Datastore, open_datastore
from latticework.speculative.dense_retrieval import DenseRetrievalDrafter
from latticework.speculative.drafter import Drafter
from latticework.speculative.retrieval import RetrievalDrafter


class _StoreOptions(PluginOptions):
    datastore: str = Field(
        default="",
        max_length=256,
        validate_default=True,
        description="its name in the settings' drafter.datastores; empty: the only one",
    )

    @field_validator("datastore")
    @classmethod
    def _known(cls, name: str) -> str:
        _folder(name)
        return name


class RetrievalOptions(_StoreOptions):
    """``lw_drafter_*`` of ``retrieval``."""

    longest: int = Field(default=16, ge=1, le=16, description="longest end of the text that is looked up, in tokens")


class RetrievalPlugin:
    """See :mod:`latticework.speculative.retrieval`."""

    name = "retrieval"
    summary = "what followed the end of the text in a datastore (REST)"
    options = RetrievalOptions

    def create(self, options: RetrievalOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        return CascadeDrafter(RetrievalDrafter(_open(options.datastore), options.longest))


class DenseRetrievalOptions(_StoreOptions):
    """``lw_drafter_*`` of ``dense_retrieval``."""

    drafts: int = Field(default=10, ge=1, le=64, description="how many neighbours are taken")
    length: int = Field(default=10, ge=1, le=64, description="how many tokens after each")


class DenseRetrievalPlugin:
    """See :mod:`latticework.speculative.dense_retrieval`."""

    name = "dense_retrieval"
    summary = "what followed similar hidden states in a datastore (DReSD); needs an engine that shows them"
    options = DenseRetrievalOptions

    def create(self, options: DenseRetrievalOptions) -> Drafter:
        """See :meth:`Factory.create`."""
        drafter = DenseRetrievalDrafter(_open(options.datastore), options.drafts, options.length)
        return CascadeDrafter(drafter)


def _open(name: str) -> Datastore:
    return open_datastore(_folder(name))


def _folder(name: str) -> Path:
    """Where a datastore is. Raises ``ValueError``, which the options report with their field's name."""
    known = load_settings().drafter.datastores
    if not name and len(known) == 1:
        return Path(next(iter(known.values())))
    if name not in known:
        listed = ", ".join(known) or "none; see drafter.datastores"
        raise ValueError(f"must name a datastore of this deployment ({listed})")
    return Path(known[name])
