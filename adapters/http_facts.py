"""What an HTTP request says beside its body, kept for as long as it is served; and the arm, as a header of the answer.

One ASGI middleware for all engines: both of their servers are Starlette applications. It is added only where the
deployment is configured, and costs a request two assignments and a look at its headers when an experiment wants them.
Imports nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

#: Tells the client which arms served it.
HEADER = b"x-latticework-arm"
#: Characters of it. Proxies refuse answers whose headers are long, and a request of many prompts may have many arms.
MAX_HEADER = 1024

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class HttpFacts:
    """One HTTP request.

    Attributes:
        arms: What the answer's header says; empty: nothing.
        model, user: Of its body, where an adapter has seen them.
    """

    __slots__ = ("_scope", "arms", "model", "user")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.arms = ""
        self.model = ""
        self.user: str | None = None

    @property
    def path(self) -> str:
        """Of the URL."""
        path: str = self._scope.get("path", "")
        return path

    def headers(self) -> dict[str, str]:
        """By name in lower case; of several with one name, the last."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._scope["headers"]}

    def tell(self, arms: str) -> None:
        """Have the answer say which arms served it. Of several prompts in one request each may have its own.

        What does not fit into :data:`MAX_HEADER` is left out.
        """
        if arms and arms not in self.arms.split("; ") and len(self.arms) + len(arms) + 2 <= MAX_HEADER:
            self.arms = f"{self.arms}; {arms}" if self.arms else arms


_current: ContextVar[HttpFacts | None] = ContextVar("latticework_http", default=None)


def current() -> HttpFacts | None:
    """The HTTP request that is being served here; ``None`` offline."""
    return _current.get()


class FactsMiddleware:
    """ASGI middleware around an engine's application."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        facts = HttpFacts(scope)
        token = _current.set(facts)

        async def send_with_arms(message: Message) -> None:
            if message["type"] == "http.response.start" and facts.arms:
                message["headers"] = [*message.get("headers", ()), (HEADER, facts.arms.encode("latin-1"))]
            await send(message)

        try:
            await self._app(scope, receive, send_with_arms)
        finally:
            _current.reset(token)
