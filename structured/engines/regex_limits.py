"""Constructs of a regular expression that xgrammar reads and then ignores."""

from __future__ import annotations

import re

_SKIPPED = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)  # escapes and character classes
_GROUP = re.compile(r"\(\?(?!:|P?<[A-Za-z_])")


def ignored_construct(pattern: str) -> str | None:
    """The first construct whose meaning xgrammar drops (look-around, an anchor in the middle), or ``None``."""
    bare = _SKIPPED.sub(lambda match: "x" * len(match[0]), pattern)
    if (group := _GROUP.search(bare)) is not None:
        return f"the group {pattern[group.start() : group.start() + 4]!r}"
    inner = bare.removeprefix("^").removesuffix("$")
    for anchor in "^$":
        if anchor in inner:
            return f"the anchor {anchor!r} in the middle"
    return None
