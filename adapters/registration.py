"""What the entry points of all adapters do when an engine calls them: once a process, all hooks or none, no exception.

Imports nothing but the standard library: engines load this in every process they start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from latticework.adapters.hooks import Finding


class Registration:
    """An adapter's way into one process of its engine.

    Args:
        engine: The engine's name, for messages.
        logger: The adapter's.
        log_as_engine: Makes our log lines look like the engine's; called first.
        check: Compares the adapter's table of seams with the installed engine.
        install: Installs all hooks.
    """

    def __init__(
        self,
        engine: str,
        logger: logging.Logger,
        *,
        log_as_engine: Callable[[], None],
        check: Callable[[], list[Finding]],
        install: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._logger = logger
        self._log_as_engine = log_as_engine
        self._check = check
        self._install = install
        self._lock = threading.Lock()
        self._done = False

    def run(self) -> None:
        """Install everything if every seam fits; says in one message what does not. Never raises, acts once."""
        with self._lock:
            if self._done:
                return
            self._done = True
            try:
                self._log_as_engine()
                if self._fits():
                    self._install()
            except Exception:
                self._logger.exception("latticework could not be registered; %s goes on without it", self._engine)

    def _fits(self) -> bool:
        problems = [f"{finding.seam}: {finding.detail}" for finding in self._check() if not finding.ok]
        if problems:
            self._logger.error(
                "latticework is installed but not active, %s is left as it is: %s", self._engine, "; ".join(problems)
            )
        return not problems
