"""Bad input in fields that only vLLM has: each a 400 that names the field and the reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration.tests.client import answer, chat, chat_body, post
from integration.tests.test_errors import assert_refused

pytestmark = pytest.mark.engine

SEARCH = {"lw_search": "best_of_n"}


def constraint(**fields: Any) -> dict[str, Any]:
    return {"structured_outputs": fields}


def options(**fields: Any) -> dict[str, Any]:
    return {"vllm_xargs": fields}


BIG = {"enum": [f"{number:04d}" + "x" * 1000 for number in range(1000)]}

#: name: (fields of the request, ``param`` of the error, part of the reason)
BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "schema is a list": (constraint(json="[1, 2]"), "json_schema", "an array"),
    "schema of 1 MB as text": (constraint(json=json.dumps(BIG)), "json_schema", "524288"),
    "schema thousands of levels deep, as text": (
        constraint(json='{"items":' * 5000 + "{}" + "}" * 5000),
        "json_schema",
        "nested too deeply",
    ),
    "no choice": (constraint(choice=[]), "choice", "at least one"),
    "json_object: false": (constraint(json_object=False), "json_object", "must be true"),
    # vLLM reads tags itself before anyone of us sees them, and keeps the reason back.
    "tag of an unknown form": (
        constraint(structural_tag=json.dumps({"type": "structural_tag", "format": {"type": "poem"}})),
        "structural_tag",
        "Invalid structured_outputs",
    ),
    "detail of another backend": (
        constraint(json={"type": "integer"}, whitespace_pattern=" "),
        "whitespace_pattern",
        "not supported",
    ),
    "search with prompt logprobs": (options(**SEARCH) | {"prompt_logprobs": 1}, "lw_search", "prompt_logprobs"),
    "search with beam search": (options(**SEARCH) | {"use_beam_search": True, "n": 2}, "lw_search", "beam search"),
    "drafter with beam search": (options(lw_drafter="off") | {"use_beam_search": True}, "lw_drafter", "beam search"),
}


@pytest.mark.parametrize(("fields", "field", "reason"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(engine, server, fields, field, reason):
    assert_refused(chat(server, **fields), field, reason)
    assert answer(server, structured_outputs={"choice": ["fine"]}) == "fine"


def test_beam_search_of_completions_refuses_options(engine, server):
    body = {"model": server.model, "prompt": "x", "use_beam_search": True, "n": 2, "vllm_xargs": SEARCH}
    assert_refused(post(server, "/v1/completions", body), "lw_search", "beam search")


def test_responses_refuse_alike(engine, server):
    body = {"model": server.model, "input": "x", **constraint(regex="(abc")}
    assert_refused(post(server, "/v1/responses", body), "regex", "")


@pytest.mark.parametrize("depth", [100, 400, 480, 486, 490, 494, 498, 600, 20_000])
@pytest.mark.parametrize("place", ["json", "response_format", "structural_tag", "tool"])
def test_nesting_is_a_400_wherever_it_is_noticed(engine, server, depth, place):
    """Around a thousand levels it is Python's own recursion limit, in vLLM or in its web framework, that is hit."""
    schema = '{"type":"object","properties":{"a":' * depth + '{"type":"string"}' + "}}" * depth
    fields = {
        "json": '"structured_outputs":{"json":%s}',
        "response_format": '"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":%s}}',
        "structural_tag": '"response_format":{"type":"structural_tag",'
        '"format":{"type":"json_schema","json_schema":%s}}',
        "tool": '"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":%s}}],'
        '"tool_choice":{"type":"function","function":{"name":"f"}}',
    }
    body = json.dumps(chat_body(server))[:-1] + "," + fields[place] % schema + "}"
    response = post(server, "/v1/chat/completions", body)
    assert response.status_code == 400, response.text[:500]
    message = response.json()["error"]["message"]
    assert "deep" in message or "depth" in message, "does not say why"
    assert answer(server, structured_outputs={"choice": ["fine"]}) == "fine"
