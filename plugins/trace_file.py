"""The file of one traced request: what it holds, how it is called, and how it is read back, strictly.

A trace is the decode of one request, step by step. Texts are those of the vocabulary, byte for byte: what is no UTF-8
stands as ``\\xf0``, and a backslash as ``\\\\``. A fact that an engine does not show is ``null``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from latticework.structured.errors import LatticeworkError

#: Version of the format. A reader refuses any other.
FORMAT: Final = 1
#: What the names of all traces end with.
SUFFIX = ".trace.json"
#: No trace is longer: what is, is not read.
MAX_BYTES = 256 << 20

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_ESCAPE = re.compile(rb"\\(?:\\|x([0-9a-f]{2}))")

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0.0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Token(_Part):
    """One token.

    Attributes:
        id: Its number in the vocabulary.
        text: What it writes, escaped; ``None`` where the vocabulary is not known.
        name: What stands for it in prompts, if it is a special one and writes nothing.
        legal: How many tokens the grammar allowed in its place; ``None`` without a grammar, or if nobody counted.
    """

    id: Count
    text: str | None = None
    name: str | None = None
    legal: Count | None = None

    @property
    def raw(self) -> bytes:
        """What it writes."""
        return unescaped(self.text or "")


class Drafted(Token):
    """A drafted token that the model verified.

    Attributes:
        parent: Which drafted token of its step it follows; -1: the last token before the step.
        by: Who proposed it. Names joined by ``+``: one of these.
        score: The drafter's own estimate that everything up to it is accepted, if it makes one.
        accepted: Whether it was written.
    """

    parent: Annotated[int, Field(ge=-1)]
    by: str
    score: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    accepted: bool


class Written(Token):
    """A token of the answer.

    Attributes:
        draft: Which drafted token of its step it was; ``None``: the model's own.
    """

    draft: Count | None = None

    @property
    def forced(self) -> bool:
        """Whether the grammar allowed no other."""
        return self.legal == 1


class Step(_Part):
    """One step of the engine that wrote something.

    Attributes:
        seconds: Time since the step before; of the first one, since the request arrived.
        draft_seconds: How much of the time before it the drafter took, if it was seen at work.
        batch: How many requests the engine computed together.
        drafted: What was verified.
        written: What was kept.
    """

    seconds: Seconds
    draft_seconds: Seconds | None = None
    batch: Annotated[int, Field(ge=1)]
    drafted: tuple[Drafted, ...] = ()
    written: Annotated[tuple[Written, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> Step:
        if any(node.parent >= index for index, node in enumerate(self.drafted)):
            raise ValueError("drafted: a token must come after its parent")
        accepted = {index for index, node in enumerate(self.drafted) if node.accepted}
        taken = {token.draft: token.id for token in self.written if token.draft is not None}
        if set(taken) != accepted or any(self.drafted[index].id != found for index, found in taken.items()):
            raise ValueError("written: the drafted tokens in it must be those that were accepted")
        return self

    @property
    def rejected(self) -> list[Drafted]:
        """The drafted tokens that were not kept."""
        return [node for node in self.drafted if not node.accepted]


class Trace(_Part):
    """One request.

    Attributes:
        format: Version of this format.
        id: The engine's name of the request.
        engine: ``vllm`` or ``sglang``.
        started: When it arrived, ISO 8601.
        prompt_tokens: Length of its prompt, which is not recorded itself.
        drafter: Who drafts for it; ``None``: nobody.
        constraint: Kind of its constraint; ``None``: it has none, or another backend keeps it.
        grammar: The grammar engine that keeps it.
        finish: Why it ended, in the engine's word; ``abort`` if its client left.
        unrecorded: Tokens written after the trace was full.
        steps: What happened.
    """

    format: Literal[1] = FORMAT
    id: str
    engine: str
    started: str
    prompt_tokens: Count
    drafter: str | None = None
    constraint: str | None = None
    grammar: str | None = None
    finish: str
    unrecorded: Count = 0
    steps: tuple[Step, ...] = ()

    @property
    def written(self) -> Iterator[Written]:
        """The tokens of the answer, in order."""
        return (token for step in self.steps for token in step.written)

    @property
    def seconds(self) -> float:
        """From its arrival to the last step."""
        return sum(step.seconds for step in self.steps)


def file_name(request_id: str) -> str:
    """A name that no request id can make unsafe. Ids that look alike as names are told apart by a digest."""
    safe = _UNSAFE.sub("_", request_id)[:80]
    return f"{safe}-{hashlib.sha256(request_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}{SUFFIX}"


def read_trace(path: Path) -> Trace:
    """The trace in a file.

    Raises:
        LatticeworkError: It cannot be read or is no trace; ``field`` is the file, the reason names the part.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LatticeworkError(str(path), f"is larger than any trace ({MAX_BYTES >> 20} MiB)")
        text = path.read_bytes()
    except OSError as error:
        raise LatticeworkError(str(path), f"cannot be read: {error.strerror}") from error
    try:
        return Trace.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise LatticeworkError(str(path), _reason(error)) from error


def escaped(text: bytes) -> str:
    """Bytes as text that can be read and turned back."""
    return text.replace(b"\\", rb"\\").decode("utf-8", "backslashreplace")


def unescaped(text: str) -> bytes:
    """The inverse of :func:`escaped`."""
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\", text.encode())


def _reason(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return f"is no JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
    if where == "format":
        return f"is of format {first['input']!r}; this version reads format {FORMAT}"
    message = first["msg"].removeprefix("Value error, ")
    return f"is no trace: {where}: {message}" if where else f"is no trace: {message}"
