"""Entry point of SGLang's ``sglang.srt.plugins``: loaded by the server, the scheduler and the detokenizer processes.

Registering changes nothing by itself: names are added to SGLang's registries, and the few functions without a registry
are wrapped when their module is first imported, to do nothing until a flag or a request option asks for it. Whatever
goes wrong here leaves SGLang as it was.

Nothing but the standard library may be imported from here: the server's process loads plugins before it sets
``PROMETHEUS_MULTIPROC_DIR``, and metrics created before that never reach ``/metrics``.
"""

from __future__ import annotations

import logging
import threading

from latticework.adapters.sglang import frontend, grammar, processors, seams, speculation

logger = logging.getLogger("latticework.sglang")

_lock = threading.Lock()
_registered = False


def register() -> None:
    """Install everything, once per process. Never raises."""
    global _registered
    with _lock:
        if _registered:
            return
        _registered = True
        try:
            _log_as_sglang()
            if _fits():
                grammar.install()
                speculation.install()
                processors.install()
                frontend.install()
        except Exception:
            logger.exception("latticework could not be registered; SGLang goes on without it")


def _fits() -> bool:
    """Whether every seam fits this SGLang; says in one message what does not."""
    problems = [f"{finding.seam}: {finding.detail}" for finding in seams.check() if not finding.ok]
    if problems:
        logger.error("latticework is installed but not active, SGLang is left as it is: %s", "; ".join(problems))
    return not problems


def _log_as_sglang() -> None:
    """SGLang configures the root logger; ours follows it, but must not be silenced by its default level."""
    logging.getLogger("latticework").setLevel(logging.INFO)
