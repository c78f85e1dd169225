"""A logits processor's session behind a guard: when it fails it is off, and the row it was changing is whole again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from latticework.plugins import metrics
from latticework.plugins.base import Processor, ProcessorSession, Role
from latticework.plugins.guard import Guard
from latticework.speculative.draft import Draft


class GuardedProcessor:
    """A :class:`ProcessorSession` that never raises. After a failure every call does nothing.

    Attributes:
        name: Of the plugin.
        active: ``False`` once it has failed: the request goes on as if it had no processor.
    """

    __slots__ = ("_session", "name")

    def __init__(self, name: str, processor: Processor, prompt_ids: Sequence[int]) -> None:
        self.name = name
        self._session: ProcessorSession | None = None
        with self._guard():
            self._session = processor.begin(prompt_ids)

    @property
    def active(self) -> bool:
        """Whether it still does anything."""
        return self._session is not None

    def advance(self, token_ids: Sequence[int]) -> None:
        """See :meth:`ProcessorSession.advance`."""
        self._attempt(lambda session: session.advance(token_ids))

    def rollback(self, count: int) -> None:
        """See :meth:`ProcessorSession.rollback`."""
        if count:
            self._attempt(lambda session: session.rollback(count))

    def apply(self, logits: torch.Tensor) -> None:
        """See :meth:`ProcessorSession.apply`. Costs one copy of the row, so that a failure can be undone."""
        if not self.active:
            return
        before, began = logits.clone(), time.perf_counter()
        self._attempt(lambda session: session.apply(logits))
        metrics.PROCESSOR_ROWS.labels(processor=self.name).inc()
        metrics.PROCESSOR_SECONDS.labels(processor=self.name).inc(time.perf_counter() - began)
        if not self.active:
            logits.copy_(before)

    def apply_over(self, draft: Draft, rows: torch.Tensor) -> None:
        """Process every verified position of a request, each with its own path of the draft as history.

        Args:
            draft: ``n`` nodes. The processor is at the root before and after.
            rows: ``float[>= n + 1, V]``, the root's row and then the nodes', changed in place.
        """
        self.apply(rows[0])
        depth = 0
        for node in draft.preorder():
            self.rollback(depth - (int(draft.depth[node]) - 1))
            self.advance([int(draft.token[node])])
            depth = int(draft.depth[node])
            self.apply(rows[node + 1])
        self.rollback(depth)

    def _attempt(self, call: Callable[[ProcessorSession], None]) -> None:
        if self._session is None:
            return
        with self._guard():
            call(self._session)

    def _guard(self) -> Guard:
        return Guard(Role.PROCESSOR, self.name, "it is off for this request", on_failure=self._switch_off)

    def _switch_off(self) -> None:
        self._session = None
