"""The reference of settings and options: written from the models, complete, and true."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from integration.options_page import PAGE, our_entries, page, request_option_of, settings
from latticework.plugins.describing import fields_of
from latticework.plugins.settings import GrammarSettings, read_settings


def test_the_page_is_written_from_the_models() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m integration.options_page"


def test_every_setting_and_every_option_says_what_it_is() -> None:
    assert [name for name, field in settings() if not field.meaning] == []
    assert [option.name for entry in our_entries() for option in entry.options if not option.description] == []


def test_settings_that_a_request_overrides_name_an_option_there_is() -> None:
    written = page()
    named = {option for name, _ in settings() if (option := request_option_of(name))}
    assert {"lw_engine", "lw_drafter", "lw_drafter_budget", "lw_json_order"} <= named
    assert {option for option in named if f"\n| `{option}` |" not in written} == set()


def test_settings_within_named_tables_are_listed() -> None:
    names = dict(settings())
    assert "ab.experiments.NAME.arms.NAME.weight" in names
    assert names["ab.experiments.NAME.guardrails.speed_ratio"].limits == "above 0, below 1"


def test_variables_of_the_page_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATTICEWORK_DRAFTER__DEFAULT", "fusion")
    monkeypatch.setenv("LATTICEWORK_DRAFTER__OPTIONS", '{"fusion": {"own_rows": 4096}}')
    drafter = read_settings().drafter
    assert (drafter.default, drafter.options) == ("fusion", {"fusion": {"own_rows": 4096}})


@pytest.mark.parametrize("limit", [{"max_states": 0}, {"mask_seconds": -1.0}, {"compile_seconds": float("nan")}])
def test_limits_of_a_grammar_are_held_to_what_the_page_says(limit: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(limit))):
        GrammarSettings.model_validate({"limits": limit})


class _Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class _Everything(BaseModel):
    plain: int
    bounded: int = Field(default=3, ge=1, le=9, description="a number")
    open_below: Annotated[float, Field(gt=0.0, lt=2.5)] = 1.0
    colour: _Colour = _Colour.RED
    maybe: str | None = Field(default=None, min_length=2)
    listed: tuple[Annotated[str, Field(max_length=5)], ...] = Field(default=(), max_length=4)
    either: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    named: dict[str, int] = {}
    free: dict[str, object] = {}


def test_fields_are_described_as_they_are_validated() -> None:
    found = {field.name: field for field in fields_of(_Everything)}
    assert {name: field.values for name, field in found.items()} == {
        "plain": "integer",
        "bounded": "integer, 1 to 9",
        "open_below": "number, above 0, below 2.5",
        "colour": "red | blue",
        "maybe": "string or null, at least 2 characters",
        "listed": "list of string, at most 4 items, each at most 5 characters",
        "either": "auto or integer, at least 1",
        "named": "name to integer",
        "free": "object",
    }
    assert (found["plain"].default, found["bounded"].default, found["colour"].default) == ("required", "3", "red")
    assert found["bounded"].meaning == "a number"
