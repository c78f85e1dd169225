"""``bench serve`` without an engine: arms, figures, and the choice of requests. The rest is tested against engines."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from latticework.adapters.cli.main import app
from latticework.bench.records import Record, mixed, read_records
from latticework.bench.serve.arms import Arm, parse_arms
from latticework.bench.serve.client import Answer, ask
from latticework.bench.serve.report import COLUMNS, cells, document, figures, ratio_spread
from latticework.bench.serve.run import Block, Load, Measured, request_body
from latticework.bench.serve.server import Counts, Server
from latticework.structured.errors import LatticeworkError


def block(seconds: float, tokens: int, text: str = "same", error: str = "") -> Block:
    return Block([Answer(tokens, seconds / 4, seconds, text, error)], seconds, tokens=tokens, steps=tokens / 2)


def test_arms_are_servers_or_options() -> None:
    plain, ours = parse_arms(["plain", "ours,url=http://b:1/,lw_drafter=fusion,lw_drafter_own_rows=2048"], "http://a/")
    assert plain == Arm("plain", "http://a", {})
    assert ours == Arm("ours", "http://b:1", {"lw_drafter": "fusion", "lw_drafter_own_rows": 2048})


@pytest.mark.parametrize("texts", [["", "x"], ["lw_drafter=off"], ["a,drafter=off"], ["a,lw_drafter"], ["a", "a"]])
def test_what_is_no_arm_is_refused(texts: list[str]) -> None:
    with pytest.raises(LatticeworkError, match="arm"):
        parse_arms(texts, "http://a")


def test_ratios_are_of_tokens_a_second_to_the_first_arm() -> None:
    arms = [Arm("slow", "http://a"), Arm("fast", "http://a")]
    slow = Measured(arms[0], "vllm", [block(2.0, 10), block(4.0, 20)])
    fast = Measured(arms[1], "vllm", [block(1.0, 10), block(2.0, 20, "other")])
    first, second = figures([slow, fast])
    assert (first.ratio, first.same, first.tokens_per_second) == (1.0, 1.0, 5.0)
    assert (second.ratio, second.same, second.tokens_per_step) == (2.0, 0.5, 2.0)
    assert second.ratio_low == pytest.approx(2.0)
    assert len(cells(second)) == len(COLUMNS)
    saved = json.loads(json.dumps(document([slow, fast], {}, whole=True)))
    assert saved["rows"][1]["ratio"] == 2.0
    assert "text" not in saved["blocks"]["fast"][0]["answers"][0]


def test_a_failure_takes_its_block_out_of_every_arm() -> None:
    arms = [Arm("a", "http://a"), Arm("b", "http://a")]
    good = Measured(arms[0], "vllm", [block(1.0, 10), block(1.0, 10)])
    bad = Measured(arms[1], "vllm", [block(1.0, 10), block(9.0, 0, error="refused")])
    first, second = figures([good, bad])
    assert first.answers == second.answers == 1
    assert (first.failed, second.failed) == (0, 1)
    assert second.ratio == 1.0


def test_the_spread_covers_the_ratio_and_shrinks() -> None:
    few = ratio_spread([(10, 10)] * 4, [(1.0, 2.0), (2.0, 2.0), (1.5, 2.0), (1.2, 2.0)])
    many = ratio_spread([(10, 10)] * 64, [(1.0, 2.0), (2.0, 2.0), (1.5, 2.0), (1.2, 2.0)] * 16)
    assert few[0] < many[0] < 8 / 5.7 < many[1] < few[1]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Counts(100, 10, 0), Counts(200, 60, 0), 2.0),
        (Counts(100, 0, 50), Counts(200, 0, 90), 2.5),
        (Counts(100, 0, 0), Counts(200, 0, 0), 1.0),
    ],
)
def test_steps_are_counted_or_follow_from_what_was_accepted(before: Counts, after: Counts, expected: float) -> None:
    tokens, steps = after.tokens_per_step(before)
    assert tokens / steps == expected


def test_an_arm_without_a_server_is_an_error_that_names_it() -> None:
    with pytest.raises(LatticeworkError, match="no engine answers at http"):
        Server.at("http://127.0.0.1:9")
    answer = ask("http://127.0.0.1:9", {}, timeout=1.0)
    assert answer.error
    assert answer.tokens == 0


def test_kinds_take_turns() -> None:
    kinds = [[Record(f"{kind}{i}", kind, []) for i in range(count)] for kind, count in (("a", 9), ("b", 2))]
    assert [record.name for record in mixed([*kinds, []], 3)] == ["a0", "b0", "a3", "b1", "a6"]


def test_records_say_what_is_wrong_with_them(tmp_path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    (record,) = read_records([path])
    assert (record.name, record.category, record.characters, record.schema) == ("some:1", "some", 2, None)
    path.write_text("{}\n")
    with pytest.raises(LatticeworkError, match="has no messages"):
        read_records([path])
    with pytest.raises(LatticeworkError, match="prompts"):
        read_records([tmp_path / "absent.jsonl"])


def test_records_say_what_their_answers_are_constrained_by() -> None:
    server, load = Server("http://x", "sglang", "m"), Load()
    query = Record("q", "text2sql", [{"role": "user", "content": "?"}], tables={"a": ("b",)})
    form = Record("f", "json_extract", [{"role": "user", "content": "?"}], {"type": "object"})
    arm, without = Arm("a", "http://x", {"lw_drafter": "off"}), Arm("b", "http://x", {"lw_grammar": "off"})
    body = request_body(server, arm, query, load, "salt")
    assert body["custom_params"] == {"lw_grammar": "sql", "lw_drafter": "off"}
    assert "response_format" not in body
    assert request_body(server, without, query, load, "salt")["custom_params"] == {"lw_grammar": "off"}
    body = request_body(server, arm, form, load, "salt")
    assert body["custom_params"] == {"lw_drafter": "off"}
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    for record in (query, form):
        body = request_body(server, arm, record, Load(grammar=False), "salt")
        assert "response_format" not in body
        assert body["custom_params"] == {"lw_drafter": "off"}


def test_the_command_says_what_is_wrong(tmp_path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    result = CliRunner().invoke(app, ["bench", "serve", "--arm", "a,url=http://127.0.0.1:9", "--prompts", str(path)])
    assert result.exit_code == 2
    assert "no engine answers" in result.stderr
