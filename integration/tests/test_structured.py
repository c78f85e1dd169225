"""Every kind of constraint, by every engine of ours that serves it, from a real server; and many of them at once."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

import httpx
import jsonschema
import pytest
from tokenizers import Tokenizer

from integration.model import model_path
from integration.server import Server
from integration.tests.client import (
    TIMEOUT,
    Constraint,
    answer,
    chat,
    chat_body,
    complete,
    open_sessions,
    post,
    stream,
    streamed_text,
    texts,
    wait_until,
)

pytestmark = pytest.mark.engine

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
SQL = "SELECT (name|age) FROM (people|pets)"
ANSWERS = ["yes", "no", "it depends"]
TEMPERATURES = (0.7, 1.5)


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
    """A request and what its answer must look like; ``by``: the grammar engines that serve it."""

    name: str
    prompt: str
    check: Callable[[str], None]
    by: tuple[str, ...]
    constraint: Constraint | None = None
    body: dict[str, Any] = field(default_factory=dict)
    bounded: bool = True


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


def tag_format(content: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "structural_tag", "format": content}}


PERSON = "Give me a person as JSON."
WEATHER = "What is the weather in Rome?"
PETS = "Write SQL that selects the names of all pets."
ALL = ("auto", "lattice", "llguidance", "xgrammar")

#: Constraints in the field that each engine has for them.
OWN_FIELDS = [
    Case("json", PERSON, is_person, ("auto", "lattice", "llguidance"), ("json", SCHEMA)),
    Case(
        "json_object",
        'Repeat this exactly: {"colour": "blue"}',
        is_object,
        ALL,
        ("json_object", None),
        {"max_tokens": 150},
        bounded=False,
    ),
    Case("regex", "Give me an IP address.", matches(IPV4), ALL, ("regex", IPV4)),
    Case("choice", "Is the sky blue?", matches("yes|no|it depends"), ALL, ("choice", ANSWERS)),
    Case("gbnf", PETS, matches(SQL), ("auto", "lattice", "xgrammar"), ("grammar", SQL_GBNF)),
    Case("lark", PETS, matches(SQL), ("auto", "lattice", "llguidance"), ("grammar", SQL_LARK)),
    Case("structural_tag", WEATHER, is_call, ("auto", "lattice", "xgrammar"), ("structural_tag", TAG), bounded=False),
]
#: One request body for every engine, apart from the field that carries latticework's options.
ONE_BODY = [
    Case("json by response_format", PERSON, is_person, ("auto", "lattice"), body=schema_format(SCHEMA)),
    Case(
        "json_object by response_format",
        'Repeat this exactly: {"colour": "blue"}',
        is_object,
        ("auto", "lattice"),
        body={"response_format": {"type": "json_object"}, "max_tokens": 150},
        bounded=False,
    ),
    Case(
        "structural_tag by response_format",
        WEATHER,
        is_call,
        ("auto", "lattice"),
        body={"response_format": TAG},
        bounded=False,
    ),
    Case(
        "regex by response_format",
        "Give me an IP address.",
        matches(IPV4),
        ("auto", "lattice"),
        body=tag_format({"type": "regex", "pattern": IPV4}),
    ),
    Case(
        "choice by response_format",
        "Is the sky blue?",
        matches("yes|no|it depends"),
        ("auto", "lattice"),
        body=tag_format({"type": "or", "elements": [{"type": "const_string", "value": text} for text in ANSWERS]}),
    ),
    Case(
        "grammar by response_format",
        PETS,
        matches(SQL),
        ("auto", "lattice"),
        body=tag_format({"type": "grammar", "grammar": SQL_GBNF}),
    ),
]
CASES = [*OWN_FIELDS, *ONE_BODY]


def ids(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, by, id=f"{case.name}-{by}") for case in cases for by in case.by]


@pytest.mark.capability("constraints")
@pytest.mark.parametrize(("case", "by"), ids(OWN_FIELDS))
def test_answer_satisfies_the_constraint(server, case, by):
    case.check(answer(server, case.prompt, constraint=case.constraint, options={"lw_engine": by}, **case.body))


@pytest.mark.capability("one body")
@pytest.mark.parametrize(("case", "by"), ids(ONE_BODY))
def test_one_body_is_answered_by_every_engine(server, case, by):
    case.check(answer(server, case.prompt, options={"lw_engine": by}, **case.body))


@cache
def sampled(server: Server) -> dict[tuple[str, float], httpx.Response]:
    """Answers to every case at every temperature, asked for at once: alone they take minutes."""

    def ask(chosen: tuple[Case, float]) -> httpx.Response:
        case, temperature = chosen
        # A hot small model wanders inside strings and numbers, and for ever where nothing bounds it.
        body = {"max_tokens": 600 if case.bounded else 150, **case.body, "temperature": temperature, "seed": 11}
        return chat(server, case.prompt, constraint=case.constraint, **body)

    asked = list(product(CASES, TEMPERATURES))
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(ask, asked)
    return {(case.name, temperature): one for (case, temperature), one in zip(asked, answers, strict=True)}


@pytest.mark.capability("constraints")
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sampled_answer_satisfies_the_constraint(server, case, temperature):
    response = sampled(server)[case.name, temperature]
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    if choice["finish_reason"] == "stop":
        case.check(choice["message"]["content"])
    else:
        assert choice["finish_reason"] == "length"
        assert not case.bounded, "this constraint is bounded"


@pytest.mark.capability("constraints in streams")
def test_streamed_answer_satisfies_the_constraint(server):
    matches(IPV4)(streamed_text(stream(server, constraint=("regex", IPV4))))


@pytest.mark.capability("constraints of completions")
def test_completions_are_constrained_too(server):
    for text in texts(complete(server, ["An address:", "Another one:"], constraint=("regex", IPV4))):
        matches(IPV4)(text)


@pytest.mark.capability("responses endpoint")
def test_responses_are_constrained_too(server):
    body = {
        "model": server.model,
        "input": "Give me a person.",
        "max_output_tokens": 64,
        "text": {"format": {"type": "json_schema", "name": "person", "schema": SCHEMA}},
    }
    response = post(server, "/v1/responses", body)
    assert response.status_code == 200, response.text
    is_person(response.json()["output"][-1]["content"][0]["text"])


@pytest.mark.capability("tools")
@pytest.mark.parametrize("by", ["auto", "lattice"])
def test_a_tool_that_is_named_is_called(server, by):
    """The prompt asks for something else, so that only the constraint can make the call."""
    function = {"name": "get_weather", "strict": True, "parameters": CALL}
    body = {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    }
    response = chat(server, "Write a haiku about the sea.", options={"lw_engine": by}, **body)
    assert response.status_code == 200, response.text
    call = response.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "get_weather"
    jsonschema.validate(json.loads(call["arguments"]), CALL)


@pytest.mark.capability("constraints")
def test_several_answers_to_one_request(server):
    response = chat(server, n=3, temperature=1.0, constraint=("regex", IPV4))
    choices = response.json()["choices"]
    assert len(choices) == 3
    for choice in choices:
        matches(IPV4)(choice["message"]["content"])


@pytest.mark.capability("stop tokens")
def test_stop_tokens_of_the_request_wait_for_the_end(server):
    """The first token of "no" as a stop token: it may only come where the text may end."""
    token = Tokenizer.from_file(str(model_path() / "tokenizer.json")).encode("no").ids[0]
    assert answer(server, constraint=("regex", "yes|no"), stop_token_ids=[token]) == "yes"


@pytest.mark.capability("engine by request")
def test_engines_do_not_share_grammars(server):
    """One expression, three engines, alternating: each request is served, and counted, by the engine it names."""

    def compiled(engine: str) -> float:
        return server.metric("latticework_grammar_compiles_total", engine=engine, kind="regex", outcome="ok")

    for engine in ("lattice", "xgrammar", "lattice", "llguidance"):
        before = {name: compiled(name) for name in ("lattice", "xgrammar", "llguidance")}
        matches(IPV4)(answer(server, constraint=("regex", IPV4), options={"lw_engine": engine}))
        after = {name: compiled(name) for name in before}
        assert {name for name in before if after[name] > before[name]} == {engine}


async def mixed_load(server: Server, count: int) -> list[str]:
    """``count`` requests of mixed kinds at once; every third client leaves in the middle. The others' faults."""
    faults: list[str] = []

    async def stay(client: httpx.AsyncClient, case: Case, extra: dict[str, Any]) -> None:
        body = chat_body(server, case.prompt, constraint=case.constraint, **(case.body | extra))
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
        body = chat_body(server, case.prompt, constraint=case.constraint, **fields)
        try:
            async with asyncio.timeout(0.2 + 0.1 * (number % 8)):
                async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                    async for _ in response.aiter_lines():
                        pass
        except TimeoutError:
            pass

    extras: list[dict[str, Any]] = [
        {},
        {"options": {"lw_drafter": "off"}},
        {"options": {"lw_search": "best_of_n", "lw_search_n": 3}},
        {"temperature": 0.8, "options": {"lw_drafter": "prompt_lookup"}},
        {"options": {"lw_processor": "fsd"}},
    ]
    limits = httpx.Limits(max_connections=count)
    connection = httpx.AsyncClient(base_url=server.url, timeout=TIMEOUT, limits=limits)
    async with connection as client, asyncio.TaskGroup() as group:
        for number in range(count):
            case, extra = CASES[number % len(CASES)], extras[number % len(extras)]
            if number % 3 == 2:
                group.create_task(leave(client, case, extra, number))
            else:
                group.create_task(stay(client, case, extra))
    return faults


@pytest.mark.capability("disconnects")
def test_thirty_mixed_requests_with_disconnects_leave_nothing_behind(server):
    errors = server.metric("latticework_errors_total")
    assert asyncio.run(mixed_load(server, 30)) == []
    assert wait_until(server.is_idle), "requests of clients that left go on"
    # Engines hold on to a request until their next step.
    matches("yes|no")(answer(server, constraint=("choice", ["yes", "no"])))
    answer(server, options={"lw_drafter": "off"})
    assert wait_until(lambda: open_sessions(server) <= server.engine.sessions_kept), "sessions leak"
    assert server.healthy()
    assert server.metric("latticework_errors_total") == errors
