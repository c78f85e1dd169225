"""``latticework trace show``: in the terminal, and as a page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, browser
from typer.testing import CliRunner

from latticework.adapters.cli.main import app
from latticework.adapters.cli.trace_html import page
from latticework.plugins.trace_file import Drafted, Step, Trace, Written

RUNNER = CliRunner(env={"COLUMNS": "160"})
COLOURED = CliRunner(env={"COLUMNS": "160", "FORCE_COLOR": "1"})

#: Of every kind of token one: forced, drafted, both, rejected, plain, special; and what a page must not run.
TRACE = Trace(
    id="chatcmpl-1",
    engine="vllm",
    started="2026-11-28T03:00:00.000+00:00",
    prompt_tokens=12,
    drafter="auto",
    constraint="json_schema",
    grammar="lattice",
    finish="stop",
    steps=(
        Step(seconds=0.5, batch=1, written=(Written(id=1, text='{"', legal=1),)),
        Step(
            seconds=0.02,
            draft_seconds=0.0005,
            batch=3,
            drafted=(
                Drafted(id=2, text="name", legal=1, parent=-1, by="grammar", score=1.0, accepted=True),
                Drafted(id=3, text=" Ada", legal=812, parent=0, by="grammar+prompt_lookup", accepted=True),
                Drafted(id=4, text="<i>Bob", legal=9, parent=1, by="grammar+prompt_lookup", score=0.5, accepted=False),
            ),
            written=(
                Written(id=2, text="name", legal=1, draft=0),
                Written(id=3, text=" Ada", legal=812, draft=1),
                Written(id=5, text="<script>document.title = 'run'</script>\n", legal=900),
            ),
        ),
        Step(
            seconds=0.01,
            batch=1,
            written=(Written(id=6, text=r"\x1b[2J\xf0\x9f", legal=900), Written(id=0, text="", name="<end>", legal=2)),
        ),
    ),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.trace.json"
    path.write_text(TRACE.model_dump_json())
    return path


def test_the_answer_and_the_steps_are_printed(file: Path) -> None:
    done = RUNNER.invoke(app, ["trace", "show", str(file)])
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    assert "json_schema, kept by lattice" in text
    assert "6 tokens in 3 steps (2.00 a step), ended by stop" in text
    assert "2 of 6 tokens (33%)" in text
    assert "3 tokens: 2 accepted, 1 rejected" in text
    assert '{"name Ada<script>' in text
    assert "2 20.0 ms name ␣Ada" in text
    assert "1 812 900 <i>Bob" in text


def test_steps_can_be_left_out(file: Path) -> None:
    done = RUNNER.invoke(app, ["trace", "show", str(file), "--no-steps"])
    assert "<i>Bob" not in done.stdout
    assert "name Ada" in done.stdout


def test_tokens_are_coloured_by_who_wrote_them(file: Path) -> None:
    text = COLOURED.invoke(app, ["trace", "show", str(file)]).stdout
    assert '\x1b[1;34m{"\x1b[0m\x1b[1;36mname\x1b[0m\x1b[32m Ada\x1b[0m<script>' in text
    assert "\x1b[9;31m<i>Bob\x1b[0m" in text


def test_no_token_is_a_command_to_the_terminal(file: Path) -> None:
    text = RUNNER.invoke(app, ["trace", "show", str(file)]).stdout
    assert "\x1b" not in text
    assert r"\x1b[2J" in text


def test_a_trace_without_steps_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_text(TRACE.model_copy(update={"steps": (), "finish": "abort"}).model_dump_json())
    done = RUNNER.invoke(app, ["trace", "show", str(path), "--html", str(tmp_path / "page.html")])
    assert done.exit_code == 0
    assert "nothing was written" in done.stdout
    assert "ended by abort" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "cannot be read"), ("no", "is no JSON"), ('{"format": 9}', "reads format 1"), ("[]", "is no trace")],
)
def test_a_broken_file_is_one_line_and_a_status(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "x"
    if text is not None:
        path.write_text(text)
    done = RUNNER.invoke(app, ["trace", "show", str(path)])
    assert done.exit_code == 2
    assert reason in done.stderr
    assert done.stdout == ""


# ---- the page, in a browser


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.html").write_text(page(TRACE), encoding="utf-8")
    with browser(folder / "profile") as found:
        found.open(folder / "page.html")
        yield found


def pointed_at(window: Browser, selector: str, index: int = 0) -> str:
    """What the page says when the mouse is there."""
    window.point_at(selector, index)
    (text,) = window.visible(".about")
    return " ".join(text.split())


def test_the_page_shows_the_answer_and_hides_the_rest(window: Browser) -> None:
    (answer,) = window.visible(".answer")
    assert '{"name Ada' in answer
    assert "step 2" not in answer
    assert window.evaluate("document.querySelector('h1').innerText") == "How chatcmpl-1 was decoded"


def test_every_token_says_what_is_known_of_it_when_pointed_at(window: Browser) -> None:
    assert window.evaluate("document.querySelectorAll('.answer .token').length") == 6
    assert window.evaluate("document.querySelectorAll('.answer .rejected').length") == 1
    forced = pointed_at(window, ".answer .token", 0)
    assert "forced: the only legal token" in forced
    assert "step 1: 1 token in 500.0 ms since it arrived" in forced
    both = pointed_at(window, ".answer .token", 1)
    assert "forced: the only legal token drafted by grammar and accepted" in both
    drafted = pointed_at(window, ".answer .token", 2)
    assert "812 tokens were legal drafted by grammar or prompt_lookup and accepted" in drafted
    assert "step 2: 3 tokens in 20.0 ms after 500 µs of drafting, 3 requests together" in drafted
    plain = pointed_at(window, ".answer .token", 3)
    assert "the model's own choice, where a draft ended or was rejected" in plain
    rejected = pointed_at(window, ".answer .rejected")
    assert "drafted by grammar or prompt_lookup (chance 50%) and rejected" in rejected


def test_kinds_of_tokens_look_different(window: Browser) -> None:
    script = "(({backgroundColor, borderBottomColor, textDecorationLine}) => \
        [backgroundColor, borderBottomColor, textDecorationLine].join())(getComputedStyle(%s))"
    of = "document.querySelectorAll('.answer .token')[{}]".format
    looks = [window.evaluate(script % of(index)) for index in range(4)]
    looks.append(window.evaluate(script % "document.querySelector('.answer .rejected')"))
    assert len(set(looks)) == 5
    assert "line-through" in looks[4]


def test_rejected_drafts_can_be_hidden(window: Browser) -> None:
    assert len(window.visible(".answer .rejected")) == 1
    window.click("#plain")
    assert window.visible(".answer .rejected") == []
    window.click("#plain")
    assert len(window.visible(".answer .rejected")) == 1


def test_every_step_has_a_bar_and_the_first_does_not_set_the_scale(window: Browser) -> None:
    heights = window.evaluate("[...document.querySelectorAll('.times > span')].map(e => e.clientHeight)")
    assert heights[0] == heights[1] > heights[2] > 0
    assert "step 3: 2 tokens in 10.0 ms" in pointed_at(window, ".times > span", 2)


def test_the_page_runs_nothing_and_asks_for_nothing(window: Browser) -> None:
    assert window.evaluate("document.title") == "latticework trace"
    assert window.evaluate("document.scripts.length") == 0
    assert window.evaluate("document.querySelectorAll('.answer i i, .answer > i').length") == 0
    assert [address for address in window.requests if not address.startswith("file:")] == []
    assert len(window.requests) == 1
