"""Bad input: each a 400 that names the field and the reason, and the server answers the next request."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from integration.tests.client import TIMEOUT, Constraint, answer, chat, chat_body, error_of, post

pytestmark = pytest.mark.engine


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def constrained(kind: str, payload: Any) -> dict[str, Constraint]:
    return {"constraint": (kind, payload)}


def options(**chosen: Any) -> dict[str, Any]:
    return {"options": chosen}


BIG = {"enum": [f"{number:04d}" + "x" * 1000 for number in range(1000)]}
SEARCH = {"lw_search": "best_of_n"}
RECURSIVE = {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}

#: name: (fields of the request, the field that the error names, part of the reason)
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "schema of unknown type": (constrained("json", {"type": "objekt"}), "json_schema", "objekt"),
    "schema with a malformed keyword": (
        constrained("json", {"type": "string", "maxLength": "x"}),
        "json_schema",
        "maxLength",
    ),
    "schema that nothing satisfies": (
        constrained("json", {"type": "integer", "minimum": 3, "maximum": 2}),
        "json_schema",
        "",
    ),
    "schema that refers to itself": (constrained("json", RECURSIVE), "json_schema", ""),
    "schema of 1 MB": (constrained("json", BIG), "json_schema", "524288"),
    "schema 400 levels deep": (constrained("json", nested(200)), "json_schema", "levels deep"),
    "regex that does not parse": (constrained("regex", "(abc"), "regex", ""),
    "regex with a backreference": (constrained("regex", r"(a)\1"), "regex", ""),
    "regex with a huge repetition": (constrained("regex", "((a{1000}){1000}){1000}"), "regex", ""),
    "grammar that does not parse": (constrained("grammar", "root ::= (("), "grammar", ""),
    "grammar without a rule that it uses": (constrained("grammar", "root ::= nothing"), "grammar", "nothing"),
    "empty grammar": (constrained("grammar", " "), "grammar", ""),
    "tag around a regex that does not parse": (
        {"response_format": {"type": "structural_tag", "format": {"type": "regex", "pattern": "(abc"}}},
        "structural_tag",
        "",
    ),
    "unknown engine": (constrained("choice", ["a"]) | options(lw_engine="quick"), "lw_engine", "quick"),
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
}


def assert_refused(response: httpx.Response, field: str, reason: str) -> None:
    assert response.status_code == 400, response.text
    message = error_of(response)["message"]
    assert field in message, message
    assert reason in message, message
    assert len(message) < 2000, "the whole input comes back"


@pytest.mark.capability("bad input")
@pytest.mark.parametrize(("fields", "field", "reason"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(server, fields, field, reason):
    assert_refused(chat(server, **fields), field, reason)
    assert answer(server, constraint=("choice", ["fine"])) == "fine"


@pytest.mark.capability("bad input")
@pytest.mark.parametrize(
    "name", ["regex that does not parse", "schema 400 levels deep", "unknown engine", "unknown option"]
)
def test_streams_are_refused_before_they_begin(server, name):
    fields, field, reason = BAD[name]
    assert_refused(chat(server, stream=True, **fields), field, reason)


@pytest.mark.capability("bad input")
@pytest.mark.parametrize("name", ["regex that does not parse", "unknown drafter", "option of the wrong type"])
def test_completions_refuse_alike(server, name):
    fields, field, reason = BAD[name]
    body = chat_body(server, **fields) | {"prompt": "x"}
    del body["messages"]
    assert_refused(post(server, "/v1/completions", body), field, reason)


@pytest.mark.capability("options of responses")
def test_responses_refuse_alike(server):
    body = {"model": server.model, "input": "x", "max_output_tokens": 4}
    response = post(server, "/v1/responses", body | server.engine.options({"lw_drafter": "quick"}))
    assert_refused(response, "lw_drafter", "prompt_lookup")


@pytest.mark.capability("error parameter")
@pytest.mark.parametrize("name", ["regex that does not parse", "unknown drafter", "option of the wrong type"])
def test_errors_carry_the_field_as_their_parameter(server, name):
    fields, field, _ = BAD[name]
    assert error_of(chat(server, **fields))["param"] == field


@pytest.mark.capability("bad input")
def test_event_loop_goes_on_while_constraints_compile(server):
    """Health checks are answered while expensive constraints are being refused."""
    expression = "(a|aa|aaa|b{1,200}){1,200}c{1,400}(d|e){1,400}"
    with httpx.Client(base_url=server.url, timeout=TIMEOUT) as client:
        for number in range(4):
            expression += f"f{{{number}}}"
            body = chat_body(server, constraint=("regex", expression), max_tokens=2)
            response = client.post("/v1/chat/completions", json=body)
            assert response.status_code in (200, 400), response.text
            assert client.get("/health").status_code == 200
