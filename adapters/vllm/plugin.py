"""Entry point of vLLM's ``vllm.general_plugins``: loaded by the API server, the engine and every worker process.

Registering changes nothing by itself. Each capability hooks its modules when they are first imported, and its hooks do
nothing until a flag or a request option asks for them. Whatever goes wrong here leaves vLLM as it was.

Until vLLM has started its processes nothing but the standard library may be imported from here. They are forked, and
what is loaded goes with them: numba alone breaks vLLM's CPU workers, whose kernel registry trips over llvmlite's
module objects.
"""

from __future__ import annotations

import logging
import threading
from types import ModuleType

from latticework.adapters.vllm import errors, frontend, grammar, options, scanning, seams
from latticework.adapters.vllm.seams import on_import

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
    scanning.install()
    grammar.install()
    options.install()
    frontend.install()
    errors.install()
    for module in ("vllm.v1.worker.gpu_model_runner", "vllm.v1.worker.gpu.model_runner"):
        on_import(module, _install_in_worker)


def _install_in_worker(module: ModuleType) -> None:
    from latticework.adapters.vllm import runner

    runner.install()


def _log_as_vllm() -> None:
    """Give our log lines vLLM's handlers and level, unless the operator configured them."""
    ours, theirs = logging.getLogger("latticework"), logging.getLogger("vllm")
    if not ours.handlers and theirs.handlers:
        ours.handlers = list(theirs.handlers)
        ours.setLevel(theirs.level)
        ours.propagate = False
