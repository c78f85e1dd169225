"""Bad input: each a 400 that names the field and the reason, and the server answers the next request."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from integration.conftest import StartServer
from integration.server import Server
from integration.tests.client import SERVER, TIMEOUT, answer, chat, chat_body, post

pytestmark = pytest.mark.engine


@pytest.fixture
def server(start_server: StartServer) -> Server:
    return start_server(SERVER)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def constraint(**fields: Any) -> dict[str, Any]:
    return {"structured_outputs": fields}


def options(**fields: Any) -> dict[str, Any]:
    return {"vllm_xargs": fields}


BIG = {"enum": [f"{number:04d}" + "x" * 1000 for number in range(1000)]}
SEARCH = {"lw_search": "best_of_n"}

#: name: (fields of the request, ``param`` of the error, part of the reason)
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "schema is not JSON": (constraint(json='{"type": '), "json_schema", "not valid JSON"),
    "schema is a list": (constraint(json="[1, 2]"), "json_schema", "an array"),
    "schema of unknown type": (constraint(json={"type": "objekt"}), "json_schema", "objekt"),
    "schema with a malformed keyword": (
        constraint(json={"type": "string", "maxLength": "x"}),
        "json_schema",
        "maxLength",
    ),
    "keyword that nobody enforces": (
        constraint(json={"type": "object", "unevaluatedProperties": {"type": "string"}}),
        "json_schema",
        "unevaluatedProperties",
    ),
    "schema of 1 MB": (constraint(json=BIG), "json_schema", "524288"),
    "schema of 1 MB as text": (constraint(json=json.dumps(BIG)), "json_schema", "524288"),
    "schema 400 levels deep": (constraint(json=nested(200)), "json_schema", "levels deep"),
    "response format 400 levels deep": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "deep", "schema": nested(200)}}},
        "json_schema",
        "levels deep",
    ),
    "schema thousands of levels deep, as text": (
        constraint(json='{"items":' * 5000 + "{}" + "}" * 5000),
        "json_schema",
        "nested too deeply",
    ),
    "regex that does not parse": (constraint(regex="(abc"), "regex", "never closed"),
    "regex with a lookbehind": (constraint(regex="(?<=a)b"), "regex", "lookaround"),
    "regex with a huge repetition": (constraint(regex="((a{1000}){1000}){1000}"), "regex", ""),
    "no choice": (constraint(choice=[]), "choice", "at least one"),
    "grammar that does not parse": (constraint(grammar="root ::= (("), "grammar", ""),
    "empty grammar": (constraint(grammar=" "), "grammar", "nothing"),
    "json_object: false": (constraint(json_object=False), "json_object", "must be true"),
    "detail of another backend": (
        constraint(json={"type": "integer"}, whitespace_pattern=" "),
        "whitespace_pattern",
        "not supported",
    ),
    "engine that cannot": (
        constraint(json={"type": "integer"}) | options(lw_engine="lattice"),
        "json_schema",
        "lattice",
    ),
    "unknown engine": (constraint(choice=["a"]) | options(lw_engine="quick"), "lw_engine", "quick"),
    "unknown drafter": (options(lw_drafter="quick"), "lw_drafter", "prompt_lookup"),
    "unknown processor": (options(lw_processor="quick"), "lw_processor", "fsd"),
    "unknown search": (options(lw_search="quick"), "lw_search", "best_of_n"),
    "unknown option": (options(lw_serch="best_of_n"), "lw_serch", "lw_search"),
    "unknown option of a plugin": (options(lw_search="best_of_n", lw_search_m=3), "lw_search_m", "lw_search_n"),
    "option of a plugin that is off": (options(lw_search_n=3), "lw_search_n", "lw_search"),
    "name of the wrong type": (options(lw_drafter=3), "lw_drafter", "must be a name"),
    "option of the wrong type": (options(lw_search="best_of_n", lw_search_n="four"), "lw_search_n", "integer"),
    "option out of range": (options(lw_search="best_of_n", lw_search_n=10_000), "lw_search_n", "10000"),
    "greedy-only processor on a sampled request": (
        options(lw_processor="fsd") | {"temperature": 0.8},
        "lw_processor",
        "temperature",
    ),
    "search with several answers": (options(**SEARCH) | {"n": 2, "temperature": 1}, "lw_search", "set n to 1"),
    "search with prompt logprobs": (options(**SEARCH) | {"prompt_logprobs": 1}, "lw_search", "prompt_logprobs"),
    "search with beam search": (options(**SEARCH) | {"use_beam_search": True, "n": 2}, "lw_search", "beam search"),
    "drafter with beam search": (options(lw_drafter="off") | {"use_beam_search": True}, "lw_drafter", "beam search"),
}


def assert_refused(response: httpx.Response, field: str, reason: str) -> None:
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == field, error
    assert field in error["message"]
    assert reason in error["message"], error
    assert len(error["message"]) < 2000, "the whole input comes back"


@pytest.mark.parametrize(("fields", "field", "reason"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(server, fields, field, reason):
    assert_refused(chat(server, **fields), field, reason)
    assert answer(server, structured_outputs={"choice": ["fine"]}) == "fine"


@pytest.mark.parametrize(
    "name", ["regex that does not parse", "schema 400 levels deep", "unknown engine", "unknown option"]
)
def test_streams_are_refused_before_they_begin(server, name):
    fields, field, reason = BAD[name]
    assert_refused(chat(server, stream=True, **fields), field, reason)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses"])
@pytest.mark.parametrize("name", ["regex that does not parse", "unknown drafter", "option of the wrong type"])
def test_other_endpoints_refuse_alike(server, path, name):
    fields, field, reason = BAD[name]
    prompt = {"prompt": "x"} if path.endswith("completions") else {"input": "x"}
    assert_refused(post(server, path, {"model": server.model, **prompt, **fields}), field, reason)


def test_beam_search_of_completions_refuses_options(server):
    body = {"model": server.model, "prompt": "x", "use_beam_search": True, "n": 2, "vllm_xargs": SEARCH}
    assert_refused(post(server, "/v1/completions", body), "lw_search", "beam search")


@pytest.mark.parametrize("depth", [100, 400, 480, 486, 490, 494, 498, 600, 20_000])
@pytest.mark.parametrize("place", ["json", "response_format", "structural_tag", "tool"])
def test_nesting_is_a_400_wherever_it_is_noticed(server, depth, place):
    """Around a thousand levels it is Python's own recursion limit, in vLLM or in its web framework, that is hit."""
    schema = '{"type":"object","properties":{"a":' * depth + '{"type":"string"}' + "}}" * depth
    fields = {
        "json": '"structured_outputs":{"json":%s}',
        "response_format": '"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":%s}}',
        "structural_tag": '"response_format":{"type":"structural_tag",'
        '"format":{"type":"json_schema","json_schema":%s}}',
        "tool": '"tools":[{"type":"function","function":{"name":"f","parameters":%s}}],'
        '"tool_choice":{"type":"function","function":{"name":"f"}}',
    }
    body = json.dumps(chat_body(server))[:-1] + "," + fields[place] % schema + "}"
    response = post(server, "/v1/chat/completions", body)
    assert response.status_code == 400, response.text[:500]
    message = response.json()["error"]["message"]
    assert "deep" in message or "--tool-call-parser" in message, "does not say why"
    assert answer(server, structured_outputs={"choice": ["fine"]}) == "fine"


def test_event_loop_goes_on_while_constraints_compile(server):
    """Health checks are answered while expensive constraints are being refused."""
    body = chat_body(server, structured_outputs={"regex": "(a|aa|aaa|b{1,200}){1,200}c{1,400}(d|e){1,400}"})
    with httpx.Client(base_url=server.url, timeout=TIMEOUT) as client:
        for number in range(4):
            body["structured_outputs"]["regex"] += f"f{{{number}}}"
            response = client.post("/v1/chat/completions", json=body | {"max_tokens": 2})
            assert response.status_code in (200, 400), response.text
            assert client.get("/health").status_code == 200
