"""One request's decode while it is traced: steps as the engine shows them, and what becomes of them in its file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from latticework.plugins.draft_counts import DraftCounts
from latticework.plugins.legal_counts import CountingEnforcement, key_after, keys_along
from latticework.plugins.trace_file import Drafted, Step, Trace, Written, escaped
from latticework.plugins.tracking import OutputLog
from latticework.speculative.draft import Draft
from latticework.structured.errors import LatticeworkError
from latticework.structured.vocabulary import Vocabulary

#: Who proposes the tokens that a grammar forces, whoever goes on from there.
_GRAMMAR = "grammar"


@dataclass(frozen=True)
class Traced:
    """What is known of a request when it arrives. See :class:`~latticework.plugins.trace_file.Trace`.

    Attributes:
        vocabulary: Gives the vocabulary, from another thread; ``None`` if there is no tokenizer.
    """

    id: str
    engine: str
    prompt_tokens: int
    drafter: str | None
    vocabulary: Callable[[], Vocabulary | None]


@dataclass(frozen=True)
class NotedDraft:
    """What a drafter guessed, in so many seconds, as what follows the first ``length`` tokens of an answer."""

    length: int
    draft: Draft
    seconds: float


@dataclass(frozen=True)
class _Step:
    """A step as it was seen; ``legal`` has a count for each drafted token, then one for each written one."""

    seconds: float
    draft_seconds: float | None
    batch: int
    draft: Draft
    kept: tuple[int, ...]
    written: list[int]
    legal: list[int | None]


class TraceRecord:
    """One request while it is traced.

    Args:
        request: What is known of it.
        limit: Tokens, written and drafted together, that are recorded.
        clock: Seconds, not going back.

    Attributes:
        length: Tokens of the answer seen so far.
    """

    def __init__(self, request: Traced, limit: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.length = 0
        self._request, self._limit, self._clock = request, limit, clock
        self._started, self._last = datetime.now(UTC), clock()
        self._constraint: tuple[str, str] | None = None
        self._steps: list[_Step] = []
        self._left, self._unrecorded = limit, 0
        self._key = 0
        self._noted: dict[int, NotedDraft] = {}

    def note(self, noted: NotedDraft) -> None:
        """A draft was made. It may be for a step after the one that is reported next."""
        self._noted[noted.length] = noted

    @property
    def noted(self) -> Draft | None:
        """The draft for the step that is reported next, if it was noted."""
        found = self._noted.get(self.length)
        return found.draft if found is not None else None

    def step(self, output: Sequence[int], draft: Draft, grammar: CountingEnforcement | None, batch: int) -> None:
        """The engine has finished a step. One that wrote nothing lends its time to the next.

        Args:
            output: The answer so far, what the step wrote at its end.
            draft: What it verified.
            grammar: The request's grammar, if ours; it may have gone on since.
            batch: How many requests were computed together.
        """
        if len(output) < self.length:  # the engine has begun it anew
            self._steps, self.length, self._key = [], 0, 0
            self._left, self._unrecorded = self._limit, 0
        written = list(output[self.length :])
        if not written:
            return
        now = self._clock()
        seconds, self._last = now - self._last, now
        noted = self._noted.get(self.length)
        draft_seconds = noted.seconds if noted is not None else None
        self._noted = {length: later for length, later in self._noted.items() if length > self.length}
        before = keys_along(self._key, draft.parent.tolist(), draft.token.tolist())
        for token in written:
            before.append(self._key)
            self._key = key_after(self._key, token)
        self.length += len(written)
        self._left -= len(before)
        if self._left < 0 or self._unrecorded:
            self._unrecorded += len(written)
            return
        legal: list[int | None] = [None] * len(before)
        if grammar is not None:
            self._constraint = (grammar.compiled.spec.kind, grammar.compiled.engine)
            legal = [grammar.legal(key) for key in before]
        self._steps.append(_Step(seconds, draft_seconds, batch, draft, draft.along(written), written, legal))

    def as_trace(self, finish: str) -> Trace:
        """The record as what is written. Takes long enough to be done in a thread."""
        request = self._request
        texts = _Texts(request.vocabulary)
        constraint, grammar = self._constraint or (None, None)
        return Trace(
            id=request.id,
            engine=request.engine,
            started=self._started.isoformat(timespec="milliseconds"),
            prompt_tokens=request.prompt_tokens,
            drafter=request.drafter,
            constraint=constraint,
            grammar=grammar,
            finish=finish,
            unrecorded=self._unrecorded,
            steps=tuple(_as_step(step, texts, request.drafter or "") for step in self._steps),
        )


class NotedDraftCounts(DraftCounts):
    """Counts the drafts of a request that is traced, and keeps the last one for whoever traces it.

    Args:
        drafter, arm: See :class:`DraftCounts`.
        output: The answer so far, kept up to date by the request's session.
        keep: Takes what was drafted.
    """

    __slots__ = ("_keep", "_output")

    def __init__(self, drafter: str, arm: str, output: OutputLog, keep: Callable[[NotedDraft], None]) -> None:
        super().__init__(drafter, arm)
        self._output, self._keep = output, keep

    def drafted(self, draft: Draft, seconds: float) -> None:
        """See :class:`DraftCounts`."""
        super().drafted(draft, seconds)
        self._keep(NotedDraft(len(self._output), replace(draft, q=None), seconds))


class _Texts:
    """What tokens write."""

    def __init__(self, vocabulary: Callable[[], Vocabulary | None]) -> None:
        self._vocabulary: Vocabulary | None = None
        with suppress(LatticeworkError):  # a tokenizer that does not tell its tokens' bytes
            self._vocabulary = vocabulary()
        names = self._vocabulary.special_names if self._vocabulary is not None else {}
        self._names = {token: name for name, token in names.items()}

    def of(self, token: int) -> tuple[str | None, str | None]:
        """Text and name of a token."""
        if self._vocabulary is None or not 0 <= token < self._vocabulary.size:
            return None, None
        return escaped(self._vocabulary.tokens[token]), self._names.get(token)


def _as_step(step: _Step, texts: _Texts, drafter: str) -> Step:
    draft, kept = step.draft, set(step.kept)
    drafted = []
    for node, (token, parent, legal) in enumerate(
        zip(draft.token.tolist(), draft.parent.tolist(), step.legal, strict=False)
    ):
        text, name = texts.of(token)
        score = None if draft.score is None or np.isnan(draft.score[node]) else float(draft.score[node])
        by = _GRAMMAR if score == 1.0 and _GRAMMAR in draft.origin.split("+") else draft.origin or drafter
        score = None if score is None else round(min(max(score, 0.0), 1.0), 4)
        drafted.append(
            Drafted(
                id=token, text=text, name=name, legal=legal, parent=parent, by=by, score=score, accepted=node in kept
            )
        )
    written = []
    for place, (token, legal) in enumerate(zip(step.written, step.legal[len(draft) :], strict=True)):
        text, name = texts.of(token)
        taken = step.kept[place] if place < len(step.kept) else None
        written.append(Written(id=token, text=text, name=name, legal=legal, draft=taken))
    return Step(
        seconds=step.seconds,
        draft_seconds=step.draft_seconds,
        batch=step.batch,
        drafted=tuple(drafted),
        written=tuple(written),
    )
