"""One replica without an engine: latticework's own front end behind a real web server, for tests of what is between.

``python -m integration.replica NAME PORT`` answers each POST with what arrived and with the arm in the header, assigned
by the code that assigns it in an engine's server. It writes no text and stands in for no engine.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvicorn

from latticework.adapters import http_facts
from latticework.plugins.ab.facts import RequestFacts
from latticework.plugins.requests import front_end
from latticework.structured.errors import LatticeworkError


class Replica:
    """An ASGI application. A stream is held after its first piece until another request goes to ``/release``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._released = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            if scope["path"] == "/release":
                self._released.set()
            await _answer(send, 200, {"replica": self.name, "path": scope["path"]})
            return
        body = await _body(receive)
        http = http_facts.current()
        assert http is not None
        facts = RequestFacts(
            http.headers()["x-request-id"],
            endpoint=http.path,
            user=body.get("user"),
            session=http.headers().get("x-session-id"),
            headers=http.headers(),
            extra=body.get("options", {}),
        )
        front = front_end()
        assert front is not None
        try:
            ticket = front.admit(facts, lambda extra: None)
        except LatticeworkError as error:
            await _answer(send, 400, {"field": error.field})
            return
        if ticket is not None:
            http.tell(ticket.route.header)
        served = {"replica": self.name, "headers": http.headers(), "extra": dict(ticket.extra) if ticket else {}}
        await _answer(send, 200, served, held=self._released if body.get("stream") else None)


async def _body(receive: Any) -> dict[str, Any]:
    content, more = b"", True
    while more:
        message = await receive()
        content, more = content + message.get("body", b""), message.get("more_body", False)
    found: dict[str, Any] = json.loads(content)
    return found


async def _answer(send: Any, status: int, body: dict[str, Any], held: asyncio.Event | None = None) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if held is not None:
        await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
        await held.wait()
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


if __name__ == "__main__":
    app = http_facts.FactsMiddleware(Replica(sys.argv[1]))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")  # type: ignore[arg-type]
