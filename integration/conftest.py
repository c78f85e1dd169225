"""Fixtures for tests against real engines. One server lives at a time; equal configurations share it.

A test of what both engines do asks for ``engine`` and runs once for each; the engines live in different environments,
so one of the two is skipped and runs in the other's (``make test-engine ENGINE=...``). A test that needs other flags
asks for ``start_server``:

    @pytest.fixture
    def server(engine, start_server):
        return start_server(replace(engine.lattice, dtype="float32"))

Files called ``test_<engine>_*.py`` are collected where that engine is installed only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration.launch import Engine
from integration.server import ENGINES, Server, ServerConfig, engine_slot, serve

StartServer = Callable[[ServerConfig], Server]


class ServerPool:
    """At most one running server, kept from test to test while they ask for the same configuration."""

    def __init__(self) -> None:
        self._config: ServerConfig | None = None
        self._server: Server | None = None
        self._running = ExitStack()

    def get(self, config: ServerConfig) -> Server:
        """The server of this configuration: the running one if it fits and is healthy, else a new one."""
        if self._server is None or config != self._config or not self._server.healthy():
            self.stop()
            self._server = self._running.enter_context(serve(config))
            self._config = config
        return self._server

    def stop(self) -> None:
        """Stop whatever runs."""
        self._server = self._config = None
        self._running.close()


@pytest.fixture(scope="session")
def server_pool() -> Iterator[ServerPool]:
    """The pool itself, for tests that kill a server."""
    pool = ServerPool()
    try:
        yield pool
    finally:
        pool.stop()


@pytest.fixture
def start_server(server_pool: ServerPool) -> StartServer:
    """Starts (or reuses) a server of any configuration. It lives until another one is asked for."""
    return server_pool.get


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every engine in turn; one that is not installed in this environment is skipped."""
    engine = ENGINES[request.param]
    if not engine.is_installed_here():
        pytest.skip(f"{engine.title} has an environment of its own: make test-engine ENGINE={engine.name}")
    return engine


def _engine_of(request: pytest.FixtureRequest) -> Engine:
    """The engine the test asks for; vLLM if it does not ask."""
    if "engine" not in request.fixturenames:
        return ENGINES["vllm"]
    engine: Engine = request.getfixturevalue("engine")
    return engine


@pytest.fixture
def stock_server(request: pytest.FixtureRequest, start_server: StartServer) -> Server:
    """The engine (vLLM, unless the test asks for ``engine``) as if latticework were not installed."""
    return start_server(_engine_of(request).stock)


@pytest.fixture
def lattice_server(request: pytest.FixtureRequest, start_server: StartServer) -> Server:
    """The same with latticework's grammar backend and speculation."""
    return start_server(_engine_of(request).lattice)


@pytest.fixture
def exclusive_engine(server_pool: ServerPool) -> Iterator[None]:
    """The machine's one engine place, for a test that runs an engine of its own (in a subprocess, say)."""
    server_pool.stop()
    with engine_slot():
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of the same server next to each other: a restart costs half a minute."""

    def order(item: pytest.Item) -> int:
        names = getattr(item, "fixturenames", ())
        kinds = ("stock_server", "lattice_server", "start_server", "exclusive_engine")
        return next((rank for rank, kind in enumerate(kinds, 1) if kind in names), 0)

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
