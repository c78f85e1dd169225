"""Requests to a real server, as a client that knows nothing of latticework but its options would send them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx

from integration.server import LATTICE, Server

#: One server for most tests. In float32, so that what is compared does not hang on ties.
SERVER = replace(LATTICE, dtype="float32")
TIMEOUT = httpx.Timeout(180.0)


def chat_body(server: Server, prompt: str = "Is the sky blue?", **fields: Any) -> dict[str, Any]:
    """Body of a chat completion: greedy and short unless ``fields`` say otherwise."""
    messages = [{"role": "user", "content": prompt}]
    return {"model": server.model, "messages": messages, "temperature": 0, "max_tokens": 64, **fields}


def post(server: Server, path: str, body: dict[str, Any] | str) -> httpx.Response:
    """Send ``body``, as it is if it is text already."""
    content = body if isinstance(body, str) else json.dumps(body)
    return httpx.post(
        f"{server.url}{path}", content=content, headers={"content-type": "application/json"}, timeout=TIMEOUT
    )


def chat(server: Server, prompt: str = "Is the sky blue?", **fields: Any) -> httpx.Response:
    """Send a chat completion."""
    return post(server, "/v1/chat/completions", chat_body(server, prompt, **fields))


def answer(server: Server, prompt: str = "Is the sky blue?", **fields: Any) -> str:
    """The text of a chat completion that must succeed."""
    response = chat(server, prompt, **fields)
    assert response.status_code == 200, response.text
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


def stream(server: Server, **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a streamed chat completion that must succeed."""
    body = chat_body(server, stream=True, stream_options={"include_usage": True}, **fields)
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=TIMEOUT) as response:
        assert response.status_code == 200, response.read()
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether ``condition`` came true within ``seconds``."""
    end = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return true


def is_idle(server: Server) -> bool:
    """Whether the engine has no request left."""
    return server.metric("vllm:num_requests_running") == server.metric("vllm:num_requests_waiting") == 0
