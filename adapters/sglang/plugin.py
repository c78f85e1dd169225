"""Entry point of SGLang's ``sglang.srt.plugins``: loaded by the server, the scheduler and the detokenizer processes.

Registering changes nothing by itself: names are added to SGLang's registries, and the few functions without a registry
are wrapped when their module is first imported, to do nothing until a flag or a request option asks for it. Whatever
goes wrong here leaves SGLang as it was.

Nothing but the standard library may be imported from here: the server's process loads plugins before it sets
``PROMETHEUS_MULTIPROC_DIR``, and metrics created before that never reach ``/metrics``.
"""

from __future__ import annotations

import logging

from latticework.adapters.registration import Registration
from latticework.adapters.sglang import experiments, frontend, grammar, processors, seams, speculation, tracing


def register() -> None:
    """Install everything, once per process. Never raises."""
    _registration.run()


def _install() -> None:
    grammar.install()
    speculation.install()
    processors.install()
    frontend.install()
    experiments.install()
    tracing.install()


def _log_as_sglang() -> None:
    """SGLang configures the root logger; ours follows it, but must not be silenced by its default level."""
    logging.getLogger("latticework").setLevel(logging.INFO)


_registration = Registration(
    "SGLang",
    logging.getLogger("latticework.sglang"),
    log_as_engine=_log_as_sglang,
    check=seams.check,
    install=_install,
)
