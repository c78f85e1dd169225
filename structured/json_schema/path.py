"""Places in a document, written out as JSON pointers only when somebody is told of them."""

from __future__ import annotations

from typing import TypeAlias

#: The way to a place: what the document's root is called (``#``, or a URI and ``#``), or a place and a step from it.
#: Sharing the way keeps a document of many long names linear in memory.
Path: TypeAlias = "str | tuple[Path, str | int]"


def render(path: Path) -> str:
    """The place as a JSON pointer (RFC 6901, section 3) behind the name of the root."""
    steps = []
    while not isinstance(path, str):
        path, step = path
        steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "/".join([path, *reversed(steps)])
