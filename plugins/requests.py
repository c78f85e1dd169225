"""The first look at a request, before anything heavy may be imported.

Engines load their adapters in every process, before they fork and before they say where metrics go. So this module
imports nothing but the standard library until a request needs it, and a request without options costs a look at its
keys.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latticework.plugins.ab.front import FrontEnd
    from latticework.plugins.options import RequestOptions, Selection

logger = logging.getLogger("latticework.plugins")

#: What the keys of all our options begin with.
PREFIX = "lw_"
#: A request's choice of its arm, if the deployment lets it choose.
ARM_OPTION = PREFIX + "arm"
#: A request's wish that its decode is written down, if the deployment allows it.
TRACE_OPTION = PREFIX + "trace"
#: What a front end writes beside the options for the engine's other processes: the request's arms as a label of
#: metrics, and its id in the request log. What a client writes there is taken out.
ARM_LABEL, LOG_ID = "latticework_arm", "latticework_id"
#: Environment variables without which there is nothing that a front end must do: a file, or one of its live sections.
_CONFIGURING = tuple(f"LATTICEWORK_{name}" for name in ("CONFIG", "AB", "ACCESS", "SWITCH", "TELEMETRY"))


def names_any(extra: object) -> bool:
    """Whether ``extra``, what a request carries beside the engine's own fields, holds options of ours."""
    return isinstance(extra, Mapping) and any(isinstance(key, str) and key.startswith(PREFIX) for key in extra)


def options_of(extra: Mapping[str, Any] | None, defaults: RequestOptions) -> RequestOptions:
    """What a request asks for; ``defaults``, without any work, if it has no option of ours.

    Raises:
        LatticeworkError: An option is wrong. The front end should have refused it.
    """
    if not names_any(extra):
        return defaults
    from latticework.plugins.options import RequestOptions

    return RequestOptions.parse(extra)


def without_forgery(extra: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """``extra`` itself, or without what only a front end may write."""
    if extra and (ARM_LABEL in extra or LOG_ID in extra):
        return {key: value for key, value in extra.items() if key not in (ARM_LABEL, LOG_ID)}
    return extra


def is_configured() -> bool:
    """Whether the operator has configured anything that changes while servers run: see ``LIVE_SECTIONS``."""
    return any(name.upper().startswith(_CONFIGURING) for name in os.environ)


@lru_cache(maxsize=1)
def front_end() -> FrontEnd | None:
    """This process as the one that requests arrive in; ``None`` where nothing is configured."""
    if not is_configured():
        return None
    from latticework.plugins.ab.front import FrontEnd

    return FrontEnd()


@lru_cache(maxsize=1)
def default_search() -> Selection | None:
    """The search of requests that name none. Wrong settings are logged once; requests that need them say so again."""
    from latticework.plugins.options import RequestOptions
    from latticework.structured.errors import LatticeworkError

    try:
        return RequestOptions.parse(None).search
    except LatticeworkError as error:
        logger.error("latticework's settings are wrong: %s", error)
        return None


@lru_cache(maxsize=1)
def compile_threads() -> ThreadPoolExecutor:
    """Where this process compiles constraints and computes searches: off the event loop and the hot path."""
    from latticework.plugins.settings import load_settings

    return ThreadPoolExecutor(load_settings().limits.compile_threads, thread_name_prefix="latticework")


# A forked process has the pool but not its threads: what it submitted would never run.
os.register_at_fork(after_in_child=compile_threads.cache_clear)
