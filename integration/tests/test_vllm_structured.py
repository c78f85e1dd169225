"""All six kinds of constraint, by every engine that serves them, from a real server; and many of them at once."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import jsonschema
import pytest

from integration.conftest import StartServer
from integration.server import Server
from integration.tests.client import SERVER, TIMEOUT, answer, chat, chat_body, is_idle, post, stream, wait_until

pytestmark = pytest.mark.engine


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server(SERVER)


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
CALL = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TAG = {
    "type": "structural_tag",
    "format": {
        "type": "triggered_tags",
        "triggers": ["<function="],
        "tags": [
            {
                "type": "tag",
                "begin": "<function=get_weather>",
                "content": {"type": "json_schema", "json_schema": CALL},
                "end": "</function>",
            }
        ],
        "at_least_one": True,
        "stop_after_first": True,
    },
}
IPV4 = r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}"
SQL_GBNF = 'root ::= "SELECT " column " FROM " table\ncolumn ::= "name" | "age"\ntable ::= "people" | "pets"\n'
SQL_LARK = 'start: "SELECT " COLUMN " FROM " TABLE\nCOLUMN: "name" | "age"\nTABLE: "people" | "pets"\n'


def is_person(text: str) -> None:
    jsonschema.validate(json.loads(text), SCHEMA)


def is_object(text: str) -> None:
    assert isinstance(json.loads(text), dict)


def is_call(text: str) -> None:
    found = re.search(r"<function=get_weather>(.*)</function>", text, re.DOTALL)
    assert found, text
    jsonschema.validate(json.loads(found[1]), CALL)


def matches(pattern: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        assert re.fullmatch(pattern, text), text

    return check


@dataclass(frozen=True)
class Case:
    name: str
    prompt: str
    body: dict[str, Any]
    check: Callable[[str], None]
    engines: tuple[str, ...]


CASES = [
    Case(
        "response_format",
        "Give me a person as JSON.",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}},
        is_person,
        ("auto", "llguidance"),
    ),
    Case(
        "json",
        "Give me a person as JSON.",
        {"structured_outputs": {"json": SCHEMA}},
        is_person,
        ("auto", "llguidance"),
    ),
    Case(
        "json_object",
        'Repeat this exactly: {"colour": "blue"}',
        {"response_format": {"type": "json_object"}, "max_tokens": 300},
        is_object,
        ("auto", "lattice", "llguidance", "xgrammar"),
    ),
    Case(
        "regex",
        "Give me an IP address.",
        {"structured_outputs": {"regex": IPV4}},
        matches(IPV4),
        ("auto", "lattice", "llguidance", "xgrammar"),
    ),
    Case(
        "choice",
        "Is the sky blue?",
        {"structured_outputs": {"choice": ["yes", "no", "it depends"]}},
        matches("yes|no|it depends"),
        ("auto", "lattice", "llguidance", "xgrammar"),
    ),
    Case(
        "gbnf",
        "Write SQL that selects the names of all pets.",
        {"structured_outputs": {"grammar": SQL_GBNF}},
        matches("SELECT (name|age) FROM (people|pets)"),
        ("auto", "xgrammar"),
    ),
    Case(
        "lark",
        "Write SQL that selects the names of all pets.",
        {"structured_outputs": {"grammar": SQL_LARK}},
        matches("SELECT (name|age) FROM (people|pets)"),
        ("auto", "llguidance"),
    ),
    Case("structural_tag", "What is the weather in Rome?", {"response_format": TAG}, is_call, ("auto", "xgrammar")),
    Case(
        "structural_tag_field",
        "What is the weather in Rome?",
        {"structured_outputs": {"structural_tag": json.dumps(TAG)}},
        is_call,
        ("auto",),
    ),
]


@pytest.mark.parametrize(("case", "engine"), [pytest.param(c, e, id=f"{c.name}-{e}") for c in CASES for e in c.engines])
def test_answer_satisfies_the_constraint(server, case, engine):
    case.check(answer(server, case.prompt, vllm_xargs={"lw_engine": engine}, **case.body))


@pytest.mark.parametrize("temperature", [0.7, 1.5])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sampled_answer_satisfies_the_constraint(server, case, temperature):
    # A hot small model wanders inside strings and numbers; what has no bound of its own needs more tokens.
    body = {"max_tokens": 600} | case.body | {"temperature": temperature, "seed": 11}
    response = chat(server, case.prompt, **body)
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    if choice["finish_reason"] == "stop":
        case.check(choice["message"]["content"])
    else:
        assert choice["finish_reason"] == "length"
        assert case.name in ("json_object", "structural_tag", "structural_tag_field"), "this constraint is bounded"


def test_streamed_answer_satisfies_the_constraint(server):
    chunks = stream(server, structured_outputs={"regex": IPV4})
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    matches(IPV4)(text)


def test_completions_and_responses_are_served_too(server):
    body = {"model": server.model, "prompt": "An address:", "max_tokens": 32, "structured_outputs": {"regex": IPV4}}
    matches(IPV4)(post(server, "/v1/completions", body).json()["choices"][0]["text"])
    body = {
        "model": server.model,
        "input": "Give me a person.",
        "max_output_tokens": 64,
        "text": {"format": {"type": "json_schema", "name": "person", "schema": SCHEMA}},
    }
    response = post(server, "/v1/responses", body)
    assert response.status_code == 200, response.text
    is_person(response.json()["output"][-1]["content"][0]["text"])


def test_several_answers_to_one_request(server):
    response = chat(server, n=3, temperature=1.0, structured_outputs={"regex": IPV4})
    choices = response.json()["choices"]
    assert len(choices) == 3
    for choice in choices:
        matches(IPV4)(choice["message"]["content"])


def test_stop_tokens_of_the_request_wait_for_the_end(server):
    """The first token of "no" as a stop token: it may only come where the text may end."""
    probe = chat(server, structured_outputs={"choice": ["no"]}, return_token_ids=True).json()
    token = probe["choices"][0]["token_ids"][0]
    assert answer(server, structured_outputs={"regex": "yes|no"}, stop_token_ids=[token]) == "yes"


def test_engines_do_not_share_grammars(server):
    """One schema, two engines, alternating: each request is served, and counted, by the engine it names."""

    def compiled(engine: str) -> float:
        return server.metric("latticework_grammar_compiles_total", engine=engine, kind="regex", outcome="ok")

    for engine in ("lattice", "xgrammar", "lattice", "llguidance"):
        before = {name: compiled(name) for name in ("lattice", "xgrammar", "llguidance")}
        matches(IPV4)(answer(server, structured_outputs={"regex": IPV4}, vllm_xargs={"lw_engine": engine}))
        after = {name: compiled(name) for name in before}
        assert {name for name in before if after[name] > before[name]} == {engine}


def test_fallback_is_counted(server):
    def fallbacks() -> float:
        return server.metric("latticework_grammar_fallbacks_total", from_engine="lattice", kind="json_schema")

    before = fallbacks()
    schema = SCHEMA | {"title": "never seen before"}
    is_person(answer(server, "Give me a person.", structured_outputs={"json": schema}))
    assert fallbacks() > before


async def mixed_load(server: Server, count: int) -> list[str]:
    """``count`` requests of mixed kinds at once; every third client leaves in the middle. The others' faults."""
    faults: list[str] = []

    async def stay(client: httpx.AsyncClient, case: Case, extra: dict[str, Any]) -> None:
        body = chat_body(server, case.prompt, **(case.body | extra))
        response = await client.post("/v1/chat/completions", json=body)
        if response.status_code != 200:
            faults.append(f"{case.name}: {response.text}")
            return
        choice = response.json()["choices"][0]
        if choice["finish_reason"] == "stop":
            try:
                case.check(choice["message"]["content"])
            except (AssertionError, ValueError, jsonschema.ValidationError) as error:
                faults.append(f"{case.name}: {error}")

    async def leave(client: httpx.AsyncClient, case: Case, extra: dict[str, Any], number: int) -> None:
        fields = case.body | extra | {"max_tokens": 400, "stream": number % 2 == 0}
        body = chat_body(server, case.prompt, **fields)
        try:
            async with asyncio.timeout(0.2 + 0.1 * (number % 8)):
                async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                    async for _ in response.aiter_lines():
                        pass
        except TimeoutError:
            pass

    options: list[dict[str, Any]] = [
        {},
        {"vllm_xargs": {"lw_drafter": "off"}},
        {"vllm_xargs": {"lw_search": "best_of_n", "lw_search_n": 3}},
        {"temperature": 0.8, "vllm_xargs": {"lw_drafter": "prompt_lookup"}},
        {"vllm_xargs": {"lw_processor": "fsd"}},
    ]
    limits = httpx.Limits(max_connections=count)
    connection = httpx.AsyncClient(base_url=server.url, timeout=TIMEOUT, limits=limits)
    async with connection as client, asyncio.TaskGroup() as group:
        for number in range(count):
            case, extra = CASES[number % len(CASES)], options[number % len(options)]
            if number % 3 == 2:
                group.create_task(leave(client, case, extra, number))
            else:
                group.create_task(stay(client, case, extra))
    return faults


def test_thirty_mixed_requests_with_disconnects_leave_nothing_behind(server):
    assert asyncio.run(mixed_load(server, 30)) == []
    assert wait_until(lambda: is_idle(server)), "requests of clients that left go on"
    # The runner forgets requests at its next step.
    matches("yes|no")(answer(server, structured_outputs={"choice": ["yes", "no"]}))
    answer(server, vllm_xargs={"lw_drafter": "off"})
    assert wait_until(lambda: server.metric("latticework_sessions") == 0), "sessions leak"
    assert server.healthy()
    assert server.metric("latticework_errors_total") == 0
