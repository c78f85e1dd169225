"""Arms: what is compared. Servers, or different options at one server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from latticework.structured.errors import LatticeworkError

_URL = "url"
_OPTION = "lw_"


@dataclass(frozen=True)
class Arm:
    """One of the things compared.

    Attributes:
        name: How it is called in the report.
        url: Its server, without a trailing slash and without ``/v1``.
        options: Options of latticework that its requests carry.
    """

    name: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_arms(texts: Sequence[str], url: str) -> list[Arm]:
    """Arms as written on a command line: ``NAME``, ``NAME,lw_drafter=off`` or ``NAME,url=http://host:port,...``.

    Args:
        texts: One an arm.
        url: The server of arms that name none.

    Raises:
        LatticeworkError: One cannot be read, or two have the same name.
    """
    arms = [_arm(text, url.rstrip("/")) for text in texts]
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise LatticeworkError("arm", f"two arms have the same name: {', '.join(names)}")
    return arms


def _arm(text: str, url: str) -> Arm:
    name, *settings = (part.strip() for part in text.split(","))
    if not name or "=" in name:
        raise LatticeworkError("arm", f"{text!r} does not begin with a name, as in 'fast,lw_drafter=fusion'")
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or (key != _URL and not key.startswith(_OPTION)):
            raise LatticeworkError("arm", f"{setting!r} of {name!r} is neither url=... nor an option lw_...=...")
        if key == _URL:
            url = value.rstrip("/")
        else:
            options[key] = _value(value)
    return Arm(name, url, options)


def _value(text: str) -> Any:
    """A number or a truth value where it reads as one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
