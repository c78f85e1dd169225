"""Entry point of vLLM's ``vllm.general_plugins``: loaded by the API server, the engine and every worker process.

Registering changes nothing by itself. Each capability hooks its modules when they are first imported, and its hooks do
nothing until a flag or a request option asks for them. Whatever goes wrong here leaves vLLM as it was.
"""

from __future__ import annotations

import logging
import threading

from latticework.adapters.vllm import seams

logger = logging.getLogger("latticework.vllm")

_lock = threading.Lock()
_registered = False


def register() -> None:
    """Install all hooks, once per process. Never raises."""
    global _registered
    with _lock:
        if _registered:
            return
        _registered = True
        try:
            _log_as_vllm()
            if _fits():
                _install()
        except Exception:
            logger.exception("latticework could not be registered; vLLM goes on without it")


def _fits() -> bool:
    """Whether every hook fits this vLLM; says in one message what does not."""
    problems = [f"{finding.seam}: {finding.detail}" for finding in seams.check() if not finding.ok]
    if problems:
        logger.error("latticework is installed but not active, vLLM is left as it is: %s", "; ".join(problems))
    return not problems


def _install() -> None:
    from latticework.adapters.vllm import frontend, grammar, options, runner
    from latticework.plugins.settings import load_settings

    load_settings()  # a wrong setting is the operator's to repair: nothing is installed with half of them
    grammar.install()
    options.install()
    frontend.install()
    runner.install()


def _log_as_vllm() -> None:
    """Give our log lines vLLM's handlers and level, unless the operator configured them."""
    ours, theirs = logging.getLogger("latticework"), logging.getLogger("vllm")
    if not ours.handlers and theirs.handlers:
        ours.handlers = list(theirs.handlers)
        ours.setLevel(theirs.level)
        ours.propagate = False
