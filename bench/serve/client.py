"""One streamed request: when its first token came, when its last, and what it wrote."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Clock = Callable[[], float]


@dataclass(frozen=True)
class Answer:
    """What came of one request; times in seconds from sending it.

    Attributes:
        tokens: Tokens written, as the engine counts them.
        first: When the first text came.
        seconds: When it was over.
        text: What was written.
        error: Why it failed, empty if it did not.
    """

    tokens: int
    first: float
    seconds: float
    text: str
    error: str = ""


def ask(url: str, body: dict[str, Any], timeout: float, clock: Clock = time.perf_counter) -> Answer:
    """Send a streamed chat completion and read all of it. Never raises because of the server."""
    began = clock()
    try:
        return _ask(url, body, timeout, clock, began)
    except (OSError, ValueError, LookupError, http.client.HTTPException) as error:
        return Answer(0, 0.0, clock() - began, "", str(error) or type(error).__name__)


def _ask(url: str, body: dict[str, Any], timeout: float, clock: Clock, began: float) -> Answer:
    address = urlsplit(url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.netloc, timeout=timeout)
    try:
        path = f"{address.path}/v1/chat/completions"
        connection.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            return Answer(0, 0.0, clock() - began, "", f"status {response.status}: {response.read()[:300].decode()}")
        texts: list[str] = []
        first, tokens = 0.0, 0
        for chunk in _chunks(response):
            if "error" in chunk:
                return Answer(0, 0.0, clock() - began, "", json.dumps(chunk["error"])[:300])
            for choice in chunk.get("choices") or ():
                if text := choice["delta"].get("content"):
                    first = first or clock() - began
                    texts.append(text)
            tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
        return Answer(tokens, first, clock() - began, "".join(texts))
    finally:
        connection.close()


def _chunks(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The events of a stream, up to ``[DONE]``."""
    for line in response:
        if line.startswith(b"data: "):
            data = line[6:].strip()
            if data == b"[DONE]":
                return
            yield json.loads(data)
    raise ValueError("the stream broke off")
