"""What is said about a document that cannot be read whole, and how much work reading one may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn

from latticework.structured import clock
from latticework.structured.errors import BudgetExceededError, GrammarError, UnsupportedGrammarError
from latticework.structured.json_schema.ir import Dropped
from latticework.structured.json_schema.path import Path, render


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading one document may cost. Exceeding a limit is a ``BudgetExceededError``.

    Attributes:
        max_nesting: Schemas inside schemas, and arrays and objects inside an ``enum``.
        max_nodes: Schemas, counted once for each dynamic scope that they are read in.
        seconds: Wall time.
    """

    max_nesting: int = 128
    max_nodes: int = 100_000
    seconds: float = 10.0


class Report:
    """Turns faults into errors that name the field, the schema's JSON pointer, the keyword and the reason."""

    def __init__(self, field: str, on_unsupported: Literal["error", "warn"]) -> None:
        self.field = field
        self.dropped: list[Dropped] = []
        self._on_unsupported = on_unsupported

    def malformed(self, path: Path, keyword: str, reason: str) -> NoReturn:
        """The document is not a JSON Schema."""
        raise GrammarError(self.field, f"{render(path)}: keyword {keyword!r}: {reason}")

    def unsupported(self, path: Path, keyword: str, reason: str) -> None:
        """The keyword cannot be enforced: an error, or a record that it is left out."""
        if self._on_unsupported == "error":
            raise UnsupportedGrammarError(self.field, f"{render(path)}: keyword {keyword!r}: {reason}")
        self.dropped.append((render(path), keyword, reason))


class Budget:
    """Counts schemas and looks at the clock now and then."""

    _STEPS_PER_LOOK = 256

    def __init__(self, field: str, limits: ReadLimits) -> None:
        self._field = field
        self._limits = limits
        self._deadline = clock.now() + limits.seconds

    def check_nesting(self, depth: int) -> None:
        """Refuse what is nested too deeply."""
        if depth > self._limits.max_nesting:
            self._exceeded(f"nested more than {self._limits.max_nesting} levels deep")

    def check_nodes(self, count: int) -> None:
        """Refuse too many schemas; to be called for every one of them."""
        if count > self._limits.max_nodes:
            self._exceeded(f"more than {self._limits.max_nodes} schemas")
        if count % self._STEPS_PER_LOOK == 0:
            self.check_time()

    def check_time(self) -> None:
        """Refuse what takes too long."""
        if clock.now() > self._deadline:
            self._exceeded(f"took more than {self._limits.seconds:g} seconds to read")

    def _exceeded(self, reason: str) -> NoReturn:
        raise BudgetExceededError(self._field, reason)
