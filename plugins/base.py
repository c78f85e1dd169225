"""What a plugin is: one switchable capability of one of five roles.

Grammar plugins are :class:`~latticework.structured.engines.base.GrammarEngine` objects themselves. The other roles
are a *factory*: a name, a pydantic model of its options, and ``create(options)``. All are found through the entry point
groups in :data:`ENTRY_POINT_GROUPS`, so a package from anywhere can add one. The option ``max_match`` of the drafter
``prompt_lookup`` is the request option ``lw_drafter_max_match``: flat, scalar, the same on every engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, JsonValue

from latticework.plugins.inputs import InputGrammar
from latticework.speculative.drafter import Drafter
from latticework.structured.search.protocol import SearchPolicy


class Role(StrEnum):
    """The five kinds of capability. The value is the stem of the request option: ``lw_<role>``."""

    ENGINE = "engine"
    GRAMMAR = "grammar"
    DRAFTER = "drafter"
    PROCESSOR = "processor"
    SEARCH = "search"


ENTRY_POINT_GROUPS = {
    Role.ENGINE: "latticework.grammars",
    Role.GRAMMAR: "latticework.factories",
    Role.DRAFTER: "latticework.drafters",
    Role.PROCESSOR: "latticework.processors",
    Role.SEARCH: "latticework.searches",
}

#: The name that switches a role off for one request.
OFF = "off"


#: ``Field(json_schema_extra=KEPT)``: the option says how much is kept across requests. A request may ask for less than
#: the deployment does, not for more: memory is the deployment's.
KEPT: dict[str, JsonValue] = {"kept_across_requests": True}


class PluginOptions(BaseModel):
    """Base of every options model: unknown fields are errors, values are scalars or lists of scalars, with bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ProcessorSession(Protocol):
    """A logits processor's state for one request. The caller keeps it in step with the tokens.

    Under speculative decoding the caller advances over the drafted tokens, applies at each position, and rolls back,
    so :meth:`apply` must depend only on the tokens advanced over so far.
    """

    def advance(self, token_ids: Sequence[int]) -> None:
        """``token_ids`` were written (or are assumed to be)."""
        ...

    def rollback(self, count: int) -> None:
        """Forget the last ``count`` tokens."""
        ...

    def apply(self, logits: torch.Tensor) -> None:
        """Change one row in place. ``logits``: ``float[V]`` on any device; forbidden tokens are already ``-inf``.

        Must leave at least one finite entry, and must never make a ``-inf`` entry finite.
        """
        ...


class Processor(Protocol):
    """A logits processor as stateless configuration."""

    #: ``True``: only meaningful for greedy requests (temperature 0); the adapter refuses it for others with a 400.
    greedy_only: bool

    def begin(self, prompt_ids: Sequence[int]) -> ProcessorSession:
        """A request has arrived."""
        ...


ProductT_co = TypeVar("ProductT_co", InputGrammar, Drafter, Processor, SearchPolicy, covariant=True)


class Factory(Protocol, Generic[ProductT_co]):
    """What the entry points of all roles but the engines resolve to (a class without constructor arguments)."""

    name: str
    summary: str
    options: type[PluginOptions]

    def create(self, options: Any) -> ProductT_co:
        """Build the capability; ``options`` is an instance of :attr:`options`, already validated."""
        ...
