"""Fixtures for tests against real engines. One server lives at a time; equal configurations share it.

A test of what both engines do asks for ``engine`` and runs once for each that is installed; the engines live in
different environments, so it takes both to run it on both (``make test``). A test that needs other flags asks for
``start_server``:

    @pytest.fixture
    def server(engine, start_server):
        return start_server(replace(engine.lattice, dtype="float32"))

What an engine cannot do is an expected failure with the reason that ``integration/capabilities.py`` gives, which the
test asks for by ``@pytest.mark.capability("name")``.

Files called ``test_<engine>_*.py`` are collected where that engine is installed only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration.capabilities import CAPABILITIES
from integration.launch import Engine
from integration.server import ENGINES, Server, ServerConfig, engine_slot, serve
from integration.tests.client import for_tests

StartServer = Callable[[ServerConfig], Server]

#: Fixtures by which tests are put in order. Each begins with the server that the one before ends with, if it can.
SERVERS = (
    "exclusive_engine",
    "generated",
    "arms",
    "constraining_server",
    "reference",
    "server",
    "default_server",
)


class ServerPool:
    """At most one running server, kept from test to test while they ask for the same configuration.

    Args:
        failures: How many tests have failed so far.
    """

    def __init__(self, failures: Callable[[], int]) -> None:
        self._config: ServerConfig | None = None
        self._server: Server | None = None
        self._running = ExitStack()
        self._failures = failures
        self._failed = 0

    def get(self, config: ServerConfig) -> Server:
        """The server of this configuration: the running one if it fits and no test has broken it, else a new one."""
        if self._server is None or config != self._config or self._broken(self._server):
            self.stop()
            self._server = self._running.enter_context(serve(config))
            self._config = config
        return self._server

    def _broken(self, server: Server) -> bool:
        """Whether it is unhealthy, looked at after failures only: to ask takes SGLang a second."""
        before, self._failed = self._failed, self._failures()
        return self._failed != before and not server.healthy()

    def stop(self) -> None:
        """Stop whatever runs."""
        self._server = self._config = None
        self._running.close()


@pytest.fixture(scope="session")
def server_pool(request: pytest.FixtureRequest) -> Iterator[ServerPool]:
    """The pool itself, for tests that kill a server."""
    pool = ServerPool(lambda: request.session.testsfailed)
    try:
        yield pool
    finally:
        pool.stop()


@pytest.fixture
def start_server(server_pool: ServerPool) -> StartServer:
    """Starts (or reuses) a server of any configuration. It lives until another one is asked for."""
    return server_pool.get


@pytest.fixture(scope="session", params=[name for name, engine in ENGINES.items() if engine.is_installed_here()])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every engine of this environment in turn."""
    return ENGINES[request.param]


@pytest.fixture(autouse=True)
def _expect_what_is_refused(request: pytest.FixtureRequest) -> None:
    """Expect a failure where the table of capabilities says that this engine does not have this one."""
    marker = request.node.get_closest_marker("capability")
    if marker is None or "engine" not in request.fixturenames:
        return
    engine: Engine = request.getfixturevalue("engine")
    support = CAPABILITIES[marker.args[0]].on[engine.name]
    if not support.works:
        request.applymarker(pytest.mark.xfail(reason=support.note, strict=True))


@pytest.fixture
def constraining_server(engine: Engine, start_server: StartServer) -> Server:
    """The shared server without speculation: in float32, with the tests' plugins."""
    return start_server(for_tests(engine.constraining))


@pytest.fixture
def default_server(engine: Engine, start_server: StartServer) -> Server:
    """What ``make serve`` starts: everything on, in bfloat16."""
    return start_server(engine.lattice)


@pytest.fixture
def server(engine: Engine, start_server: StartServer) -> Server:
    """The server that most tests of both engines share: everything on, in float32, with the tests' plugins."""
    return start_server(for_tests(engine.lattice))


@pytest.fixture
def exclusive_engine(server_pool: ServerPool) -> Iterator[None]:
    """The machine's one engine place, for a test that runs an engine of its own (in a subprocess, say)."""
    server_pool.stop()
    with engine_slot():
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of the same server next to each other: a restart costs half a minute.

    A ``reference`` is what other servers answer. A test of each needs nothing else and comes first, so that those
    servers have all been asked when ``server`` starts.
    """

    def order(item: pytest.Item) -> int:
        names = getattr(item, "fixturenames", ())
        return max((rank for rank, kind in enumerate(SERVERS, 1) if kind in names), default=0)

    items.sort(key=order)


def _absent() -> list[Engine]:
    return [engine for engine in ENGINES.values() if not engine.is_installed_here()]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the files of an engine that is not in this environment: they import it."""
    name = collection_path.name
    return True if any(name.startswith(f"test_{engine.name}_") for engine in _absent()) else None


def pytest_report_header() -> list[str]:
    """Say what was left out."""
    return [f"{engine.title}: not in this environment (make test-engine ENGINE={engine.name})" for engine in _absent()]
