"""The requests of one scheduler process that have a drafter or a logits processor, by SGLang's own request object.

A session begins when its request is first seen and ends when SGLang drops the request, however that came about:
finished, aborted, or failed. A request that is retracted and scheduled again keeps its session.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import replace
from typing import Any

import numpy as np

from latticework.adapters.sglang import speculation
from latticework.adapters.sglang.backend import LatticeworkGrammar
from latticework.plugins.options import PREFIX, RequestOptions
from latticework.plugins.session import SessionTable
from latticework.speculative.drafter import TokenArray

logger = logging.getLogger("latticework.sglang")

#: Where a worker keeps its :class:`SchedulerSessions`.
_ATTRIBUTE = "latticework_sessions"


class TokenBuffer:
    """Prompt and output of one request as one array: SGLang keeps two Python sequences that only grow."""

    __slots__ = ("_buffer", "_length", "_prompt_length")

    def __init__(self, prompt: Any) -> None:
        self._prompt_length = self._length = len(prompt)
        self._buffer = np.empty(2 * len(prompt) + 64, np.int32)
        self._buffer[: len(prompt)] = prompt

    def refresh(self, output: Any) -> TokenArray:
        """``int32[n]``: prompt and ``output``, a view that is valid until the next call."""
        known = self._length - self._prompt_length
        if len(output) < known:
            known = 0
        self._length = self._prompt_length + len(output)
        if self._length > len(self._buffer):
            grown = np.empty(2 * self._length, np.int32)
            grown[: len(self._buffer)] = self._buffer
            self._buffer = grown
        self._buffer[self._prompt_length + known : self._length] = output[known:]
        return self._buffer[: self._length]


class SchedulerSessions:
    """One worker's sessions.

    Attributes:
        table: The sessions, by request id.

    Args:
        vocabulary_size: Width of the model's logits.
        algorithm: Name of the server's speculative algorithm.
    """

    def __init__(self, vocabulary_size: int, algorithm: str | None) -> None:
        self.table = SessionTable(vocabulary_size, process="scheduler")
        self._algorithm = algorithm
        self._defaults = self._served(RequestOptions.parse(None))
        self._buffers: weakref.WeakKeyDictionary[Any, TokenBuffer | None] = weakref.WeakKeyDictionary()
        self._owners: dict[str, weakref.ref[Any]] = {}

    def tokens(self, req: Any) -> TokenArray | None:
        """Prompt and output of ``req`` as far as they are on the host; ``None`` if it needs no session.

        Begins the session of a request that is seen for the first time.
        """
        if req not in self._buffers:
            self._buffers[req] = self._begin(req)
        buffer = self._buffers[req]
        return None if buffer is None else buffer.refresh(req.output_ids)

    def _begin(self, req: Any) -> TokenBuffer | None:
        options = self._options(req)
        if options.drafter is None and options.processor is None:
            return None
        prompt = req.origin_input_ids
        # While a model reasons its grammar is asleep: SGLang's wrapper knows until when, a drafter would not.
        grammar = req.grammar.compiled if isinstance(req.grammar, LatticeworkGrammar) else None
        self.table.begin(req.rid, options, np.asarray(prompt, np.int32), grammar)
        self._owners[req.rid] = weakref.ref(req)
        weakref.finalize(req, self._end, req.rid, self._owners[req.rid])
        return TokenBuffer(prompt)

    def _end(self, request_id: str, owner: weakref.ref[Any]) -> None:
        if self._owners.get(request_id) is owner:  # else a later request has taken the id over
            del self._owners[request_id]
            self.table.end(request_id)

    def _options(self, req: Any) -> RequestOptions:
        """What a request asks for. Raises ``LatticeworkError``: the server should have refused it."""
        custom = req.sampling_params.custom_params
        if not custom or not any(isinstance(key, str) and key.startswith(PREFIX) for key in custom):
            return self._defaults
        return self._served(RequestOptions.parse(custom))

    def _served(self, options: RequestOptions) -> RequestOptions:
        """What of ``options`` can be served: nobody asks for our drafts, or for our processors, without our worker."""
        match self._algorithm:
            case speculation.NAME:
                return options
            case None:
                return replace(options, drafter=None)
        if options.processor is not None:
            logger.error("processor %r is off: this server drafts without latticework", options.processor.name)
        return replace(options, drafter=None, processor=None)


def sessions_of(worker: Any) -> SchedulerSessions:
    """The sessions of a target worker, made when they are first needed."""
    sessions: SchedulerSessions | None = worker.__dict__.get(_ATTRIBUTE)
    if sessions is None:
        sessions = SchedulerSessions(worker.model_runner.model_config.vocab_size, speculation.algorithm())
        worker.__dict__[_ATTRIBUTE] = sessions
    return sessions
