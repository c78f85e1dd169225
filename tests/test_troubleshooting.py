"""Every message that the manual explains is one that the code can still write."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pydantic_settings
import pytest
from pydantic import ValidationError

from latticework.plugins.options import RequestOptions
from latticework.plugins.settings import Settings
from latticework.structured.errors import LatticeworkError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCES = ("structured", "speculative", "plugins", "adapters", "integration")
#: What stands for a value, in the manual and in the templates made of the source.
VALUE = "…"
#: Fewer letters than that in a template say nothing: "…: …" would fit everything.
FEWEST = 10


def quoted_messages() -> list[str]:
    """The code spans in the first column of the page's tables."""
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [span.strip() for row in rows for _, span in re.findall(r"(`+)(.+?)\1(?!`)", row)]


@cache
def templates() -> frozenset[str]:
    """Every text in the source, with :data:`VALUE` where a value is put in."""
    settings = Path(pydantic_settings.__file__).parent
    files = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py") if "tests" not in path.parts]
    found = set[str]()
    for path in (*files, *settings.rglob("*.py")):
        found.update(_texts(ast.parse(path.read_text(encoding="utf-8"))))
    return frozenset(found)


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        text = _text(node)
        if text is not None:
            text = re.sub(r"%[srd]|\{[a-z_!:.0-9]*\}", VALUE, text)
            yield re.sub(f"{VALUE}+", VALUE, " ".join(text.split()))


def _text(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value) or VALUE for value in values)
    return None


def is_written(message: str) -> bool:
    """Whether a template gives the message or a part of it, or the message is a part of one."""
    return any(message in template or _gives(template, message) for template in templates())


@cache
def _pattern(template: str) -> re.Pattern[str] | None:
    parts = template.strip(VALUE + " ").split(VALUE)
    if sum(letter.isalpha() for part in parts for letter in part) < FEWEST:
        return None
    return re.compile(".+?".join(map(re.escape, parts)))


def _gives(template: str, message: str) -> bool:
    pattern = _pattern(template)
    return pattern is not None and pattern.search(message) is not None


def _error_of(act: Callable[[], Any]) -> str:
    with pytest.raises((LatticeworkError, ValidationError)) as raised:
        act()
    return str(raised.value)


@pytest.fixture(scope="module")
def validation() -> str:
    """What pydantic says of values that are wrong: those messages are in no source of ours."""
    return "\n".join(
        (
            _error_of(lambda: Settings.model_validate({"drafter": {"defalt": "fusion"}})),
            _error_of(lambda: Settings.model_validate({"search": {"max_n": 0}})),
            _error_of(lambda: RequestOptions.parse({"lw_drafter_max_match": 100}, Settings())),
        )
    )


@pytest.mark.parametrize("message", quoted_messages())
def test_the_code_still_writes_it(message: str, validation: str) -> None:
    assert message in validation or is_written(message), f"no text in the source gives {message!r}"


def test_every_row_has_a_cause_and_a_next_step() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(rows) > 60
    for row in rows:
        assert [cell.strip() for cell in row.strip("|").split("|")].count("") == 0, row
        assert row.count("|") == 4, row


def test_what_nobody_writes_is_found_out() -> None:
    assert not is_written("the flux capacitor is empty: …")
    assert not is_written("unknown gadget 'x', did you try turning it off?")
    assert is_written("drafter 'mine' has no such option; its options: lw_drafter_x")
