"""``lw_trace`` on a real server: the file of a request says what its answer says, and who wrote which token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from integration.conftest import ServerPool
from integration.launch import Engine
from integration.server import Server
from integration.tests.client import Constraint, answer, chat, error_of, for_tests, wait_until
from latticework.plugins.trace_file import SUFFIX, Trace, read_trace

pytestmark = pytest.mark.engine

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "city": {"enum": ["Berlin", "Paris", "Rome"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "city", "age"],
    "additionalProperties": False,
}
QUESTION = "Bob lives in Berlin. Bob is 5 years old. Write name, city and age of Bob, who lives in Berlin, as JSON."


@dataclass
class Tracing:
    """A server that may trace, and the folder that it was given."""

    server: Server
    folder: Path

    def ask(self, constraint: Constraint | None = None, **options: object) -> tuple[str, Trace]:
        """The answer to a request that is traced, and the trace."""
        before = set(self.folder.iterdir())
        text = answer(self.server, QUESTION, constraint=constraint, options={"lw_trace": True, **options})
        assert wait_until(lambda: len(self.new(before)) == 1, 10), "there is no trace"
        return text, read_trace(self.new(before)[0])

    def new(self, before: set[Path]) -> list[Path]:
        """The traces that are not among ``before``."""
        return [path for path in self.folder.glob(f"*{SUFFIX}") if path not in before]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


@pytest.fixture
def tracing(engine: Engine, server_pool: ServerPool, folder: Path) -> Tracing:
    config = for_tests(engine.lattice)
    variables = (*config.environment, ("LATTICEWORK_TRACE__DIRECTORY", str(folder)))
    return Tracing(server_pool.get(replace(config, environment=variables)), folder)


def text_of(trace: Trace) -> str:
    return b"".join(token.raw for token in trace.written).decode()


@pytest.mark.capability("traces")
def test_a_server_without_a_folder_refuses_to_trace(server):
    response = chat(server, options={"lw_trace": True}, max_tokens=2)
    assert response.status_code == 400
    assert "lw_trace" in error_of(response)["message"]
    assert "trace.directory" in error_of(response)["message"]


@pytest.mark.capability("traces")
def test_a_trace_is_the_answer_token_by_token(tracing):
    text, trace = tracing.ask(("json", SCHEMA), lw_drafter_budget=8)
    assert text_of(trace) == text
    assert (trace.engine, trace.constraint, trace.grammar) == (tracing.server.engine.name, "json_schema", "lattice")
    assert (trace.finish, trace.drafter, trace.unrecorded) == ("stop", "auto", 0)
    written = list(trace.written)
    assert written[-1].name == "<|im_end|>"
    assert all(token.legal is not None and token.legal >= 1 for token in written), "all of it was constrained"
    assert any(token.forced for token in written)
    assert any(token.legal > 1000 for token in written), "a name is free"
    drafted = [node for step in trace.steps for node in step.drafted]
    assert any(node.accepted for node in drafted)
    assert any(node.by == "grammar" for node in drafted)
    assert all(node.accepted for node in drafted if node.legal == 1), "what is forced cannot be rejected"
    assert len(trace.steps) < len(written)
    assert all(step.seconds > 0 for step in trace.steps)


@pytest.mark.capability("traces")
def test_rejected_drafts_are_in_it_and_unknown_facts_are_left_out(tracing):
    """Without a constraint nobody knows how many tokens were legal."""
    text, trace = tracing.ask(lw_drafter="prompt_lookup", lw_drafter_min_match=1, lw_drafter_budget=8)
    assert text_of(trace).removesuffix("<|im_end|>") == text
    assert (trace.constraint, trace.grammar) == (None, None)
    assert {token.legal for token in trace.written} == {None}
    assert any(step.rejected for step in trace.steps)
    assert {node.by for step in trace.steps for node in step.drafted} == {"prompt_lookup"}


@pytest.mark.capability("traces")
def test_a_request_without_a_draft_has_one_token_a_step(tracing):
    text, trace = tracing.ask(("json", SCHEMA), lw_drafter="off")
    assert text_of(trace) == text
    assert trace.drafter is None
    assert all(len(step.written) == 1 and not step.drafted for step in trace.steps)
    assert any(token.forced for token in trace.written)


@pytest.mark.capability("traces")
def test_other_requests_are_not_traced(tracing):
    before = set(tracing.folder.iterdir())
    answer(tracing.server, options={"lw_trace": False}, max_tokens=4)
    answer(tracing.server, max_tokens=4)
    tracing.ask()
    assert len(tracing.new(before)) == 1
