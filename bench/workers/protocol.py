"""What a worker is told and what it answers: one JSON document a line, over its standard input and output.

Requests are ``{"op": "open", "engine", "tokenizer", "clock", "assert_formats", "core"}`` and, any number of times,
``{"op": "case", "schema", "instances": [{"valid", "tokens"}]}``. The answers are an :class:`Opened` and a
:class:`CaseResult`. A worker ends when its input does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Clock(StrEnum):
    """``CPU`` is the time that the process computed: undisturbed by others. ``WALL`` is what a user would wait."""

    CPU = "cpu"
    WALL = "wall"


class Status(StrEnum):
    """What became of a schema. The last three cost the worker its life."""

    COMPILED = "compiled"
    REFUSED = "refused"
    ERROR = "error"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class Opened:
    """A worker is ready.

    Attributes:
        version: Name and version of the library measured.
        build_ms: Wall time from the start of the process until the engine had its tables for the vocabulary.
        warm_up_ms: Wall time for the built-in schemas after that: loading or compiling of code, first use of tables.
        clock_ns: What reading the clock costs; it is subtracted from every time.
        base_rss: Resident memory in bytes before the engine was built: Python, its libraries and the vocabulary.
    """

    version: str
    build_ms: float
    warm_up_ms: float
    clock_ns: int
    base_rss: int


@dataclass(frozen=True, slots=True)
class InstanceResult:
    """One instance.

    Attributes:
        valid: What the case says of it.
        accepted: Whether every token was allowed and the end after them; ``None`` if the engine failed on the way.
        stopped: Index of the token that was not allowed; the number of tokens if it was the end; ``None``: accepted.
        error: What the engine failed with; a token that its mask holds and that it does not accept is a failure.
    """

    valid: bool
    accepted: bool | None
    stopped: int | None = None
    error: str = ""

    @property
    def right(self) -> bool:
        """Whether the engine says what the case says."""
        return self.accepted == self.valid


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One schema.

    Attributes:
        name: Name of the case.
        family: Its family.
        status: See :class:`Status`.
        reason: Why it is not ``compiled``; for a refusal after the refusal's kind and a colon.
        compile_ns: Time to compile.
        first_mask_ns: Time to compile and to compute the first mask.
        token_ns: Time of each token walked (mask and accept), over all instances.
        instances: One result an instance.
        rss: Largest resident memory of the worker so far, in bytes.
    """

    name: str
    family: str
    status: Status
    reason: str = ""
    compile_ns: int = 0
    first_mask_ns: int = 0
    token_ns: list[int] = field(default_factory=list)
    instances: list[InstanceResult] = field(default_factory=list)
    rss: int = 0

    @property
    def right(self) -> bool:
        """Whether it compiled and every instance is right."""
        return self.status is Status.COMPILED and all(instance.right for instance in self.instances)

    @property
    def false_accepts(self) -> int:
        """Invalid instances that were let through: the failures that nobody is told of."""
        return sum(not instance.valid and instance.accepted is True for instance in self.instances)

    @property
    def false_refusals(self) -> int:
        """Valid instances that were blocked, or on which the engine failed."""
        return sum(instance.valid and instance.accepted is not True for instance in self.instances)


def opened_from(message: dict[str, Any]) -> Opened:
    """The answer to ``open``."""
    return Opened(**message)


def case_result_from(name: str, family: str, message: dict[str, Any]) -> CaseResult:
    """The answer to ``case``, which names neither."""
    instances = [InstanceResult(**instance) for instance in message.pop("instances")]
    status = Status(message.pop("status"))
    return CaseResult(name, family, status, instances=instances, **message)
