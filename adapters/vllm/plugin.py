"""Entry point of vLLM's ``vllm.general_plugins``: loaded by the API server, the engine and every worker process.

Registering changes nothing by itself. Each capability hooks its modules when they are first imported, and its hooks do
nothing until a flag or a request option asks for them. Whatever goes wrong here leaves vLLM as it was.

Until vLLM has started its processes nothing but the standard library may be imported from here. They are forked, and
what is loaded goes with them: numba alone breaks vLLM's CPU workers, whose kernel registry trips over llvmlite's
module objects.
"""

from __future__ import annotations

import logging
from types import ModuleType

from latticework.adapters.registration import Registration
from latticework.adapters.vllm import errors, experiments, frontend, grammar, options, scanning, seams, tracing
from latticework.adapters.vllm.seams import on_import


def register() -> None:
    """Install all hooks, once per process. Never raises."""
    _registration.run()


def _install() -> None:
    scanning.install()
    grammar.install()
    options.install()
    frontend.install()
    errors.install()
    experiments.install()
    tracing.install()
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


_registration = Registration(
    "vLLM",
    logging.getLogger("latticework.vllm"),
    log_as_engine=_log_as_vllm,
    check=seams.check,
    install=_install,
)
