"""The members of a format, each checked where it is read; errors name the path of the member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latticework.structured.errors import GrammarError, UnsupportedGrammarError

#: Member to the values that leave it without effect; empty: every value is read.
Members = Mapping[str, tuple[Any, ...]]

#: The formats that every reader here reads whole.
COMMON_MEMBERS: dict[str, Members] = {
    "const_string": {"value": ()},
    "regex": {"pattern": ()},
    "token": {"token": ()},
    "sequence": {"elements": ()},
    "or": {"elements": ()},
    "optional": {"content": ()},
    "plus": {"content": ()},
    "star": {"content": ()},
    "repeat": {"content": (), "min": (), "max": ()},
    "tag": {"begin": (), "content": (), "end": ()},
    "triggered_tags": {"triggers": (), "tags": (), "excludes": (), "at_least_one": (), "stop_after_first": ()},
    "tags_with_separator": {"tags": (), "separator": (), "at_least_one": (), "stop_after_first": ()},
}


def check_members(where: str, value: Mapping[str, Any], known: Members) -> None:
    """Refuse what a format has and its reader does not enforce."""
    for member, given in value.items():
        if member != "type" and (member not in known or (known[member] and given not in known[member])):
            raise UnsupportedGrammarError(f"{where}/{member}", f"{given!r} is not enforced here")


def string(where: str, value: Mapping[str, Any], member: str) -> str:
    """A string."""
    if not isinstance(text := value.get(member), str):
        raise GrammarError(f"{where}/{member}", "expected a string")
    return text


def items(where: str, value: Mapping[str, Any], member: str) -> list[Any]:
    """A non-empty array."""
    if not isinstance(found := value.get(member), list) or not found:
        raise GrammarError(f"{where}/{member}", "expected a non-empty array")
    return found


def texts(where: str, value: Mapping[str, Any], member: str) -> list[str]:
    """A possibly missing array of strings, none of them empty: each is contained in any text."""
    found = value.get(member, [])
    if not isinstance(found, list) or not all(isinstance(item, str) and item for item in found):
        raise GrammarError(f"{where}/{member}", "expected an array of non-empty strings")
    return found


def flag(where: str, value: Mapping[str, Any], member: str, *, default: bool = False) -> bool:
    """True or false."""
    if not isinstance(found := value.get(member, default), bool):
        raise GrammarError(f"{where}/{member}", "expected true or false")
    return found
