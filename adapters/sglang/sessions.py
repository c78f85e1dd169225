"""The requests of one scheduler process that have a drafter or a logits processor, by SGLang's own request object.

A session begins when its request is first seen and ends when SGLang drops the request, however that came about:
finished, aborted, or failed. A request that is retracted and scheduled again keeps its session.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from latticework.adapters.sglang import speculation
from latticework.adapters.sglang.backend import LatticeworkGrammar
from latticework.plugins.draft_counts import arm_label
from latticework.plugins.options import RequestOptions
from latticework.plugins.requests import LOG_ID, options_of
from latticework.plugins.scoping import tenant_of_salt
from latticework.plugins.session import SessionTable
from latticework.plugins.tracking import TokenBuffer
from latticework.speculative.drafter import TokenArray

logger = logging.getLogger("latticework.sglang")

#: Where a worker keeps its :class:`SchedulerSessions`.
_ATTRIBUTE = "latticework_sessions"


class SchedulerSessions:
    """One worker's sessions.

    Attributes:
        table: The sessions, by request id.

    Args:
        vocabulary_size: Width of the model's logits.
        algorithm: Name of the server's speculative algorithm.
        ranks: Processes that compute the model together, each with a worker of its own that must draft like this one.
    """

    def __init__(self, vocabulary_size: int, algorithm: str | None, ranks: int = 1) -> None:
        self.table = SessionTable(vocabulary_size, process="scheduler", padded=True, adaptive=ranks == 1)
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
        options = self._served(options_of(req.sampling_params.custom_params, self._defaults))
        if options.drafter is None and options.processor is None:
            return None
        prompt = req.origin_input_ids
        # While a model reasons its grammar is asleep: SGLang's wrapper knows until when, a drafter would not.
        grammar = req.grammar.compiled if isinstance(req.grammar, LatticeworkGrammar) else None
        constraint = repr(req.grammar_key) if req.grammar_key else ""
        tenant = tenant_of_salt(req.cache_salt)
        custom = req.sampling_params.custom_params
        custom = custom if isinstance(custom, Mapping) else {}  # an offline engine takes anything
        arm, log_id = arm_label(custom), custom.get(LOG_ID, "")
        self.table.begin(req.rid, options, np.asarray(prompt, np.int32), grammar, tenant, constraint, arm, log_id)
        self._owners[req.rid] = weakref.ref(req)
        weakref.finalize(req, self._end, req.rid, self._owners[req.rid])
        return TokenBuffer(prompt)

    def _end(self, request_id: str, owner: weakref.ref[Any]) -> None:
        if self._owners.get(request_id) is owner:  # else a later request has taken the id over
            del self._owners[request_id]
            self.table.end(request_id)

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
        width, ranks = worker.model_runner.model_config.vocab_size, worker.server_args.tp_size
        sessions = SchedulerSessions(width, speculation.algorithm(), ranks)
        worker.__dict__[_ATTRIBUTE] = sessions
    return sessions
