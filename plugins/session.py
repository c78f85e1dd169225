"""What the worker knows of each live request: its drafter, logits processor and position in its grammar.

The engine's token buffer is the truth and :meth:`SessionTable.sync` brings everything up to it, forwards or backwards,
so an engine that preempts, resumes, re-sends or takes tokens back needs no special call. Nothing here raises because of
a plugin: a failing drafter means no draft, a failing processor an unprocessed row, a failing grammar drafts without
one, each with a counter and one log line.

Not thread-safe: one table belongs to one worker thread.
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from functools import partial
from typing import Any

from latticework.plugins import metrics
from latticework.plugins.base import OFF, Processor, Role
from latticework.plugins.draft_budgets import DraftBudgets
from latticework.plugins.draft_counts import DraftCounts
from latticework.plugins.guard import Guard
from latticework.plugins.instances import Instances
from latticework.plugins.options import RequestOptions, Selection
from latticework.plugins.processing import GuardedProcessor
from latticework.plugins.registry import Registry, registry
from latticework.plugins.request_log import request_log
from latticework.plugins.scoping import scope_of
from latticework.plugins.settings import Settings, load_settings
from latticework.plugins.trace_record import NotedDraft, NotedDraftCounts
from latticework.plugins.tracking import GrammarSource, GrammarTracker, OutputLog
from latticework.speculative.best_path import best_path
from latticework.speculative.draft import EMPTY_DRAFT, Draft
from latticework.speculative.drafter import (
    DraftBudget,
    Drafter,
    RequestView,
    TokenArray,
    VerifiedRows,
    verified_top_k,
)
from latticework.speculative.placeholders import TextOnlyDrafter


class SessionTable:
    """The sessions of one worker, by request id.

    Args:
        vocabulary_size: Drafts with token ids at or above it are refused before they reach the model.
        settings: Default: those of this process.
        plugins: Default: the installed ones.
        process: Label of the session gauge.
        padded: The engine verifies as many positions for every request of a step as the largest draft needs.
        adaptive: See :class:`~latticework.plugins.draft_budgets.DraftBudgets`.

    Attributes:
        budgets: To be told what the engine verifies; see there.
    """

    def __init__(
        self,
        vocabulary_size: int,
        settings: Settings | None = None,
        plugins: Registry | None = None,
        process: str = "worker",
        padded: bool = False,
        adaptive: bool = True,
    ) -> None:
        self._vocabulary_size = vocabulary_size
        self._plugins = plugins or registry()
        settings = settings or load_settings()
        self._tenant, self._placeholders = settings.drafter.tenant, settings.drafter.placeholders
        capacity = settings.limits.plugin_instances
        self._drafters: Instances[Drafter] = Instances(capacity)
        self._processors: Instances[Processor] = Instances(capacity)
        self._sessions: dict[str, _Session] = {}
        self._noted: dict[str, NotedDraft] = {}
        self._gauge = metrics.SESSIONS.labels(process=process)
        self.budgets = DraftBudgets(
            padded=padded, margin=settings.drafter.budget_margin, adaptive=adaptive
        )
        self._warm_up(settings)

    def begin(
        self,
        request_id: str,
        options: RequestOptions,
        prompt: TokenArray,
        grammar: GrammarSource | None = None,
        tenant: str | None = None,
        constraint: str = "",
        arm: str = "",
        log_id: str = "",
    ) -> None:
        """A request has arrived. One of the same id that never ended is ended first.

        Args:
            request_id: Unique while the request lives.
            options: Which capabilities it has.
            prompt: ``int32[n]``, its prompt.
            grammar: Its constraint, or the promise of one: until that is kept, drafts ignore the grammar.
            tenant: Who sent it, as :func:`~latticework.plugins.scoping.tenant_of_salt` says.
            constraint: Its constraint as the engine writes it; equal for requests that are constrained alike.
            arm: See :func:`latticework.plugins.draft_counts.arm_label`.
            log_id: Its name in the request log; empty: it is not logged.
        """
        self.end(request_id)
        scope = scope_of(options.scope, tenant, self._tenant, constraint)
        session = _Session(RequestView(request_id, prompt, len(prompt), scope=scope))
        self._sessions[request_id] = session
        self._gauge.inc()
        if (chosen := options.drafter) is not None:
            session.drafter_name = chosen.name
            session.counts, session.log_id = DraftCounts(chosen.name, arm), log_id
            if options.trace:
                keep = partial(self._noted.__setitem__, request_id)
                session.counts = NotedDraftCounts(chosen.name, arm, session.output, keep)
            session.tracker = GrammarTracker(grammar) if grammar is not None else None
            with _guard(session):
                session.drafter = self._drafters.get(chosen, lambda: self._make_drafter(chosen))
                session.drafter.begin(session.view)
            self.budgets.begin(request_id, chosen.name, options.budget)
        if (selected := options.processor) is not None:
            with Guard(Role.PROCESSOR, selected.name, "it is off for this request"):
                processor = self._processors.get(selected, lambda: self._create(Role.PROCESSOR, selected))
                session.processor = GuardedProcessor(selected.name, processor, prompt.tolist())

    def sync(self, request_id: str, tokens: TokenArray, verified: VerifiedRows | None = None) -> None:
        """Bring a session up to the engine's tokens. Unknown ids and tokens already seen are fine.

        Args:
            request_id: The request.
            tokens: ``int32[n]``, prompt and committed output, a view that stays valid until the next call.
            verified: What the target showed when it wrote the new tokens, if the engine can tell.
        """
        session = self._sessions.get(request_id)
        if session is None or len(tokens) < session.view.prompt_length:
            return
        output = tokens[session.view.prompt_length :]
        known = session.output.common_prefix(output)
        if known < len(session.output):
            self._rewind(session, tokens, known)
        fresh = output[known:].tolist()
        session.view.tokens = tokens
        if fresh:
            self._commit(session, fresh, verified)

    def draft(self, request_id: str, budget: DraftBudget) -> Draft:
        """A guess of what follows the synced tokens; empty where there is nothing to say or something went wrong."""
        session = self._sessions.get(request_id)
        if session is None or session.drafter is None or min(budget.max_nodes, budget.max_depth) <= 0:
            return EMPTY_DRAFT
        draft, seconds = self._guess(session, session.drafter, budget)
        session.drafted = draft
        if session.counts is not None:
            session.counts.drafted(draft, seconds)
        return draft

    def draft_all(
        self, rooms: Mapping[str, int], batch: int, *, branching: Container[str] | None = None
    ) -> dict[str, Draft]:
        """What to verify of a batch in its next step: guesses, cut to what is worth its time.

        Args:
            rooms: The synced requests that may draft, and at most how many nodes.
            batch: How many requests the step decodes, those without a drafter too.
            branching: The requests for which trees can be verified, ``None``: all; else the likeliest path is left.

        Returns:
            The requests that have something to verify.
        """
        self.budgets.begin_step()
        guesses: dict[str, Draft] = {}
        took: dict[str, float] = {}
        for request_id, room in rooms.items():
            session = self._sessions.get(request_id)
            if session is None or session.drafter is None:
                continue
            if (most := self.budgets.allowance(request_id, room)) > 0:
                budget = DraftBudget(most, most, branching is None or request_id in branching)
                guesses[request_id], took[request_id] = self._guess(session, session.drafter, budget)
        chosen = self.budgets.choose(guesses, batch, sum(took.values()))
        for request_id, draft in chosen.items():
            session = self._sessions[request_id]
            session.drafted = draft
            if session.counts is not None:
                session.counts.drafted(draft, took[request_id])
        return {request_id: draft for request_id, draft in chosen.items() if len(draft)}

    def _guess(self, session: _Session, drafter: Drafter, budget: DraftBudget) -> tuple[Draft, float]:
        """What a session's drafter guesses, and how many seconds it took."""
        session.place_matcher()
        draft, began = EMPTY_DRAFT, time.perf_counter()
        with _guard(session):
            draft = self._checked(drafter.draft(session.view, budget), budget)
        if not budget.branching:
            draft = best_path(draft)
        return draft, time.perf_counter() - began

    def verified_top_k(self, request_id: str) -> int:
        """How many of the likeliest tokens per verified position the next :meth:`sync` should bring; 0: none."""
        session = self._sessions.get(request_id)
        return verified_top_k(session.drafter) if session is not None and session.drafter is not None else 0

    def processor_for(self, request_id: str) -> GuardedProcessor | None:
        """The request's logits processor, at the synced tokens; ``None`` if it has none or it has failed.

        The caller may advance it over drafted tokens, and must roll back as many before the next :meth:`sync`.
        """
        session = self._sessions.get(request_id)
        if session is None or session.processor is None or not session.processor.active:
            return None
        return session.processor

    def end(self, request_id: str) -> None:
        """The request is over, however it ended. Unknown ids are fine."""
        session = self._sessions.pop(request_id, None)
        if session is None:
            return
        self._gauge.dec()
        self._noted.pop(request_id, None)
        self.budgets.end(request_id)
        if session.counts is not None and session.log_id and (log := request_log()) is not None:
            log.write(session.counts.record(session.log_id))
        if session.drafter is not None:
            with Guard(Role.DRAFTER, session.drafter_name, "its request is over anyway"):
                session.drafter.end(session.view)

    def take_noted(self) -> dict[str, NotedDraft]:
        """The last drafts of requests that are traced, those made since the last call."""
        noted = self._noted.copy()
        self._noted.clear()
        return noted

    def live(self) -> int:
        """How many requests have a session."""
        return len(self._sessions)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._sessions

    def _commit(self, session: _Session, fresh: list[int], verified: VerifiedRows | None) -> None:
        """``fresh`` tokens are new at the end of ``session.view.tokens``."""
        if len(session.drafted):
            kept = session.drafted.along(fresh[:-1])  # the last one is always the target's own
            self.budgets.settled(session.view.request_id, kept)
            if session.counts is not None:
                session.counts.accepted(len(kept))
        session.drafted = EMPTY_DRAFT
        session.output.extend(fresh)
        if session.processor is not None:
            session.processor.advance(fresh)
        if session.drafter is not None:
            session.place_matcher()
            with _guard(session):
                session.drafter.observe(session.view, fresh, verified)

    def _rewind(self, session: _Session, tokens: TokenArray, known: int) -> None:
        """The engine took back all but ``known`` output tokens. A drafter cannot unlearn, so it begins again."""
        taken_back = len(session.output) - known
        session.output.truncate(known)
        session.drafted = EMPTY_DRAFT
        if session.tracker is not None:
            session.tracker.rewind(known)
        if session.processor is not None:
            session.processor.rollback(taken_back)
        if session.drafter is not None:
            with _guard(session):
                session.drafter.end(session.view)
                prompt_length = session.view.prompt_length
                session.view.tokens, session.view.matcher, session.view.grammar = tokens[:prompt_length], None, None
                session.drafter.begin(session.view)
                if known:
                    session.view.tokens = tokens[: prompt_length + known]
                    session.place_matcher()
                    session.drafter.observe(session.view, session.output.tokens.tolist(), None)

    def _warm_up(self, settings: Settings) -> None:
        """Import and make the default drafter now, so that the first request does not wait for it."""
        if settings.drafter.default == OFF:
            return
        with Guard(Role.DRAFTER, settings.drafter.default, "requests without lw_drafter will report why"):
            chosen = RequestOptions.parse({}, settings, self._plugins).drafter
            if chosen is not None:
                self._drafters.get(chosen, lambda: self._make_drafter(chosen))

    def _make_drafter(self, selection: Selection) -> Drafter:
        drafter: Drafter = self._create(Role.DRAFTER, selection)
        return TextOnlyDrafter(drafter, self._placeholders, self._vocabulary_size)

    def _create(self, role: Role, selection: Selection) -> Any:
        return self._plugins.factory(role, selection.name).create(selection.options)

    def _checked(self, draft: Draft, budget: DraftBudget) -> Draft:
        """``draft`` itself. Raises ``ValueError`` if it would harm the engine: one bad id crashes a whole batch."""
        draft.check()
        if len(draft) > budget.max_nodes or draft.depth.max(initial=0) > budget.max_depth:
            raise ValueError(f"a draft of {len(draft)} nodes exceeds the budget {budget}")
        if draft.token.min(initial=0) < 0 or draft.token.max(initial=0) >= self._vocabulary_size:
            raise ValueError("a draft names a token outside the vocabulary")
        return draft


