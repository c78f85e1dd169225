"""Requests to a real server, as a client that knows nothing of latticework but its options would send them.

What the engines call differently (how a constraint and how latticework's options travel) comes from the server's
engine, so one test speaks to both.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from integration.examples import installed_examples
from integration.launch import ServerConfig
from integration.server import ENGINES, Server

TIMEOUT = httpx.Timeout(180.0)
#: Folders with plugin distributions of the tests' own: drafters and processors that fail, branch or look back.
PLUGINS = os.pathsep.join(str(Path(__file__).parent / name) for name in ("sglang_plugins", "worker_plugins"))

#: A kind of constraint, as :meth:`integration.launch.Engine.constraint` names it, and its payload.
Constraint = tuple[str, Any]


def for_tests(config: ServerConfig) -> ServerConfig:
    """``config`` in float32, so that what is compared does not hang on ties, with tools and plugins of others."""
    plugins = (("PYTHONPATH", os.pathsep.join((PLUGINS, str(installed_examples())))),)
    return replace(config, dtype="float32", environment=plugins).with_flags(*ENGINES[config.engine].tool_flags)


def fields_of(server: Server, constraint: Constraint | None, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a request that carry a constraint and latticework's options."""
    carried = server.engine.constraint(*constraint) if constraint is not None else {}
    return {**carried, **(server.engine.options(options) if options else {})}


def chat_body(
    server: Server,
    prompt: str = "Is the sky blue?",
    constraint: Constraint | None = None,
    options: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Body of a chat completion: greedy and short unless ``fields`` say otherwise."""
    messages = [{"role": "user", "content": prompt}]
    body = {"model": server.model, "messages": messages, "temperature": 0, "max_tokens": 64}
    return {**body, **fields_of(server, constraint, options), **fields}


def post(server: Server, path: str, body: dict[str, Any] | str) -> httpx.Response:
    """Send ``body``, as it is if it is text already."""
    content = body if isinstance(body, str) else json.dumps(body)
    return httpx.post(
        f"{server.url}{path}", content=content, headers={"content-type": "application/json"}, timeout=TIMEOUT
    )


def chat(server: Server, prompt: str = "Is the sky blue?", **fields: Any) -> httpx.Response:
    """Send a chat completion; ``fields`` as for :func:`chat_body`."""
    return post(server, "/v1/chat/completions", chat_body(server, prompt, **fields))


def answer(server: Server, prompt: str = "Is the sky blue?", **fields: Any) -> str:
    """The text of a chat completion that must succeed."""
    response = chat(server, prompt, **fields)
    assert response.status_code == 200, response.text
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


def complete(
    server: Server,
    prompts: list[str],
    constraint: Constraint | None = None,
    options: Mapping[str, Any] | None = None,
    **fields: Any,
) -> list[dict[str, Any]]:
    """The choices of one completion request for several prompts: greedy and short unless ``fields`` say otherwise."""
    body = {"model": server.model, "prompt": prompts, "temperature": 0, "max_tokens": 32}
    response = post(server, "/v1/completions", {**body, **fields_of(server, constraint, options), **fields})
    assert response.status_code == 200, response.text
    choices: list[dict[str, Any]] = response.json()["choices"]
    return sorted(choices, key=lambda choice: int(choice["index"]))


def texts(choices: list[dict[str, Any]]) -> list[str]:
    """What the choices of a completion wrote."""
    return [choice["text"] for choice in choices]


def stream(server: Server, prompt: str = "Is the sky blue?", **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a streamed chat completion that must succeed."""
    body = chat_body(server, prompt, stream=True, stream_options={"include_usage": True}, **fields)
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=TIMEOUT) as response:
        assert response.status_code == 200, response.read()
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def streamed_text(chunks: list[dict[str, Any]]) -> str:
    """What the chunks of a stream wrote together."""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of a refused request: vLLM frames it, SGLang does not."""
    body = response.json()
    error: dict[str, Any] = body.get("error", body)
    return error


def open_sessions(server: Server) -> float:
    """How many requests latticework keeps a session for, where tokens are drafted and masked."""
    return server.metric("latticework_sessions", **server.engine.session_labels)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether ``condition`` came true within ``seconds``."""
    end = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return true
