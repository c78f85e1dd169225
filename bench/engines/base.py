"""What the benchmarks ask of an engine: compile a schema, and walk through texts of it token by token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from latticework.structured.vocabulary import Vocabulary


@dataclass(slots=True)
class Walk:
    """One text's way through a grammar. The functions are the engine's own as far as possible, because they are timed.

    Attributes:
        row: The mask that ``fill`` writes, ``int32[words]``, bit ``t % 32`` of word ``t // 32``.
        fill: Computes the mask of the current position.
        accept: Advances by a token. Nothing is asked after a false answer, or after a token that is not in the mask.
        can_end: Whether the text may end here. Asked after ``fill``, and not timed.
    """

    row: npt.NDArray[np.int32]
    fill: Callable[[], object]
    accept: Callable[[int], object]
    can_end: Callable[[], bool]


#: Begins a new text.
Start = Callable[[], Walk]


class Engine(Protocol):
    """An engine bound to one vocabulary."""

    @property
    def version(self) -> str:
        """Name and version of the library that does the work."""
        ...

    def compile(self, schema: Any) -> Start:
        """Compile a schema. Raises :class:`RefusedError`."""
        ...


class RefusedError(Exception):
    """An engine declines a schema.

    Args:
        kind: ``unsupported``; ``invalid``: it says that the schema is wrong or satisfied by nothing; ``budget``.
        reason: What it said.
    """

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        self.reason = reason
        super().__init__(f"{kind}: {reason}")


#: How an engine is built: the vocabulary, and whether ``format`` is asserted where the engine leaves the choice.
Factory = Callable[[Vocabulary, bool], Engine]
