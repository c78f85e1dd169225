"""Fixtures for tests against real engines. One server lives at a time; equal configurations share it.

A test that needs other flags asks for ``start_server``:

    @pytest.fixture
    def server(start_server):
        return start_server(replace(LATTICE, dtype="float32"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from integration.server import LATTICE, STOCK, Server, ServerConfig, engine_slot, serve

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


@pytest.fixture
def stock_server(start_server: StartServer) -> Server:
    """vLLM as if latticework were not installed."""
    return start_server(STOCK)


@pytest.fixture
def lattice_server(start_server: StartServer) -> Server:
    """vLLM with latticework's grammar backend and proposer."""
    return start_server(LATTICE)


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