class _Session:
    """One live request."""

    __slots__ = ("counts", "drafted", "drafter", "drafter_name", "log_id", "output", "processor", "tracker", "view")

    def __init__(self, view: RequestView) -> None:
        self.view = view
        self.tracker: GrammarTracker | None = None
        self.output = OutputLog()
        self.drafter: Drafter | None = None
        self.drafter_name = ""
        self.counts: DraftCounts | None = None
        self.log_id = ""
        self.processor: GuardedProcessor | None = None
        self.drafted = EMPTY_DRAFT

    def place_matcher(self) -> None:
        """Show the drafter the grammar at the end of the output, if it is compiled by now."""
        self.view.matcher = self.tracker.matcher(self.output) if self.tracker is not None else None
        self.view.grammar = self.tracker.grammar if self.tracker is not None and self.view.matcher is not None else None

    def drop_drafter(self) -> None:
        """The drafter has failed. It is told to let go, and nothing it may have left half done is used again."""
        drafter, self.drafter, self.tracker = self.drafter, None, None
        if drafter is not None:
            with Guard(Role.DRAFTER, self.drafter_name, "it is off for this request anyway"):
                drafter.end(self.view)


def _guard(session: _Session) -> Guard:
    return Guard(Role.DRAFTER, session.drafter_name, "no more drafts for this request", on_failure=session.drop_drafter)
