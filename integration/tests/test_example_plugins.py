"""The example plugins of the manual in real servers: a request names each, and it does what it says."""

from __future__ import annotations

import pytest

from integration.server import Server
from integration.tests.client import answer, chat, complete, error_of, texts

pytestmark = [pytest.mark.engine, pytest.mark.capability("plugins of others")]

COUNTING = "1 2 3 4 5 6 1 2 3 4 5 6 1 2 3 4 5 6 1 2 3"


def test_the_drafter_drafts_and_changes_nothing(server: Server) -> None:
    plain = complete(server, [COUNTING], options={"lw_drafter": "off"})
    accepted = server.metric(server.engine.metrics.accepted)
    # A fixed budget: on a busy machine no draft may pay.
    drafted = complete(server, [COUNTING], options={"lw_drafter": "successor", "lw_drafter_budget": 8})
    assert texts(drafted) == texts(plain)
    assert server.metric(server.engine.metrics.accepted) > accepted, "a text that repeats itself is guessed"


def test_the_processor_ends_repetition(server: Server) -> None:
    """Drafts on or off: the processor sees each drafted position with its own history."""
    (plain,) = texts(complete(server, [COUNTING]))
    options = {"lw_processor": "no_repeat_ngram", "lw_processor_n": 3}
    drafted, undrafted = (
        texts(complete(server, [COUNTING], options={**options, **drafter}))
        for drafter in ({"lw_drafter": "successor", "lw_drafter_budget": 8}, {"lw_drafter": "off"})
    )
    assert drafted == undrafted
    assert plain.count("4 5 6") > 1
    assert drafted[0].count("4 5 6") <= 1


def test_the_constraint_is_made_of_the_prompt(server: Server) -> None:
    prompt = "Which is a colour? Answer with one of these.\n- a table\n- blue\n- seven"
    assert answer(server, prompt, options={"lw_grammar": "listed_answer"}) in ("a table", "blue", "seven")
    response = chat(server, "Which is a colour?", options={"lw_grammar": "listed_answer"})
    assert response.status_code == 400
    assert "lw_grammar_bullet" in str(error_of(response))


def test_the_search_gives_one_answer(server: Server) -> None:
    before = server.metric("latticework_search_candidates_total", search="shortest")
    assert answer(server, "Name a colour.", options={"lw_search": "shortest", "lw_search_n": 2}, max_tokens=8)
    assert server.metric("latticework_search_candidates_total", search="shortest") == before + 2
