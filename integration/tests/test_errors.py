"""Bad input: each a 400 that names the field and the reason, and the server answers the next request."""

from __future__ import annotations

import httpx
import pytest

from integration.bad_input import BAD
from integration.tests.client import TIMEOUT, answer, chat, chat_body, error_of, post

pytestmark = pytest.mark.engine


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
